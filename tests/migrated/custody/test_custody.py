"""Descriptors outlive the daemon that had them; the custodian of most tests is the real process."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrated.applications.wire import Descriptors, receive
from migrated.custody import Custody, custodian, custody
from migrated.custody.custodian import KEEP, Custodian
from migrated.custody.custody import SOCKET_NAME

NAME = bytes(range(16))
PATIENCE_S = 60.0
"""Nothing is measured by it: it ends a test that would wait for ever."""


@pytest.fixture(autouse=True, scope="module")
def patient() -> Iterator[None]:
    """Wait longer than daemons do for a custodian that has just been started and is not let run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(custody, "ANSWER_S", PATIENCE_S)
        yield


class Daemon:
    """What a daemon has of it: a custody, the pipes that it keeps, and what it was told to be amiss."""

    def __init__(self, folder: Path) -> None:
        self.amiss: list[str] = []
        self.custody = Custody(folder / SOCKET_NAME, self.amiss.append)
        self.back = {name: kept.numbers for name, kept in self.custody.take_back().items()}
        self.open = Descriptors(number for numbers in self.back.values() for number in numbers)

    def keep_pipe(self, name: bytes = NAME) -> int:
        """Keep the reading end of a new pipe; return the writing end."""
        reading, writing = os.pipe()
        self.open.add(reading)
        self.custody.keep(name, [reading])
        return writing

    def die(self) -> None:
        """Close everything, as the kernel does."""
        self.custody.close()
        self.open.close()


class Stage:
    """Daemons one after another, in one folder; what they started is ended at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[Daemon] = []

    def daemon(self) -> Daemon:
        self.daemons.append(Daemon(self.folder))
        return self.daemons[-1]

    def end(self) -> None:
        for daemon in self.daemons:
            if daemon.custody.pid:
                os.kill(daemon.custody.pid, signal.SIGKILL)
            daemon.die()
            daemon.custody._reap()


def run(folder: Path, story: Callable[[Stage], Awaitable[None]]) -> None:
    async def whole() -> None:
        stage = Stage(folder)
        try:
            await story(stage)
        finally:
            stage.end()

    asyncio.run(whole())


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def is_open(writing: int) -> bool:
    """Return whether anybody has the reading end of a pipe."""
    try:
        os.write(writing, b"?")
    except BrokenPipeError:
        return False
    return True


def descriptors_of(pid: int) -> list[str]:
    """Return what a custodian has open, once it has begun to hold things."""
    if Path(f"/proc/{pid}/comm").read_text() != "migrate-custody\n":
        return []
    try:
        return sorted(str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # one was closed meanwhile
        return []


def reaped(daemon: Daemon, pid: int) -> bool:
    """Return whether a check has taken in the end of a process, which closes its sockets before it ends."""
    daemon.custody.check()
    return not Path(f"/proc/{pid}").exists()


def folder_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()


def test_what_a_dead_daemon_kept_the_next_one_has(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        first = stage.daemon()
        assert first.back == {}
        writing = first.keep_pipe()
        first.die()
        os.write(writing, b"still here")
        second = stage.daemon()
        (number,) = second.back[NAME]
        assert os.read(number, 99) == b"still here"
        second.die()  # having it again it is in custody still
        third = stage.daemon()
        assert list(third.back) == [NAME]
        assert third.amiss == []
        os.close(writing)

    run(tmp_path, story)


def test_what_is_dropped_is_closed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        writing, other = daemon.keep_pipe(), daemon.keep_pipe(b"other")
        daemon.custody.drop(NAME)
        daemon.open.close()
        await until(lambda: not is_open(writing))
        assert is_open(other)
        os.close(writing)
        os.close(other)

    run(tmp_path, story)


def test_others_take_the_place_of_those_of_the_same_name(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        before, after = daemon.keep_pipe(), daemon.keep_pipe()
        daemon.die()
        await until(lambda: not is_open(before))
        os.write(after, b"after")
        assert os.read(stage.daemon().back[NAME][0], 99) == b"after"
        os.close(before)
        os.close(after)

    run(tmp_path, story)


def test_nothing_is_started_for_nothing(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        daemon.custody.keep(NAME, [])
        daemon.custody.drop(NAME)
        assert daemon.custody.pid == 0
        assert not (tmp_path / SOCKET_NAME).exists()

    run(tmp_path, story)


def test_a_custodian_that_dies_is_replaced(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        daemon.custody._again_at = -1e9
        writing = daemon.keep_pipe()
        daemon.custody._again_at = -1e9
        first = daemon.custody.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: daemon.custody.pid not in (0, first))
        await until(lambda: reaped(daemon, first))
        await until(lambda: len(descriptors_of(daemon.custody.pid)) == 6)  # it has the pipe
        assert len(daemon.amiss) == 1
        daemon.die()
        os.write(writing, b"still here")
        assert os.read(stage.daemon().back[NAME][0], 99) == b"still here"
        os.close(writing)

    run(tmp_path, story)


def test_it_has_what_it_holds_and_nothing_else_of_the_daemon(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        secret = os.open("/proc/self/status", os.O_RDONLY)
        os.set_inheritable(secret, True)
        writing = daemon.keep_pipe()
        pid = daemon.custody.pid
        await until(lambda: len(descriptors_of(pid)) == 6)
        kinds = [link.partition(":")[0] for link in descriptors_of(pid)]
        assert kinds == [os.devnull] * 3 + ["pipe", "socket", "socket"]
        assert os.getsid(pid) == pid
        assert folder_of(pid) == Path("/")
        os.close(secret)
        os.close(writing)

    run(tmp_path, story)


def test_more_than_it_may_have_open_is_said_and_the_rest_is_safe(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        writing = daemon.keep_pipe()
        pid = daemon.custody.pid
        await until(lambda: len(descriptors_of(pid)) == 6)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (6, 6))
        other = daemon.keep_pipe(b"other")
        await until(lambda: daemon.amiss)
        assert b"other".hex()[:8] in daemon.amiss[0]
        daemon.die()
        second = stage.daemon()  # for which there is a place all the same
        assert list(second.back) == [NAME]
        os.close(writing)
        os.close(other)

    run(tmp_path, story)


def test_a_thousand_at_once(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        daemon = stage.daemon()
        terminal = os.open(os.devnull, os.O_RDWR)
        daemon.open.add(terminal)
        for number in range(1000):
            daemon.custody.keep(b"%d" % number, [terminal] * 3)
        await until(lambda: not daemon.custody._untold)
        daemon.die()
        assert len(stage.daemon().back) == 1000

    run(tmp_path, story)


def test_another_user_is_not_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with custodian_at(tmp_path) as (used, connect):
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        with connect() as stranger:
            used._let_in()
            with pytest.raises(OSError, match=r"reset|pipe"):
                stranger.send(KEEP + NAME)


@contextmanager
def custodian_at(folder: Path) -> Iterator[tuple[Custodian, Callable[[], socket.socket]]]:
    """Return a custodian in this process, and what connects to it."""
    path = str(folder / SOCKET_NAME)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        used = Custodian(listener, path)

        def connect() -> socket.socket:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.connect(path)
            return sock

        yield used, connect
        for number in [used._place, *(n for numbers in used._held.values() for n in numbers)]:
            os.close(number)


def test_one_that_holds_nothing_ends_and_removes_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custodian, "EMPTY_S", 0.0)
    with custodian_at(tmp_path) as (used, _):
        used.run()
        assert not (tmp_path / SOCKET_NAME).exists()


@pytest.mark.parametrize("why", ["nobody can find it", "nobody came for long"])
def test_one_that_nobody_will_ever_ask_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(custodian, "LOOK_S", 0.0)
    with custodian_at(tmp_path) as (used, connect):
        with connect() as daemon:
            daemon.sendmsg([KEEP + NAME], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _devnull())])
            used._let_in()
        used._hear()
        assert NAME in used._held
        assert not used._is_useless()
        if why == "nobody can find it":
            (tmp_path / SOCKET_NAME).unlink()
        else:
            monkeypatch.setattr(custodian, "ALONE_S", 0.0)
        used.run()


def _devnull() -> bytes:
    """Return a descriptor of every process, as it is written beside a message."""
    return (2).to_bytes(4, sys.byteorder)


def test_what_a_dead_daemon_said_last_is_heard_before_the_next_is_let_in(tmp_path: Path) -> None:
    with custodian_at(tmp_path) as (used, connect):
        with connect() as daemon:
            used._let_in()
            daemon.sendmsg([KEEP + NAME], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _devnull())])
        with connect() as daemon:
            daemon.send(custodian.ALL)
            used._let_in()
            used._hear()
            data, descriptors = receive(daemon)
            assert (data, len(descriptors)) == (custodian.HELD + NAME, 1)
            descriptors.close()
        used._hear()


class FullWay:
    """A way on which there are too many descriptors, until one was sent in vain."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self._full = True

    def send(self, *message: object) -> None:
        if self._full:
            self._full = False
            raise OSError(errno.ETOOMANYREFS, "too many references")
        self.sent.append(message)

    sendmsg = send


def test_the_custodian_waits_while_too_many_are_on_their_way(tmp_path: Path) -> None:
    with custodian_at(tmp_path) as (used, _):
        way = FullWay()
        used._daemon = cast("socket.socket", way)
        used._send(custodian.HELD + NAME, [2])
        assert len(way.sent) == 1
        used._daemon = None


def test_the_daemon_says_again_what_was_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(stage: Stage) -> None:
        daemon, way = stage.daemon(), FullWay()
        monkeypatch.setattr(custody, "send", way.send)
        writing = daemon.keep_pipe()
        assert way.sent == []
        daemon.custody.check()
        assert len(way.sent) == 1
        assert daemon.amiss == []
        os.close(writing)

    run(tmp_path, story)


def test_what_comes_back_is_not_inherited(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        first = stage.daemon()
        writing = first.keep_pipe()
        assert first.custody._sock is not None
        assert not first.custody._sock.get_inheritable()
        first.die()
        assert not any(map(os.get_inheritable, stage.daemon().back[NAME]))
        os.close(writing)

    run(tmp_path, story)


STEPS = st.lists(
    st.tuples(st.sampled_from(["keep", "drop", "die"]), st.sampled_from([b"a", b"b"])), max_size=12
)


@settings(max_examples=20, deadline=None)
@given(STEPS)
def test_what_comes_back_is_what_was_kept_and_not_dropped(steps: list[tuple[str, bytes]]) -> None:
    async def story(stage: Stage) -> None:
        expected: dict[bytes, int] = {}
        daemon, writing = stage.daemon(), Descriptors()
        for step, name in [*steps, ("die", b"")]:
            if step == "keep":
                writing.add(daemon.keep_pipe(name))
                expected[name] = os.fstat(writing.numbers[-1]).st_ino
            elif step == "drop":
                daemon.custody.drop(name)
                expected.pop(name, None)
            else:
                daemon.die()
                daemon = stage.daemon()
                found = {name: os.fstat(number).st_ino for name, (number,) in daemon.back.items()}
                assert found == expected
        assert all(daemon.amiss == [] for daemon in stage.daemons)
        writing.close()

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), story)
