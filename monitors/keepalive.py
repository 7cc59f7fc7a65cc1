"""The keepalive monitor: what programs say of their sessions' health, and how long ago they did.

A program that says once a second that all is well is reported once. Sessions whose programs never say a word
have neither fact, and suspended ones have none either: their programs can't do anything.

Source: the Migrate paper, section V-E (application keep-alives).
"""

from __future__ import annotations

from collections.abc import Iterable

from monitors.ages import following, keep_looking, lifetime_s, reached
from monitors.events import FactMeasured
from monitors.facts import HEALTHY, KEEPALIVE_AGE, Fact, FactValue
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import KeepAlive, Surroundings


class Healths:
    """What was reported of each session; an event counts as reported when ``report`` has taken it."""

    def __init__(self) -> None:
        self._reported: dict[tuple[str, str], FactValue] = {}

    def look(self, said: Iterable[KeepAlive], now: float, report: Report) -> float | None:
        """Report what is another than before, and return when to look again; ``None`` if nothing grows.

        Args:
            said: what programs said last.
            now: event loop's clock, seconds.
            report: takes each event.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next look reports it.
        """
        due: float | None = None
        seen: set[tuple[str, str]] = set()
        for one in said:
            age = reached(now - one.well_at)
            values = {HEALTHY.name: one.healthy, KEEPALIVE_AGE.name: age}
            for fact, value in values.items():
                if self._reported.get((fact, one.session)) != value:
                    report(_measured(fact, one.session, value))
                    self._reported[fact, one.session] = value
                seen.add((fact, one.session))
            grows_at = one.well_at + following(age)
            due = grows_at if due is None else min(due, grows_at)
        for fact, session in self._reported.keys() - seen:
            report(_measured(fact, session, None))
            del self._reported[fact, session]
        return due


class KeepaliveMonitor:
    """Report each word of a program that changes something, and in steps for how long there was none.

    Args:
        surroundings: know what programs say.
    """

    name = "keepalive"
    facts: tuple[Fact, ...] = (KEEPALIVE_AGE, HEALTHY)

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._healths = Healths()

    async def run(self, report: Report) -> None:
        """Report what programs said last, then every change, until cancelled.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        await keep_looking(
            self._surroundings, lambda now: self._healths.look(self._surroundings.keep_alives(), now, report)
        )


def _measured(fact: str, session: str, value: FactValue | None) -> FactMeasured:
    limit = lifetime_s(value) if isinstance(value, float) else None
    return FactMeasured(fact=fact, value=value, session=session, lifetime_s=limit)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the keepalive monitor."""
    return (KeepaliveMonitor(surroundings),)
