"""An engine that writes down all that it hears and all that it decides."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from engine import CompiledPolicy, Decision, Engine, PointKey, SessionDescription
from migrated.config import Configuration
from migrated.journal import Journal
from migrated.policies import PolicyInForce
from migrated.recording.recorder import Recorder
from monitors.events import Event
from policylang.ast import Policy

FOLDER: Final = "events"
"""The folder of the event log, in the state folder."""


def start_engine(
    policies: PolicyInForce,
    configuration: Configuration,
    *,
    recorded: bool,
    clock: Callable[[], float],
    journal: Journal,
) -> tuple[Engine, Recorder | None]:
    """Return an engine for the policy in force, and what writes its log, if one is to be written.

    Args:
        policies: what is in force.
        configuration: says where a log is, how large, and whether there is one.
        recorded: whether there may be one at all.
        clock: the engine's clock, in seconds.
        journal: is told when the log can't be written.
    """
    if not (recorded and configuration.recording.enabled):
        return Engine(policies.policy), None
    folder = configuration.state_folder / FOLDER

    def trouble(reason: str) -> None:
        journal.tell("not-recorded", level=logging.WARNING, reason=reason)

    recorder = Recorder(folder, configuration.recording, clock, trouble)
    return RecordedEngine(policies, recorder), recorder


class RecordedEngine(Engine):
    """An engine whose event log is written.

    Args:
        policies: what is in force, also from each `replace_policy` on.
        recorder: writes the log.
    """

    def __init__(self, policies: PolicyInForce, recorder: Recorder) -> None:
        super().__init__(policies.policy)
        self._policies, self._recorder = policies, recorder
        self._deciding = False
        recorder.policy(policies.generation, policies.sources)
        recorder.know(self.measured)

    def handle(self, event: Event, now: float) -> tuple[Decision, ...]:
        """Do as `Engine.handle`."""
        self._recorder.event(event, now)
        return self._recorded(lambda: super(RecordedEngine, self).handle(event, now), now)

    def handle_timer(self, now: float) -> tuple[Decision, ...]:
        """Do as `Engine.handle_timer`."""
        return self._recorded(lambda: super(RecordedEngine, self).handle_timer(now), now)

    def replace_policy(self, policy: Policy | CompiledPolicy, now: float) -> tuple[Decision, ...]:
        """Do as `Engine.replace_policy`."""
        self._recorder.policy(self._policies.generation, self._policies.sources)
        return self._recorded(lambda: super(RecordedEngine, self).replace_policy(policy, now), now)

    def add_session(
        self, description: SessionDescription, attachment: PointKey, now: float, *, suspended: bool = False
    ) -> None:
        """Do as `Engine.add_session`."""
        super().add_session(description, attachment, now, suspended=suspended)
        self._recorder.added(description, attachment, now, suspended=suspended)

    def remove_session(self, session: str) -> None:
        """Do as `Engine.remove_session`."""
        super().remove_session(session)
        self._recorder.removed(session)

    def session_moved(self, session: str, attachment: PointKey, now: float) -> None:
        """Do as `Engine.session_moved`."""
        super().session_moved(session, attachment, now)
        self._recorder.moved(session, attachment, now)

    def session_suspended(self, session: str, now: float) -> None:
        """Do as `Engine.session_suspended`."""
        super().session_suspended(session, now)
        self._recorder.suspended(session, now)

    def point_failed(self, session: str, attachment: PointKey, now: float) -> None:
        """Do as `Engine.point_failed`."""
        super().point_failed(session, attachment, now)
        self._recorder.failed(session, attachment, now)

    def _recorded(self, decide: Callable[[], tuple[Decision, ...]], now: float) -> tuple[Decision, ...]:
        """Decide and write it down, once: the engine's methods call each other."""
        if self._deciding:
            return decide()
        self._deciding = True
        try:
            decisions = decide()
        finally:
            self._deciding = False
        self._recorder.decided(decisions, now)
        return decisions
