"""The keepalive monitor: what programs say of their sessions' health, and how long ago they did.

A program that says once a second that all is well is reported once. Sessions whose programs never say a word
have neither fact, and suspended ones have none either: their programs can't do anything.

Source: the Migrate paper, section V-E (application keep-alives).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf

from monitors.ages import following, keep_looking, lifetime_s, reached
from monitors.events import FactMeasured
from monitors.facts import HEALTHY, KEEPALIVE_AGE, Fact
from monitors.settings import refuse_any
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import KeepAlive, Surroundings


class Healths:
    """What was reported of each session; an event counts as reported when ``report`` has taken it."""

    def __init__(self) -> None:
        self._healthy: dict[str, bool] = {}
        self._ages: dict[str, float] = {}

    def look(self, said: Collection[KeepAlive], now: float, report: Report) -> float | None:
        """Report what is another than before, and return when to look again; ``None`` if nothing grows.

        Args:
            said: what programs said last.
            now: event loop's clock, seconds.
            report: takes each event.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next look reports it.
        """
        due = inf
        for one in said:
            age = reached(now - one.well_at)
            due = min(due, one.well_at + following(age))
            if self._healthy.get(one.session) is not one.healthy:
                report(_healthy(one.session, one.healthy))
                self._healthy[one.session] = one.healthy
            if self._ages.get(one.session) != age:
                report(_age(one.session, age))
                self._ages[one.session] = age
        if len(said) < len(self._healthy):
            self._withdraw(self._healthy.keys() - {one.session for one in said}, report)
        return None if due == inf else due

    def _withdraw(self, sessions: Iterable[str], report: Report) -> None:
        for session in sessions:
            if session in self._ages:
                report(_age(session, None))
                del self._ages[session]
            report(_healthy(session, None))
            del self._healthy[session]


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


def _healthy(session: str, healthy: bool | None) -> FactMeasured:
    return FactMeasured(fact=HEALTHY.name, value=healthy, session=session)


def _age(session: str, step: float | None) -> FactMeasured:
    limit = None if step is None else lifetime_s(step)
    return FactMeasured(fact=KEEPALIVE_AGE.name, value=step, session=session, lifetime_s=limit)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the keepalive monitor.

    Raises:
        SettingsError: somebody set something; it has no settings.
    """
    refuse_any(surroundings.settings(KeepaliveMonitor.name))
    return (KeepaliveMonitor(surroundings),)
