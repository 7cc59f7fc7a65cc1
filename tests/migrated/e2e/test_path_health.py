"""Links that are up and dead, that lose packets, or that come and go: what becomes of sessions.

The policy is the shipped one with a better link and a worse one. The programs know nothing, and check their
data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.troubles import (
    HARDLY_ANYTHING,
    OTHER,
    POLICY,
    PREFERRED,
    Crowd,
    await_proven,
    flap,
    losses,
)

LEFT_S = 3.0
"""Seconds within which a link that is up and dead is left, by idle sessions and by those that send."""

PROOF_S = 5.0
SETTLE_S = 2.0
MOVES_OF_A_FLAP = 2
RESUMED_S = 1.0
A_MINUTE_S = 60.0
UNTOUCHED = ("moved", "suspended", "resumed", "refused", "ended")

Scenario = Callable[[Arena], None]


def together(folders: pytest.TempPathFactory, *scenarios: Scenario) -> None:
    """Play scenarios side by side, each with links and daemons of its own."""

    def play(scenario: Scenario, folder: Path) -> None:
        with Arena(folder, policy=POLICY) as arena:
            scenario(arena)
        for daemon in (arena.here, arena.there):
            assert daemon.complaints() == []

    # A socket's path has 107 bytes at most, so its folder is not named after the test.
    places = [folders.mktemp("health") for _ in scenarios]
    with ThreadPoolExecutor(len(scenarios)) as pool:
        for done in [pool.submit(play, *stage) for stage in zip(scenarios, places, strict=True)]:
            done.result()


def nothing_happened(crowd: Crowd, since: int) -> bool:
    return set(crowd.happened(since, *UNTOUCHED).values()) == {0}


@pytest.mark.alone
def test_a_link_that_is_up_and_dead_is_left_within_3_s(tmp_path_factory: pytest.TempPathFactory) -> None:
    def dead_link(arena: Arena) -> None:
        idle, busy = Crowd(arena, 10, HARDLY_ANYTHING), Crowd(arena, 2, 100_000)
        await_proven(arena)
        mark = arena.here.mark()
        arena.link(PREFERRED).lose()
        begun = time.monotonic()
        for crowd in (busy, idle):
            assert crowd.await_all("moved", mark, to=OTHER) - begun < LEFT_S
        assert arena.here.since(mark, "suspended") == []
        assert losses(arena)[PREFERRED] >= 50
        for crowd in (idle, busy):
            crowd.finish()

    together(tmp_path_factory, dead_link)


def proven_again(arena: Arena) -> None:
    """A dead link that works again gets its sessions back once, and not before it has proved itself."""
    crowd = Crowd(arena, 5, 50_000)
    await_proven(arena)
    link, mark = arena.link(PREFERRED), arena.here.mark()
    link.lose()
    crowd.await_all("moved", mark, to=OTHER)
    time.sleep(5)
    mark = arena.here.mark()
    link.deliver()
    begun = time.monotonic()
    crowd.await_all("moved", mark, to=PREFERRED)
    assert time.monotonic() - begun > PROOF_S + SETTLE_S
    time.sleep(4)
    assert set(crowd.happened(mark, *UNTOUCHED).values()) == {1}
    crowd.finish()


def random_loss(arena: Arena) -> None:
    """Some loss moves nothing."""
    lose_some(arena, 0.01, A_MINUTE_S)


def heavy_loss(arena: Arena) -> None:
    """Nor does more of it."""
    lose_some(arena, 0.05, 20)


def lose_some(arena: Arena, share: float, seconds: float) -> None:
    idle, busy = Crowd(arena, 3, HARDLY_ANYTHING), Crowd(arena, 2, 50_000)
    await_proven(arena)
    mark = arena.here.mark()
    for link in arena.links:
        link.lose(share)
    time.sleep(seconds)
    assert nothing_happened(idle, mark)
    assert nothing_happened(busy, mark)
    for link in arena.links:
        link.deliver()
    for crowd in (idle, busy):
        crowd.finish()


def cable_flaps(arena: Arena) -> None:
    """A cable that is cut twice a second is left once, and not returned to while that goes on."""
    crowd = Crowd(arena, 3, 50_000)
    await_proven(arena)
    mark = arena.here.mark()
    flap(arena.link(PREFERRED), up_s=0.25, down_s=0.25, for_s=A_MINUTE_S)
    time.sleep(2 * SETTLE_S)
    assert set(crowd.happened(mark, "moved").values()) == {1}, "it is back only after a minute without a loss"
    assert set(crowd.happened(mark, "suspended", "ended").values()) == {0}
    crowd.finish()


def dead_flaps(arena: Arena) -> None:
    """A link that leads nowhere half of the time, twice a second, causes two moves at the most."""
    crowd = Crowd(arena, 3, 50_000)
    await_proven(arena)
    mark = arena.here.mark()
    flap(arena.link(PREFERRED), up_s=0.25, down_s=0.25, for_s=A_MINUTE_S, dead=True)
    time.sleep(2 * SETTLE_S)
    assert max(crowd.happened(mark, "moved").values()) <= MOVES_OF_A_FLAP
    assert set(crowd.happened(mark, "suspended", "ended").values()) == {0}
    crowd.finish()


def slow_flaps(arena: Arena) -> None:
    """A link that is lost every five seconds is left alone after the third time."""
    crowd = Crowd(arena, 3, 50_000)
    await_proven(arena)
    mark = arena.here.mark()
    flap(arena.link(PREFERRED), up_s=4, down_s=1, for_s=35)
    assert set(crowd.happened(mark, "moved").values()) == {5}, "there and back twice, and away the third time"
    crowd.finish()


def outage(arena: Arena) -> None:
    """All links are gone for a minute: every session resumes within a second of the first that is back."""
    crowd = Crowd(arena, 20, 10_000)
    await_proven(arena)
    mark = arena.here.mark()
    for link in arena.links:
        link.cut()
    crowd.await_all("suspended", mark)
    time.sleep(A_MINUTE_S)
    mark = arena.here.mark()
    begun = time.monotonic()
    arena.link(OTHER).plug()
    assert crowd.await_all("resumed", mark, to=OTHER) - begun < RESUMED_S
    crowd.finish()


def dead_daemon(arena: Arena) -> None:
    """The peer's daemon is killed, and its sessions go on where they are; also when it is back."""
    idle, busy = Crowd(arena, 3, HARDLY_ANYTHING), Crowd(arena, 2, 50_000)
    await_proven(arena)
    mark = arena.here.mark()
    arena.there.kill()
    time.sleep(20)
    assert losses(arena).get(PREFERRED, 0) < 50, "what nobody answers says nothing of links"
    arena.there.start()
    arena.here.await_event("associated", since=mark)
    time.sleep(PROOF_S + 2 * SETTLE_S + 3)
    await_proven(arena)
    assert nothing_happened(idle, mark)
    assert nothing_happened(busy, mark)
    for crowd in (idle, busy):
        crowd.finish()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    "scenarios",
    [(outage, dead_daemon, slow_flaps, heavy_loss), (cable_flaps, random_loss, proven_again, dead_flaps)],
    ids=lambda scenarios: "-".join(scenario.__name__ for scenario in scenarios),
)
def test_links_that_cannot_be_relied_on(
    tmp_path_factory: pytest.TempPathFactory, scenarios: tuple[Scenario, ...]
) -> None:
    together(tmp_path_factory, *scenarios)
