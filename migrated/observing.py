"""Answers to what people ask of the monitors: how they do, what is measured, what they reported."""

from __future__ import annotations

import time
from collections.abc import Sequence

from migrated.control.messages import Refused
from migrated.control.observations import (
    MAX_FACTS_TOLD,
    FactList,
    FactReport,
    Facts,
    MonitorList,
    MonitorReport,
    Monitors,
)
from migrated.control.permission import OVERFLOW_UID, Credentials, may_access
from migrated.core import Core
from migrated.monitor_events import unit_of
from monitors.discovery import PluginFailure
from monitors.events import FactMeasured
from monitors.facts import FactTable
from monitors.host import MonitorHost
from monitors.supervisor import MonitorState, MonitorStatus
from policylang.diagnostics import did_you_mean, quote

FAILED_TO_LOAD = "failed to load"
"""The state of a plugin that could not be used."""

_TROUBLE = frozenset({MonitorState.PAUSED})


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

    def handle(self, request: Facts | Monitors, who: Credentials) -> FactList | MonitorList | Refused:
        """Answer one request."""
        match request:
            case Facts():
                return self._known(request, who)
            case Monitors():
                return self._monitors()

    def monitors(self) -> tuple[MonitorReport, ...]:
        """Return how every monitor does, and which plugins could not be used."""
        status = self._host.status()
        return (*map(_running, status.monitors), *map(_not_loaded, status.failures))

    def _monitors(self) -> MonitorList:
        status = self._host.status()
        return MonitorList(
            monitors=self.monitors(),
            uptime_s=self._core.now() - self._started,
            waiting=status.waiting,
            merged=status.merged,
            refused=status.refused,
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
        return FactList(facts=self._reports(told), omitted=len(seen) - len(told))

    def _may_see(self, event: FactMeasured, who: Credentials) -> bool:
        """Return whether a measurement is no one's, or of a session that the asker may see."""
        return not event.session or who.privileged or may_access(who, self._owner(event.session))

    def _owner(self, session: str) -> int:
        """Return the user of a session; of one that there is not, it is nobody whom the kernel could name."""
        try:
            found = self._core.sessions.of_name(session)
        except ValueError:  # what a plugin takes for a session
            return OVERFLOW_UID
        return OVERFLOW_UID if found is None else found.uid

    def _reports(self, events: Sequence[FactMeasured]) -> tuple[FactReport, ...]:
        epoch = time.time() - self._core.now()
        return tuple(self._report(event, epoch) for event in events)

    def _report(self, event: FactMeasured, epoch: float) -> FactReport:
        at, lifetime_s = event.measured_at, event.lifetime_s
        return FactReport(
            fact=event.fact,
            value=event.value,
            unit=unit_of(event.fact, self._facts),
            interface=event.interface,
            peer=event.peer,
            session=event.session,
            connection=event.connection,
            measured_at=None if at is None else epoch + at,
            expires_at=None if at is None or lifetime_s is None else epoch + at + lifetime_s,
        )


def _running(monitor: MonitorStatus) -> MonitorReport:
    return MonitorReport(
        name=monitor.name,
        state=monitor.state.value,
        troubled=monitor.state in _TROUBLE,
        events=monitor.events,
        failures=monitor.failures,
        last_error=monitor.last_error or "",
        restarts=monitor.restarts,
        running_s=monitor.running_s,
    )


def _not_loaded(failure: PluginFailure) -> MonitorReport:
    return MonitorReport(
        name=failure.name,
        state=FAILED_TO_LOAD,
        troubled=True,
        detail=failure.reason,
        events=0,
        failures=1,
        last_error=failure.reason,
    )
