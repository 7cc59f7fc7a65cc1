"""A hundred random cuts and moves during one transfer of a gigabyte, there and back."""

from __future__ import annotations

import os
import random
import sys
import time

import pytest

from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

BYTES = 1 << 30
BYTES_PER_S = 18e6
BLOWS = 100
PORT = 2960
END_S = 300.0
_SEED = "MIGRATE_MARATHON_SEED"


@pytest.mark.slow
def test_a_hundred_random_blows(arena: Arena) -> None:
    seed = int(os.environ.get(_SEED, "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"to repeat this: {_SEED}={seed}")  # noqa: T201 - shown when the test fails
    echo = [sys.executable, str(PROGRAMS / "echo.py")]
    server = Program(arena.net.server, [*echo, "listen", SERVER_V4, str(PORT)])
    server.line("listening")
    client = Program(arena.net.client, [*echo, "connect", SERVER_V4, str(PORT), str(BYTES), str(BYTES_PER_S)])
    client.line("connected")
    session = arena.here.await_event("adopted", peer=f"{SERVER_V4}:{PORT}").fields["session"]
    strike(arena, session, random.Random(seed))
    arena.heal()
    assert client.process.poll() is None, f"the transfer was over before the moves were: {client.last}"
    client.await_received(client.received, 60)
    status, said = client.result(END_S)
    words = said.split()
    assert (status, words[0]) == (0, "sent"), said
    assert words[1] == words[3]
    assert len(arena.here.since(0, "moved")) + len(arena.here.since(0, "resumed")) >= BLOWS // 4


def strike(arena: Arena, session: str, chance: random.Random) -> None:
    """Do a hundred things to the links and to the session, without waiting for what comes of them."""
    whole = {link.interface: True for link in arena.links}
    configured = dict(whole)
    for _ in range(BLOWS):
        link = chance.choice(arena.links)
        blow = chance.choice(("cable", "cable", "address", "move"))
        if blow == "cable":
            whole[link.interface] = not whole[link.interface]
            (link.plug if whole[link.interface] else link.cut)()
        elif blow == "address":
            configured[link.interface] = not configured[link.interface]
            (link.configure if configured[link.interface] else link.withdraw)()
        elif whole[link.interface] and configured[link.interface] and arena.here.sessions():
            arena.here.ask_to_move(session, link.interface)
        time.sleep(chance.choice((0.02, 0.1, 0.3, 0.6)))
