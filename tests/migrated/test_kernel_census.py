from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping

import pytest

from migrated.kernel import census as census_module
from migrated.kernel.census import LONGEST_S, MAX_AGE_S, Census
from migrated.kernel.holders import Holder, find_holders

HOLD = "import sys; print(flush=True); sys.stdin.read()"


class Looks:
    """Counts how often all processes are looked at."""

    def __init__(self) -> None:
        self.whole = 0

    def __call__(
        self, inodes: Collection[int], among: Collection[int] | None = None
    ) -> Mapping[int, tuple[Holder, ...]]:
        self.whole += among is None
        return find_holders(inodes, among)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(census_module, "find_holders", looks)
    return looks


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


def _holding(sock: socket.socket) -> subprocess.Popen[bytes]:
    program = subprocess.Popen(
        [sys.executable, "-I", "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[sock.fileno()],
    )
    assert program.stdout is not None
    program.stdout.readline()
    return program


def _end(program: subprocess.Popen[bytes]) -> None:
    program.communicate()


def _inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def _pids(census: Census, inode: int) -> list[int]:
    return [holder.pid for holder in census.find([inode]).get(inode, ())]


def test_a_holder_is_found_again_without_looking_at_all(held: socket.socket, looks: Looks) -> None:
    program, census, inode = _holding(held), Census(), _inode(held)
    census.keep([inode], 1.0)
    looks.whole = 0
    assert _pids(census, inode) == [program.pid]
    assert looks.whole == 0
    _end(program)


@pytest.mark.parametrize(("took_s", "again_s"), [(0.001, MAX_AGE_S), (0.010, 20.0), (3.0, LONGEST_S)])
def test_looks_that_take_long_are_rare(
    held: socket.socket, looks: Looks, monkeypatch: pytest.MonkeyPatch, took_s: float, again_s: float
) -> None:
    census, inode, readings = Census(), _inode(held), itertools.count(step=took_s)
    monkeypatch.setattr("migrated.kernel.census.time.thread_time", lambda: next(readings))
    for now, expected in ((100.0, 1), (100.0 + again_s - 0.01, 1), (100.0 + again_s + 0.01, 2)):
        census.keep([inode], now)
        assert (now, looks.whole) == (now, expected)


def test_a_new_holder_is_found_without_looking_at_all(held: socket.socket, looks: Looks) -> None:
    first, census, inode = _holding(held), Census(), _inode(held)
    census.keep([inode], 1.0)
    looks.whole = 0
    second = _holding(held)
    assert sorted(_pids(census, inode)) == sorted([first.pid, second.pid])
    assert looks.whole == 0
    _end(first)
    _end(second)


def test_a_holder_that_is_gone_is_not_found(held: socket.socket, looks: Looks) -> None:
    first, second, census, inode = _holding(held), _holding(held), Census(), _inode(held)
    census.keep([inode], 1.0)
    _end(first)
    assert _pids(census, inode) == [second.pid]
    _end(second)
    assert _pids(census, inode) == []


def test_a_socket_that_was_not_looked_for_is_found(held: socket.socket, looks: Looks) -> None:
    program, census = _holding(held), Census()
    census.keep([_inode(held) + 1_000_000], 1.0)
    assert _pids(census, _inode(held)) == [program.pid]
    _end(program)


def test_all_processes_are_looked_at_when_the_last_look_is_old(held: socket.socket, looks: Looks) -> None:
    census, inode = Census(), _inode(held)
    for now in (100.0, 100.0 + MAX_AGE_S / 2, 100.0 + LONGEST_S):  # a busy machine may look as rarely as that
        census.keep([inode], now)
    assert looks.whole == 2
    census.keep([inode, inode + 1], 100.0 + LONGEST_S)
    assert looks.whole == 3


def test_without_sockets_nothing_is_looked_at(looks: Looks) -> None:
    Census().keep([], 100.0)
    assert looks.whole == 0
