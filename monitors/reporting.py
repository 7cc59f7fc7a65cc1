"""What stands between a monitor and the mailbox: judge, stamp and count each event that it reports.

A plugin has no type checker at run time. What is no event, or a measurement that was not declared, must not
reach the engine, and a flood of good ones must not either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, get_args

from monitors.events import Event, FactMeasured
from monitors.facts import Fact
from monitors.mailbox import Reported
from monitors.measurements import fault_of, plain
from monitors.network_faults import network_fault_of
from monitors.wording import in_words

FLOOD_RATE = 1000
"""Events in one second that a plugin's monitor may report for as long as it likes."""

FLOOD_S = 5
"""Seconds in a row in which it may report more, as when it begins."""

SLOWED_EVERY = 10
"""Of what exceeds the rate, so many events go on at once; then the monitor's thread is held for 1 ms."""

SLOWED_S = 0.001

WRONG_THREAD: Final = (
    "`report` was called in another thread than that of `run`; "
    "from others use `loop.call_soon_threadsafe(report, event)`"
)


_EVENTS: Final = frozenset(get_args(Event))


class FloodError(Exception):
    """A monitor reports so much that nobody can make use of it."""


class FloodGauge:
    """Tell a flood from a burst: too many events in each of several seconds in a row."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._in_a_row = 0

    @property
    def excess(self) -> int:
        """Return how many events there have been in this second beyond the rate."""
        return max(0, self._count - FLOOD_RATE)

    def is_flood(self, now: float) -> bool:
        """Count an event at ``now`` (seconds) and return whether there have been too many for too long."""
        second = int(now)
        if second != self._second:
            flooded = self._count > FLOOD_RATE and second == self._second + 1
            self._in_a_row = self._in_a_row + 1 if flooded else 0
            self._second, self._count = second, 0
        self._count += 1
        return self._in_a_row >= FLOOD_S


class Reporter:
    """The ``report`` of one monitor.

    Args:
        name: the monitor's.
        facts: those that it declares.
        deliver: takes what is good.
        clock: the event loop's, in seconds.
        stop: ends the present run when it floods; `None` for a monitor that may report whatever it must.
    """

    def __init__(
        self,
        name: str,
        facts: Iterable[Fact],
        deliver: Callable[[Reported], None],
        *,
        clock: Callable[[], float],
        stop: Callable[[], None] | None,
    ) -> None:
        self._name = name
        self._facts = {fact.name: fact for fact in facts}
        self._deliver = deliver
        self._clock = clock
        self._stop = stop
        self._thread = 0
        self._gauge = FloodGauge()
        self._last: Reported | None = None
        self.events = 0
        self.flood: FloodError | None = None

    @property
    def last_event(self) -> str | None:
        """Return the last event in a few words, if there was any."""
        if self._last is None:
            return None
        event = self._last.event
        fact = self._facts.get(event.fact) if isinstance(event, FactMeasured) else None
        return in_words(event, fact.unit if fact else "")

    @property
    def last_event_at(self) -> float | None:
        """Return when the last event was reported, on the event loop's clock."""
        return self._last.at if self._last else None

    def begin(self) -> None:
        """Begin a run; called in the thread in which it is made."""
        self._thread = threading.get_ident()
        self._gauge = FloodGauge()
        self.flood = None

    def __call__(self, event: Event) -> None:
        """Take an event.

        Raises:
            RuntimeError: it is called in another thread than ``run``.
            TypeError: it is no event.
            ValueError: it is a measurement that was not declared like this, or a field of it is none.
            FloodError: there are too many.
            MailboxFullError: there is no room for it.
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError(WRONG_THREAD)
        now = self._clock()
        self._refuse_flood(now)
        if type(event) not in _EVENTS:  # a subclass can be anything
            raise TypeError(f"reported a `{type(event).__name__}`, which is no event of `monitors.events`")
        if isinstance(event, FactMeasured):
            event = self._measurement(event, now)
        elif fault := network_fault_of(event):
            raise ValueError(fault)
        reported = Reported(event, self._name, now)
        self._deliver(reported)
        self.events += 1
        self._last = reported

    def _measurement(self, event: FactMeasured, now: float) -> FactMeasured:
        fact = self._facts.get(event.fact)
        if fault := fault_of(event, () if fact is None else (fact,), now=now):
            raise ValueError(fault)
        return plain(event, now)

    def _refuse_flood(self, now: float) -> None:
        if self._stop is None:
            return
        flood = self._gauge.is_flood(now)
        if self._gauge.excess % SLOWED_EVERY == 1:
            time.sleep(SLOWED_S)  # the thread is the monitor's own, and the interpreter is for everybody
        if not flood:
            return
        if self.flood is None:
            self.flood = FloodError(f"it reported more than {FLOOD_RATE:,} events a second for {FLOOD_S} s")
            self._stop()  # it may hide the error that it gets
        raise self.flood
