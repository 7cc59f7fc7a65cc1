"""A hundred random cuts and moves during one transfer of a gigabyte, there and back."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest

from migrated.lab import SERVER_V4, Access
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

BYTES = 1 << 30
BYTES_PER_S = 12e6
BLOWS = 100
PORT = 2960
END_S = 300.0
PAUSES_S = (0.02, 0.1, 0.2, 0.4)
MENDED_FIRST = 0.85
LEAST_MOVES = 20
"""Many a blow hits a link that is not in use, or comes before the last one has had its effect."""

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
    assert client.process.poll() is None, f"the transfer was over before the moves were: {client.last}"
    client.await_received(client.received, 60)
    status, said = client.result(END_S)
    words = said.split()
    assert (status, words[0]) == (0, "sent"), said
    assert words[1] == words[3]
    assert len(arena.here.since(0, "moved")) + len(arena.here.since(0, "resumed")) >= LEAST_MOVES


def strike(arena: Arena, session: str, chance: random.Random) -> None:
    """Do a hundred things to links and session, without waiting for what comes of them.

    What is broken is mended a little later, at times after the next blow, so that all links are dead now
    and then.
    """
    broken: list[Callable[[], None]] = []
    free = {link.interface: link for link in arena.links}
    for _ in range(BLOWS):
        while broken and (len(broken) == len(arena.links) or chance.random() < MENDED_FIRST):
            broken.pop(0)()
            time.sleep(chance.choice(PAUSES_S))
        link = chance.choice(list(free.values()))
        blow = chance.choice(("cut", "cut", "withdraw", "move"))
        if blow == "move":
            arena.here.ask_to_move(session, link.interface)
        else:
            del free[link.interface]
            broken.append(partial(_mend, link, free, link.plug if blow == "cut" else link.configure))
            (link.cut if blow == "cut" else link.withdraw)()
        time.sleep(chance.choice(PAUSES_S))
    for mend in broken:
        mend()


def _mend(link: Access, free: dict[str, Access], how: Callable[[], None]) -> None:
    how()
    free[link.interface] = link
