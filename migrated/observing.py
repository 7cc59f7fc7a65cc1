"""Answers to what people ask of the monitors: how they do, what is measured, what they reported."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator

from migrated.control.messages import MISSED, EventList, EventReport, Refused
from migrated.control.observations import (
    MAX_FACTS_TOLD,
    Events,
    FactList,
    FactReport,
    Facts,
    MonitorList,
    MonitorReport,
    Monitors,
)
from migrated.control.permission import OVERFLOW_UID, Credentials, may_access
from migrated.core import Core
from migrated.monitor_events import event_report, unit_of
from monitors.discovery import PluginFailure
from monitors.events import Event, FactMeasured
from monitors.facts import FactTable, Subject
from monitors.host import MonitorHost
from monitors.mailbox import Reported
from monitors.supervisor import MonitorState, MonitorStatus
from policylang.diagnostics import did_you_mean, quote

FAILED_TO_LOAD = "failed to load"
"""The state of a plugin that could not be used."""

_TROUBLE = frozenset({MonitorState.BLOCKED, MonitorState.PAUSED, MonitorState.GIVEN_UP})
_OF_SESSIONS = frozenset({Subject.SESSION, Subject.CONNECTION})


class Observations:
    """Answers requests about the monitors and what they measure.

    Args:
        core: the sessions, whose owners alone see what is measured of them, and the engine that knows it.
        host: runs the monitors.
        facts: those of this host.
    """

    def __init__(self, core: Core, host: MonitorHost, facts: FactTable) -> None:
        self._core = core
        self._host = host
        self._facts = facts
        self._started = core.now()

    def handle(
        self, request: Facts | Monitors | Events, who: Credentials
    ) -> FactList | MonitorList | EventList | Refused | AsyncIterator[EventReport]:
        """Answer one request."""
        match request:
            case Facts():
                return self._known(request, who)
            case Monitors():
                return self.monitors(who)
            case Events():
                return self._events(request, who)

    def monitors(self, who: Credentials) -> MonitorList:
        """Return how every monitor does, and which plugins could not be used."""
        status = self._host.status()
        running = (self._monitor(monitor, who) for monitor in status.monitors)
        return MonitorList(
            monitors=(*running, *map(_not_loaded, status.failures)),
            uptime_s=self._core.now() - self._started,
            waiting=status.waiting,
            merged=status.merged,
            refused=status.refused,
        )

    def _monitor(self, monitor: MonitorStatus, who: Credentials) -> MonitorReport:
        # The words of an event may name a session.
        told = who.privileged or not any(fact.subject in _OF_SESSIONS for fact in monitor.facts)
        return MonitorReport(
            name=monitor.name,
            state=monitor.state.value,
            troubled=monitor.state in _TROUBLE,
            events=monitor.events,
            failures=monitor.failures,
            last_error=monitor.last_error or "",
            last_error_at=self._when(monitor.last_error_at),
            kind=monitor.kind.value,
            origin=monitor.origin,
            detail=monitor.detail,
            facts=tuple(fact.name for fact in monitor.facts),
            restarts=monitor.restarts,
            last_event=(monitor.last_event or "") if told else "",
            last_event_at=self._when(monitor.last_event_at),
            cost_s=monitor.cost_s,
            longest_step_s=monitor.longest_step_s,
            running_s=monitor.running_s,
        )

    def _known(self, request: Facts, who: Credentials) -> FactList | Refused:
        for name in request.names:
            if name not in self._facts.known:
                hint = did_you_mean(name, self._facts.known) or "`migrate facts` lists those that there are"
                return Refused(reason=f"there is no fact {quote(name)}; {hint}", code="unknown-fact")
        seen = [
            event
            for event in self._core.engine.measured()
            if (not request.names or event.fact in request.names) and self._may_see(event, who)
        ]
        # Of sessions there can be any number: they must not crowd out what is known of host and links.
        seen.sort(key=lambda event: bool(event.session))
        told = seen[:MAX_FACTS_TOLD]
        return FactList(facts=tuple(map(self._fact, told)), omitted=len(seen) - len(told))

    def _events(self, request: Events, who: Credentials) -> EventList | Refused | AsyncIterator[EventReport]:
        known = [monitor.name for monitor in self._host.status().monitors]
        for name in request.monitors:
            if name not in known:
                hint = did_you_mean(name, known) or "`migrate monitors` lists those that there are"
                return Refused(reason=f"there is no monitor {quote(name)}; {hint}", code="unknown-monitor")
        return self._follow(request, who) if request.follow else EventList(events=self._latest(request, who))

    def _latest(self, request: Events, who: Credentials) -> tuple[EventReport, ...]:
        latest: deque[EventReport] = deque(self._told(self._host.recent, request, who), maxlen=request.count)
        return tuple(latest)

    async def _follow(self, request: Events, who: Credentials) -> AsyncIterator[EventReport]:
        with self._host.follow() as follower:
            for event in self._latest(request, who):
                yield event
            while True:
                reported, dropped = await follower.take()
                if dropped:
                    yield EventReport(time=time.time(), event=MISSED, fields={"count": dropped})
                for event in self._told(reported, request, who):
                    yield event

    def _told(self, reported: Iterable[Reported], request: Events, who: Credentials) -> Iterator[EventReport]:
        for event, monitor, at in reported:
            if (not request.monitors or monitor in request.monitors) and self._may_see(event, who):
                yield event_report(monitor, self._epoch(at), event, self._facts)

    def _may_see(self, event: Event, who: Credentials) -> bool:
        """Return whether an event is no one's, or about a session that the asker may see."""
        session = event.session if isinstance(event, FactMeasured) else ""
        return not session or who.privileged or may_access(who, self._owner(session))

    def _owner(self, session: str) -> int:
        """Return the user of a session; of one that there is not, it is nobody whom the kernel could name."""
        try:
            found = self._core.sessions.of_name(session)
        except ValueError:  # what a plugin takes for a session
            return OVERFLOW_UID
        return OVERFLOW_UID if found is None else found.uid

    def _fact(self, event: FactMeasured) -> FactReport:
        at, lifetime_s = self._when(event.measured_at), event.lifetime_s
        return FactReport(
            fact=event.fact,
            value=event.value,
            unit=unit_of(event.fact, self._facts),
            interface=event.interface,
            peer=event.peer,
            session=event.session,
            connection=event.connection,
            measured_at=at,
            expires_at=None if at is None or lifetime_s is None else at + lifetime_s,
        )

    def _when(self, at: float | None) -> float | None:
        return None if at is None else self._epoch(at)

    def _epoch(self, at: float) -> float:
        """Return a time of the loop's clock in seconds since the epoch."""
        return time.time() - self._core.now() + at


def _not_loaded(failure: PluginFailure) -> MonitorReport:
    return MonitorReport(
        name=failure.name,
        state=FAILED_TO_LOAD,
        troubled=True,
        kind=failure.origin.kind.value,
        origin=failure.origin.where,
        detail=failure.reason,
        events=0,
        failures=1,
        last_error=failure.reason,
    )
