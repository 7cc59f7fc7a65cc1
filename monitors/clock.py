"""The clock monitor: the hour and the day of the week, in this host's local time.

Rule: it looks at each full hour, and once a minute in between, because a clock that was set, a time zone that
was changed and a host that was asleep are announced by nobody. Nothing is reported twice in a row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from monitors.events import FactMeasured
from monitors.facts import HOUR, WEEKDAY, Fact, FactValue
from monitors.settings import refuse_any
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings

LOOK_AGAIN_S = 60.0
"""Seconds between two looks at the clock, at most."""

_HOUR_S = 3600


class ClockMonitor:
    """Report the hour and the weekday at once, and whenever one of them is another.

    Args:
        clock: reads the time, in seconds since the epoch.
        sleep: waits for as many seconds.
    """

    name = "clock"
    facts: tuple[Fact, ...] = (HOUR, WEEKDAY)

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._reported: dict[str, FactValue] = {}

    async def run(self, report: Report) -> None:
        """Report what the clock says, then every change, until cancelled.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        while True:
            now = self._clock()
            for fact, value in local_facts(now).items():
                if self._reported.get(fact) != value:
                    report(FactMeasured(fact=fact, value=value))
                    self._reported[fact] = value
            await self._sleep(next_look_s(now))


def local_facts(now: float) -> Mapping[str, FactValue]:
    """Return the values at a time (seconds since the epoch), in the local time zone as it is set now."""
    time.tzset()  # localtime(3) alone need not notice another time zone
    local = time.localtime(now)
    return {HOUR.name: float(local.tm_hour), WEEKDAY.name: WEEKDAY.choices[local.tm_wday]}


def next_look_s(now: float) -> float:
    """Return in how many seconds to look again: at the full hour, or in a minute if that is earlier."""
    local = time.localtime(now)
    into_the_hour = local.tm_min * 60 + local.tm_sec + now % 1
    # A leap second is the 61st of its minute.
    return min(LOOK_AGAIN_S, max(_HOUR_S - into_the_hour, 0.001))


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the clock monitor.

    Raises:
        SettingsError: somebody set something; it has no settings.
    """
    refuse_any(surroundings.settings(ClockMonitor.name))
    return (ClockMonitor(),)
