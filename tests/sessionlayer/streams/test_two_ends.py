"""Every byte and every end arrives exactly once, whatever dies when; ``MIGRATE_SEED=7`` repeats one run."""

from __future__ import annotations

import os

import pytest

from sessionlayer.streams.events import Closed
from tests.sessionlayer.streams.world import World

SEEDS = [int(os.environ["MIGRATE_SEED"])] if "MIGRATE_SEED" in os.environ else list(range(60))


def check(world: World) -> None:
    for number, program in world.client.programs.items():
        other = world.server.programs[number]
        for sender, receiver in ((program, other), (other, program)):
            assert not sender.to_send
            assert receiver.got == sender.sent
            assert receiver.ends == 1
            assert receiver.lost == [None]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_byte_arrives_once(seed: int) -> None:
    world = World(seed, connections=1 + seed % 4, volume=200_000, sealed=seed % 5 == 0)
    world.run(steps=150)
    check(world)
    assert world.made > 1 + len(world.client.programs)


def test_a_session_without_a_peer_expires_at_both_ends() -> None:
    world = World(1, connections=1, volume=1000)
    for _ in range(5):
        world.step(calm=True)
    for end in world.ends:
        end.drop_all()
        end.session.handle_timer(world.now + 2)
        assert end.session.phase.value == "suspended"
        end.session.handle_timer(world.now + 7 * 86_400 - 1)
        assert end.session.phase.value == "suspended"
        end.session.handle_timer(world.now + 7 * 86_400 + 3)
        end.pump()
        assert isinstance(end.closed[0], Closed)
        assert end.closed[0].code == "expired"
        (error,) = end.programs[1].lost
        assert type(error).__name__ == "StreamExpiredError"
        assert end.programs[1].ends == 0
