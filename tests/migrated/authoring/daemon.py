"""A daemon that obeys at once and writes down everything, in simulated time."""

from __future__ import annotations

from collections.abc import Iterable

from engine import Connection, Move, PointKey, Resume, SessionDescription
from migrated.authoring.simulation import Given, Simulation
from migrated.recording.entries import (
    Entry,
    MoveFailed,
    PolicyLoaded,
    PolicyText,
    SessionAdded,
    SessionMoved,
    SessionRemoved,
    SessionSuspended,
    decision_entry,
    event_entry,
)
from migrated.recording.known import Known
from monitors.events import Event
from policylang import parse_policy
from policylang.ast import Layer, Policy

EPOCH = 1.7e9
"""The wall clock when the engine's shows 0."""


def policy(text: str) -> Policy:
    loaded = parse_policy(text, "/etc/log.policy").policy
    assert loaded is not None
    return loaded


def described(name: str, local: str, port: int = 22) -> SessionDescription:
    only = Connection(
        proto="tcp", local_address=local, local_port=1, remote_address="18.31.0.9", remote_port=port
    )
    return SessionDescription(id=name, connections=(only,))


class LoggingDaemon:
    """A simulation whose log is in ``entries``."""

    def __init__(self, text: str, start: float = 100.0) -> None:
        self.simulation = Simulation(policy(text), now=start)
        self.entries: list[Entry] = []
        self.given: list[Given] = []
        self._known = Known()
        self._generation = 0
        self._policy(text)
        self.entries = list(self._known.snapshot("started", program="1", wall=EPOCH + start, clock=start))

    def advance(self, to: float) -> None:
        self._note(self.simulation.advance(to))

    def event(self, event: Event) -> None:
        self._write(event_entry(event, wall=self._wall, clock=self._clock))
        self._note(self.simulation.event(event))

    def reload(self, text: str) -> None:
        self._policy(text)
        self._note(self.simulation.reload(policy(text)))

    def open(self, description: SessionDescription, point: PointKey) -> None:
        self._write(
            SessionAdded(wall=self._wall, clock=self._clock, description=description, attachment=point)
        )
        self._note(self.simulation.open(description, point))

    def close(self, session: str) -> None:
        self.simulation.close(session)
        self._write(SessionRemoved(wall=self._wall, clock=self._clock, session=session))

    def rotate(self) -> int:
        """Begin another file, and return where it begins."""
        begin = len(self.entries)
        measured = self.simulation.engine.measured()
        self.entries += self._known.snapshot(
            "rotated", program="1", wall=self._wall, clock=self._clock, measured=measured
        )
        return begin

    @property
    def _clock(self) -> float:
        return self.simulation.now

    @property
    def _wall(self) -> float:
        return EPOCH + self.simulation.now

    def _policy(self, text: str) -> None:
        files = (PolicyText(file="/etc/log.policy", layer=Layer.SYSTEM, text=text),)
        self._generation += 1
        self._write(
            PolicyLoaded(wall=self._wall, clock=self._clock, generation=self._generation, files=files)
        )

    def _note(self, given: Iterable[Given]) -> None:
        """Write what was decided at once, and then what became of it, as a daemon does."""
        together: dict[str, Given] = {}
        for one in given:
            self.given.append(one)
            if one.decision.session in together or any(one.at != other.at for other in together.values()):
                self._report(together.values())
                together = {}
            together[one.decision.session] = one
            self._write(decision_entry(one.decision, wall=EPOCH + one.at, clock=one.at))
        self._report(together.values())

    def _report(self, given: Iterable[Given]) -> None:
        for one in given:
            wall, clock, decision = EPOCH + one.at, one.at, one.decision
            session = decision.session
            if not isinstance(decision, Move | Resume):
                self._write(SessionSuspended(wall=wall, clock=clock, session=session))
            elif one.done:
                self._write(SessionMoved(wall=wall, clock=clock, session=session, attachment=decision.to.key))
            else:
                self._write(MoveFailed(wall=wall, clock=clock, session=session, attachment=decision.to.key))

    def _write(self, entry: Entry) -> None:
        self._known.take_in(entry)
        self.entries.append(entry)
