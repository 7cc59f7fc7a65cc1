"""A peer without a daemon is left alone."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from migrated.config import CONTROL_PORT
from migrated.lab import NAT_OUTSIDE, SERVER_V4
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.capture import Capture

ABSENT = f"no association with {SERVER_V4}"
SCANS_S = 1.5
"""Time for the daemon to look at its connections a few times."""


@pytest.fixture
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("arena"), peer_has_daemon=False) as arena:
        yield arena


def test_a_peer_without_a_daemon(arena: Arena) -> None:
    with Capture(arena.net.router, NAT_OUTSIDE) as capture:
        talks = [arena.talk() for _ in range(3)]
        arena.here.await_line(ABSENT, since=0)
        time.sleep(SCANS_S)
        talks.append(arena.talk())
        time.sleep(SCANS_S)
    attempts = {
        packet.source_port
        for packet in capture.packets
        if (packet.protocol, packet.destination_port) == (socket.IPPROTO_TCP, CONTROL_PORT)
    }
    assert len(attempts) == 1
    assert arena.here.sessions() == ()
    assert len([event for event in arena.here.events if event.name.startswith(ABSENT)]) == 1
    for talk in talks:
        talk.await_progress()
        talk.finish()
