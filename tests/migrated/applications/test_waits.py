"""What makes whoever closes it wait is told from what does not, and closed by somebody else."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from migrated.applications import waits
from migrated.applications.waits import CLOSINGS_MAX, UNKNOWN, Closer, may_wait
from sessionlayer.application.messages import CloseSession, Denied, Granted
from tests.migrated.applications.programs import program, server
from tests.migrated.applications.test_server import grant

NEVER: dict[str, Callable[[], int]] = {
    "a file in memory": lambda: os.memfd_create("fuse"),
    "a socket": lambda: socket.socket().detach(),
    "an event": lambda: os.eventfd(0),
    "a device": lambda: os.open("/dev/null", os.O_RDONLY),
    "a process": lambda: os.pidfd_open(os.getpid()),
    "a file of the kernel's": lambda: os.open("/proc/self/status", os.O_RDONLY),
    "a namespace": lambda: os.open("/proc/self/ns/net", os.O_RDONLY),
}


Table = dict[str, tuple[str, str]]


def table(own: Table, foreign: Table) -> Callable[[str], dict[str, waits._Mount]]:
    def mounts(process: str) -> dict[str, waits._Mount]:
        seen = own if process == "self" else foreign
        return {number: waits._Mount(*mount) for number, mount in seen.items()}

    return mounts


@contextmanager
def a_file(folder: Path) -> Iterator[int]:
    number = os.open(folder / "file", os.O_CREAT | os.O_RDWR)
    try:
        yield number
    finally:
        os.close(number)


@pytest.mark.parametrize("made", NEVER.values(), ids=NEVER)
def test_what_never_waits(made: Callable[[], int]) -> None:
    number = made()
    try:
        assert may_wait(number, os.getpid()) == ""
    finally:
        os.close(number)


ROOT = ("8:1", "ext4")
CASES = {
    "local": ({"7": ROOT}, {}, ""),
    "fuse": ({"7": ("0:9", "fuse.sshfs")}, {}, "fuse.sshfs"),
    "network": ({"7": ("0:9", "nfs4")}, {}, "nfs4"),
    "a namespace that is not ours": ({}, {"7": ("0:9", "tmpfs")}, ""),
    "fuse in another namespace": ({}, {"7": ("0:9", "fuse")}, "fuse"),
    "an overlay over who knows what": ({"1": ROOT}, {"7": ("0:9", "overlay")}, "overlay"),
    "an overlay that we see, too": ({"1": ("0:9", "overlay")}, {"7": ("0:9", "overlay")}, ""),
    "network that we see, too": ({"1": ("0:9", "nfs")}, {"7": ("0:9", "nfs")}, "nfs"),
    "a mount that nobody sees": ({"1": ROOT}, {"1": ROOT}, UNKNOWN),
}


@pytest.mark.parametrize(("own", "foreign", "answer"), CASES.values(), ids=CASES)
def test_files_are_judged_by_their_mounts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: Table,
    foreign: Table,
    answer: str,
) -> None:
    monkeypatch.setattr(waits, "_mounts", table(own, foreign))
    monkeypatch.setattr(waits, "_mount_of", lambda _: "7")
    with a_file(tmp_path) as number:
        assert may_wait(number, 1) == answer


def test_a_real_file_is_on_a_real_mount(tmp_path: Path) -> None:
    with a_file(tmp_path) as number:
        assert waits._mount_of(number) in waits._mounts("self")


def test_a_file_system_that_does_not_answer_stops_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    real, closed = os.close, []

    def close(number: int) -> None:
        if threading.current_thread().name == "close":
            answer.wait(60)
            closed.append(number)
        real(number)

    async def run(number: int) -> None:
        async with server(tmp_path, grant) as opened, program(tmp_path) as hostile:
            request = CloseSession(number=7, session=bytes(16))
            monkeypatch.setattr(waits, "may_wait", lambda number, pid: "fuse")
            monkeypatch.setattr(os, "close", close)
            for _ in range(CLOSINGS_MAX):
                hostile.say(request, (number,))
                assert await hostile.hear() == Granted(number=7)
            refusal = await hostile.hear()
            assert isinstance(refusal, Denied)
            assert "file systems" in refusal.reason
            assert await hostile.ended()
            answer.set()
            wait_for_closings()
            assert len(closed) == CLOSINGS_MAX
            assert not opened._closer.is_busy(os.geteuid())
            async with program(tmp_path) as later:
                later.say(request)
                assert await later.hear() == Granted(number=7)

    with a_file(tmp_path) as number:
        asyncio.run(run(number))


def wait_for_closings() -> None:
    for thread in threading.enumerate():
        if thread.name == "close":
            thread.join(60)


def test_what_cannot_be_flushed_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "may_wait", lambda number, pid: "fuse")
    closer = Closer()
    closer.close([-1], uid=5, pid=1)
    wait_for_closings()
    assert closer._under_way[5] == 0
