"""What programs do to the application socket, by mistake or on purpose."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrated.applications import server as server_module
from migrated.applications.client import Client
from migrated.applications.wire import Descriptors, duplicates, send
from sessionlayer.application.messages import (
    DESCRIPTORS_MAX,
    MESSAGE_MAX,
    CloseSession,
    Denied,
    Granted,
    Request,
)
from tests.migrated.applications.programs import program, server

ASKED = CloseSession(number=7, session=bytes(16))


def grant(client: Client, request: Request, _descriptors: Descriptors) -> None:
    client.tell(Granted(number=request.number if isinstance(request, CloseSession) else 0))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=64) | st.binary(min_size=1, max_size=6).map(b"\x82\xa4type".__add__)
)
def test_what_is_no_request_ends_the_conversation(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("run")

    async def run() -> None:
        async with server(folder, grant), program(folder) as stranger, program(folder) as other:
            send(stranger.sock, data)
            answer = await stranger.hear()
            assert isinstance(answer, Denied)
            assert answer.code == "bad-request"
            assert await stranger.ended()
            other.say(ASKED)
            assert await other.hear() == Granted(number=7)

    asyncio.run(run())


async def overlong(folder: Path) -> int:
    """Return how many descriptors a message leaves behind that is as long as allowed, and one byte longer."""
    async with server(folder, grant), program(folder) as stranger:
        before = open_descriptors()
        with Descriptors(os.dup(0) for _ in range(DESCRIPTORS_MAX)) as some:
            send(stranger.sock, bytes(MESSAGE_MAX + 1), some.numbers)
        answer = await stranger.hear()
        assert isinstance(answer, Denied)
        assert "no more" in answer.reason
        return open_descriptors() - before


def test_an_overlong_message_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    assert asyncio.run(overlong(tmp_path)) == 0


def test_descriptors_are_duplicated_all_or_none() -> None:
    before = open_descriptors()
    with pytest.raises(OSError, match="Bad file descriptor"):
        duplicates([0, 1, -1])
    assert open_descriptors() == before


class Exhausted:
    """A listening socket for which there is no descriptor, as often as it says."""

    def __init__(self, sock: socket.socket, times: int) -> None:
        self._sock = sock
        self.times = times
        self.asked = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> object:
        self.asked += 1
        if self.asked <= self.times:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._sock.accept()

    def close(self) -> None:
        self._sock.close()


def test_without_descriptors_others_wait_and_nothing_spins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ACCEPT_AGAIN_S", 0.02)

    async def run() -> int:
        async with server(tmp_path, grant) as opened:
            assert opened._listener is not None
            exhausted = Exhausted(opened._listener, times=2)
            monkeypatch.setattr(opened, "_listener", exhausted)
            async with program(tmp_path) as late:
                late.say(ASKED)
                assert await late.hear() == Granted(number=7)
            return exhausted.asked

    assert asyncio.run(run()) == 3
