"""Two daemons that greet each other at the same moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from migrated.peers import Peer, Peers
from migrated.store import Store
from sessionlayer.protocol.commands import Command, PathValidated, SendDatagram
from sessionlayer.protocol.trust import TrustMode, TrustPolicy
from sessionlayer.protocol.values import Path as NetworkPath
from tests.sessionlayer.protocol.pairs import shake_hands

HOMES = ("192.0.2.1", "192.0.2.2")


def peers_in(folder: Path) -> Peers:
    return Peers(
        store=Store(folder),
        port=6447,
        trust=TrustPolicy(incoming=TrustMode.TOFU, outgoing=TrustMode.TOFU),
        pinned=frozenset(),
        records=lambda _: (),
        addresses=tuple,
        on_associated=lambda _: None,
    )


def datagrams(commands: Sequence[Command]) -> list[bytes]:
    return [command.data for command in commands if isinstance(command, SendDatagram)]


def path_from(end: int) -> NetworkPath:
    return NetworkPath(local_address=HOMES[end], remote_address=HOMES[1 - end], remote_port=6447)


def is_heard(asking: Peer, asked: Peer, end: int) -> bool:
    """Return whether ``asked`` answers, and ``asking`` (of the end with this number) understands it."""
    now = asyncio.get_running_loop().time()
    commands: list[Command] = []
    for question in datagrams(asking.association.validate_path(path_from(end), now)):
        for answer in datagrams(asked.association.receive(question, path_from(1 - end), now)):
            commands += asking.association.receive(answer, path_from(end), now)
    return any(isinstance(command, PathValidated) for command in commands)


@pytest.mark.parametrize("first_seen", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_of_two_handshakes_at_once_both_ends_keep_the_same(
    tmp_path: Path, first_seen: tuple[int, int], seed: int
) -> None:
    ends = [peers_in(tmp_path / "a"), peers_in(tmp_path / "b")]
    keys = (ends[0].host_key, ends[1].host_key)
    rng = random.Random(seed)
    # Handshake 0 was begun by end 0, handshake 1 by end 1; each is seen from both ends.
    begun_by_0 = shake_hands(rng, keys, HOMES)
    begun_by_1 = shake_hands(rng, (keys[1], keys[0]), (HOMES[1], HOMES[0]))[::-1]

    async def script() -> tuple[bool, bool]:
        peers = []
        for end, first in enumerate(first_seen):
            seen = [begun_by_0[end], begun_by_1[end]]
            for established in (seen[first], seen[1 - first]):
                peer = ends[end]._established(established, HOMES[1 - end], HOMES[end])
            peers.append(peer)
        return is_heard(peers[0], peers[1], 0), is_heard(peers[1], peers[0], 1)

    assert asyncio.run(script()) == (True, True)


def test_a_second_handshake_of_the_same_end_renews(tmp_path: Path) -> None:
    ends = [peers_in(tmp_path / "a"), peers_in(tmp_path / "b")]
    keys = (ends[0].host_key, ends[1].host_key)
    rng = random.Random(3)

    async def script() -> bool:
        for _ in range(2):
            both = shake_hands(rng, keys, HOMES)
            peers = [ends[end]._established(both[end], HOMES[1 - end], HOMES[end]) for end in (0, 1)]
        return is_heard(peers[0], peers[1], 0)

    assert asyncio.run(script())
