"""An engine and a daemon that obeys it, on a clock that is driven by hand.

Every decision is carried out at the instant it is given, and time goes from one deadline of
the engine's to the next, so that what happens depends on nothing but what is put in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine import (
    CompiledPolicy,
    Decision,
    Engine,
    Explanation,
    Move,
    PointKey,
    Resume,
    SessionDescription,
    Stay,
    Suspend,
)
from monitors.events import Event
from policylang.ast import Policy, Span

MAX_AT_ONCE: Final = 64
"""Decisions for one session at one instant; with more the policy sends it to and fro without end."""

MAX_DECISIONS: Final = 10_000
"""Decisions between two things put in; with more it flaps for ever."""
ROUNDING_S: Final = 1e-6
"""How far a deadline may be beyond a time and count as reached: 20.1 s and 2 s more is not quite 22.1 s."""


class EndlessError(Exception):
    """A policy sends a session to and fro without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A decision, when it was given on the engine's clock, and whether it was carried out.

    ``done`` is false for a move that failed, and for every decision of a daemon that does not obey.
    """

    at: float
    decision: Decision
    done: bool


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a session is: its point, and whether it is suspended there; ``came`` brought it there."""

    description: SessionDescription
    point: PointKey
    suspended: bool = False
    came: Given | None = None
    moves: int = 0


class Simulation:
    """Hold a world, its sessions and the time, in seconds.

    Attributes:
        engine: The engine, for questions.
        now: The time.
        places: The sessions and where they are.
        failing: Names of points and interfaces; moves there fail.
        reached: The plain statements that were in force for a session at any time, if ``watch`` is given.

    Methods that put something in return the decisions that came of it.
    """

    def __init__(
        self, policy: Policy | CompiledPolicy, *, now: float = 0.0, obey: bool = True, watch: bool = False
    ) -> None:
        """Begin with no link and no session.

        Args:
            policy: The policy in force.
            now: The time at which it begins.
            obey: Whether decisions are carried out; if not, `moved` and others say what becomes of sessions.
            watch: Whether `reached` is kept.
        """
        self.engine = Engine(policy)
        self.now = now
        self.places: dict[str, Place] = {}
        self.failing: set[str] = set()
        self.reached: set[Span] = set()
        self._obey = obey
        self._watch = watch

    # What is put in.

    def advance(self, to: float) -> list[Given]:
        """Let time pass, from one deadline of the engine's to the next.

        Raises:
            EndlessError: a session is moved to and fro without end.
        """
        given: list[Given] = []
        while (deadline := self.engine.next_deadline()) is not None and deadline <= to + ROUNDING_S:
            self.now = max(self.now, deadline)
            given += self._carry_out(self.engine.handle_timer(self.now))
            if len(given) > MAX_DECISIONS:
                raise EndlessError(f"the policy gives more than {MAX_DECISIONS} decisions on end")
        self.now = max(self.now, to)
        return given

    def event(self, event: Event) -> list[Given]:
        """Let a monitor report something.

        Raises:
            EndlessError: a session is moved to and fro without end.
        """
        return self._carry_out(self.engine.handle(event, self.now))

    def reload(self, policy: Policy | CompiledPolicy) -> list[Given]:
        """Put another policy in force.

        Raises:
            EndlessError: a session is moved to and fro without end.
        """
        return self._carry_out(self.engine.replace_policy(policy, self.now))

    def open(
        self, description: SessionDescription, point: PointKey, *, suspended: bool = False
    ) -> list[Given]:
        """Let a session begin.

        Raises:
            ValueError: there is one of that name.
            EndlessError: a session is moved to and fro without end.
        """
        self.engine.add_session(description, point, self.now, suspended=suspended)
        self.places[description.id] = Place(description=description, point=point, suspended=suspended)
        return self._carry_out(self.engine.handle_timer(self.now))

    def close(self, session: str) -> None:
        """Let a session end.

        Raises:
            KeyError: there is none of that name.
        """
        self.engine.remove_session(session)
        del self.places[session]

    # Reports, for a daemon that does not obey. What comes of them is decided when time passes next.

    def moved(self, session: str, point: PointKey, at: float) -> None:
        """Take a session to be live at a point since ``at``, whoever brought it there.

        Raises:
            KeyError: there is none of that name.
        """
        self.now = max(self.now, at)
        self._arrive(session, point)

    def suspended(self, session: str, at: float) -> None:
        """Take a session to be suspended since ``at``.

        Raises:
            KeyError: there is none of that name.
        """
        self.now = max(self.now, at)
        self._park(session)

    def failed(self, session: str, point: PointKey, at: float) -> None:
        """Take the move of a session to a point to have failed at ``at``.

        Raises:
            KeyError: there is none of that name.
        """
        self.now = max(self.now, at)
        self.engine.point_failed(session, point, self.now)

    # Questions.

    def explain(self, session: str) -> Explanation:
        """Explain why a session is where it is.

        Raises:
            KeyError: there is none of that name.
        """
        return self.engine.explain(session, self.now)

    # Inside.

    def _carry_out(self, decisions: Iterable[Decision]) -> list[Given]:
        """Carry out decisions, and those that follow at once, until there are none."""
        given: list[Given] = []
        pending = list(decisions)
        limit = MAX_AT_ONCE * max(1, len(self.places))
        while True:
            self._note()
            given += [self._obeyed(decision) for decision in pending]
            if len(given) > limit:
                session = given[-1].decision.session
                raise EndlessError(f"the policy sends `{session}` to and fro without end")
            deadline = self.engine.next_deadline()
            if deadline is None or deadline > self.now:
                self._note()
                return given
            pending = list(self.engine.handle_timer(self.now))
            if not pending and self.engine.next_deadline() == deadline:
                raise AssertionError("the engine wants to be called again at once, for nothing")

    def _obeyed(self, decision: Decision) -> Given:
        """Do what a decision says, or let it fail."""
        session = decision.session
        place = self.places[session]
        done = self._obey
        if done and isinstance(decision, Move | Resume):
            done = not self.failing & {decision.to.name, decision.to.interface}
        given = Given(at=self.now, decision=decision, done=done)
        if not self._obey:
            return given
        match decision:
            case Move() | Resume() if not done:
                self.engine.point_failed(session, decision.to.key, self.now)
            case Move() | Resume():
                self._arrive(session, decision.to.key)
                place.moves += 1
                place.came = given
            case Suspend():
                self._park(session)
                place.came = given
            case Stay():
                raise AssertionError("to stay is no decision that is given")
        return given

    def _arrive(self, session: str, point: PointKey) -> None:
        self.engine.session_moved(session, point, self.now)
        place = self.places[session]
        place.point, place.suspended = point, False

    def _park(self, session: str) -> None:
        self.engine.session_suspended(session, self.now)
        self.places[session].suspended = True

    def _note(self) -> None:
        """Keep which statements are in force now."""
        if self._watch:
            for session in self.places:
                self.reached |= self.engine.applied(session)
