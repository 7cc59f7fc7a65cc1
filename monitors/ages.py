"""Times that only grow until something is heard: in which steps they are told, and when to look again.

An age that was reported as it is would be another one at every look. So an age is told when it reaches a
step, and is at least what was told last. The steps lie close where a policy decides on a handover, and far
apart where it decides on a day: a session whose peer is silent for an hour is told of 25 times.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from monitors.surroundings import Surroundings

STEPS_S: Final = (
    *(1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0),
    *(60.0, 90.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0),
    *(3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0),
)
"""Ages that are told, in seconds; after these each day. What is below the first one counts as no age: it is
a heartbeat of once a second that comes a little late."""

DAY_S: Final = 86_400.0

SHORTEST_PAUSE_S: Final = 0.1
"""Seconds between two looks, at least: what changes together, a thousand sessions maybe, is seen at once."""

LIFETIME_MIN_S: Final = 10.0
"""Seconds after which an age that is told no longer, because its monitor is dead, is known no longer."""

_EARLY_S: Final = 1e-6
"""A loop may wake a little too early, by its clock's resolution."""


def reached(age_s: float) -> float:
    """Return the last step (seconds) that an age (seconds) has reached; 0 before the first."""
    age_s += _EARLY_S
    if age_s >= DAY_S:
        return age_s // DAY_S * DAY_S
    number = bisect_right(STEPS_S, age_s)
    return STEPS_S[number - 1] if number else 0.0


def following(step_s: float) -> float:
    """Return the step after one (both in seconds)."""
    if step_s >= STEPS_S[-1]:
        return step_s // DAY_S * DAY_S + DAY_S
    return STEPS_S[bisect_right(STEPS_S, step_s)]


def lifetime_s(step_s: float) -> float | None:
    """Return for how many seconds the word of a step counts: past the next two, and for ever at rest."""
    if not step_s:
        return None
    return max(3 * (following(step_s) - step_s), LIFETIME_MIN_S)


async def keep_looking(surroundings: Surroundings, look: Callable[[float], float | None]) -> None:
    """Look now, whenever the surroundings change, and when the last look said so; until cancelled.

    Args:
        surroundings: which tell of changes.
        look: takes the time (event loop's clock, seconds), and returns when to look again at the latest;
            ``None`` for not before something changes.

    Raises:
        Exception: what ``look`` raises.
    """
    loop = asyncio.get_running_loop()
    while True:
        now = loop.time()
        due = look(now)
        try:
            async with asyncio.timeout_at(due):
                await surroundings.changed()
        except TimeoutError:
            pass
        await asyncio.sleep(now + SHORTEST_PAUSE_S - loop.time())
