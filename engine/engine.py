"""The engine: takes events and the daemon's reports in, gives decisions out.

The engine's view of where a session is follows what the daemon reports, never the
engine's own wishes. A report changes what is to be judged, and the decision that comes
of it is given by the next `handle_timer`, which `next_deadline` asks for at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from engine.attachment import AttachmentPoint, PointKey, canonical_address
from engine.cohorts import Cohort, CohortTable
from engine.decision import Decision, Reason, Verdict, decisions_for
from engine.explain import Explanation, LinkRow, PointExplanation, explain, link_rows
from engine.failures import Failures
from engine.judge import CALM, STAY, Position, judge
from engine.reasons import argue
from engine.rules import RuleSet
from engine.session import SessionDescription
from engine.world import USABLE, World
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured
from policylang.ast import ExpireRule, Policy


class Engine:
    """Decide for every session which attachment point it should use.

    All times are seconds on one clock of the caller's that never goes back.

    Raises:
        UnsupportedStatementError: the policy holds a statement that is not of this version.
    """

    def __init__(self, policy: Policy) -> None:
        self._rules = RuleSet(policy)
        self._world = World()
        self._failures = Failures()
        self._cohorts = CohortTable()
        self._sessions: dict[str, SessionDescription] = {}
        self._by_peer: dict[str, dict[str, None]] = {}

    # What happens in the world, and to the policy.

    def handle(self, event: Event, now: float) -> tuple[Decision, ...]:
        """Take in what a monitor reports and return the decisions that follow."""
        if isinstance(event, FactMeasured) or not self._world.apply(event):
            return self.handle_timer(now)
        address = event.address if isinstance(event, AddressPresent | AddressGone) else None
        self._bar_anew(self._failures.forget_interface(event.interface, address), now)
        self._bar_anew(self._failures.expire(now), now)
        return self._decide(self._cohorts.all(), now)

    def handle_timer(self, now: float) -> tuple[Decision, ...]:
        """Return the decisions whose time has come; harmless when called early."""
        self._bar_anew(self._failures.expire(now), now)
        return self._decide(self._cohorts.due(now), now)

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` should be called next; a time that is past means now."""
        times = (self._cohorts.next_deadline(), self._failures.next_deadline())
        return min((at for at in times if at is not None), default=None)

    def replace_policy(self, policy: Policy, now: float) -> tuple[Decision, ...]:
        """Put another policy in force for all sessions; clocks that run go on running.

        Raises:
            UnsupportedStatementError: the policy can't be judged; the one before stays in force.
        """
        self._rules = RuleSet(policy)
        for session, description in self._sessions.items():
            cohort = self._cohorts[session]
            group = self._rules.classify(description)
            self._cohorts.place(session, group, cohort.position, cohort.situation, now)
        return self._decide(self._cohorts.all(), now)

    # What the daemon reports.

    def add_session(
        self, description: SessionDescription, attachment: PointKey, now: float, *, suspended: bool = False
    ) -> None:
        """Take in a session that is at ``attachment`` (interface, address).

        Raises:
            ValueError: a session of that name is known already.
        """
        if description.id in self._sessions:
            raise ValueError(f"session `{description.id}` is known already")
        self._sessions[description.id] = description
        self._by_peer.setdefault(description.peer, {})[description.id] = None
        position = self._position(description.peer, attachment, suspended=suspended)
        self._cohorts.place(description.id, self._rules.classify(description), position, CALM, now)

    def remove_session(self, session: str) -> None:
        """Forget a session that has ended.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions.pop(session).peer
        self._cohorts.remove(session)
        del self._by_peer[peer][session]
        if not self._by_peer[peer]:
            del self._by_peer[peer]
            self._failures.forget_peer(peer)

    def session_moved(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session is live at ``attachment`` now, moved or resumed.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions[session].peer
        position = self._position(peer, attachment, suspended=False)
        if self._failures.succeeded(peer, position.current):
            self._bar_anew({peer}, now)
            position = self._position(peer, attachment, suspended=False)
        self._cohorts.place(session, self._cohorts[session].group, position, CALM, now)

    def session_suspended(self, session: str, now: float) -> None:
        """Take in that a session is suspended, where it was.

        Raises:
            KeyError: there is no session of that name.
        """
        cohort = self._cohorts[session]
        peer = self._sessions[session].peer
        position = self._position(peer, cohort.position.current, suspended=True)
        self._cohorts.place(session, cohort.group, position, CALM, now)

    def point_failed(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session could not be moved to ``attachment``; it is barred for that peer a while.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions[session].peer
        self._failures.record(peer, _canonical(attachment), now)
        self._bar_anew({peer}, now)
        cohort = self._cohorts[session]
        self._cohorts.place(
            session, cohort.group, cohort.position, replace(cohort.situation, given=STAY), now
        )

    # Questions.

    def adopts(self, description: SessionDescription) -> Verdict:
        """Say whether the policy makes connections of this description into a session."""
        adopt = self._rules.classify(description).adopt
        text = "`adopt` applies" if adopt.value else "`adopt never` applies"
        if adopt.span is None:
            text = "no `adopt` applies"
        return Verdict(adopt=adopt.value, reasons=(Reason(span=adopt.span, text=text),))

    def expire_rules(self, description: SessionDescription) -> tuple[ExpireRule, ...]:
        """Return the statements of which the shortest says when such a session, suspended, is given up."""
        return self._rules.classify(description).expire

    def eager(self, description: SessionDescription) -> bool:
        """Return whether continuations of such a session are asked for when it is suspended, not later."""
        return self._rules.classify(description).eager.value

    def points(self) -> tuple[AttachmentPoint, ...]:
        """Return the attachment points by which packets can leave."""
        return tuple(p for p in self._world.points if self._world.status(p.key) == USABLE)

    def links(self) -> tuple[LinkRow, ...]:
        """Return every attachment point, usable or why not, with its score outside every `on`."""
        return link_rows(self._world, self._rules)

    def scores(self, session: str) -> tuple[PointExplanation, ...]:
        """Return how every attachment point stands for a session.

        Raises:
            KeyError: there is no session of that name.
        """
        # Scores and eligibility have no clocks in them, so any time will do.
        return self.explain(session, 0.0).links

    def explain(self, subject: SessionDescription | str, now: float) -> Explanation:
        """Explain what is decided at ``now`` for a session, or for one created with this description.

        Raises:
            KeyError: there is no session of that name.
        """
        if isinstance(subject, str):
            at = self._cohorts[subject]
            return explain(subject, at.group, at.position, at.situation, self._world, now)
        position = self._position(subject.peer, self._attachment(subject), suspended=False)
        return explain(subject.id, self._rules.classify(subject), position, CALM, self._world, now)

    # Inside.

    def _attachment(self, description: SessionDescription) -> PointKey:
        """Return the point that has the local address of a session's first connection."""
        address = canonical_address(description.connections[0].local_address)
        found = (point.key for point in self._world.points if point.address == address)
        return next(found, ("", address))

    def _position(self, peer: str, attachment: PointKey, *, suspended: bool) -> Position:
        return Position(
            current=_canonical(attachment), suspended=suspended, barred=self._failures.barred(peer)
        )

    def _bar_anew(self, peers: Iterable[str], now: float) -> None:
        """Put the sessions of these peers among those to whom the same points are barred."""
        for peer in peers:
            for session in self._by_peer.get(peer, ()):
                cohort = self._cohorts[session]
                position = self._position(peer, cohort.position.current, suspended=cohort.position.suspended)
                self._cohorts.place(session, cohort.group, position, cohort.situation, now)

    def _decide(self, cohorts: list[Cohort], now: float) -> tuple[Decision, ...]:
        """Judge cohorts, and give each member the answer if it was not given before."""
        decisions: list[Decision] = []
        for cohort in cohorts:
            if not cohort.members:
                continue  # joined to another meanwhile
            judgement = judge(cohort.group, cohort.position, cohort.situation, self._world, now)
            cohort.due = judgement.due
            if judgement.answer not in (STAY, cohort.situation.given):
                reasons = argue(cohort.group, cohort.position, judgement, self._world)
                decisions += decisions_for(cohort.members, judgement.answer, reasons)
            if judgement.situation != cohort.situation:
                self._cohorts.turn(cohort, judgement.situation)
        return tuple(decisions)


def _canonical(attachment: PointKey) -> PointKey:
    """Return an attachment with its address as events write it."""
    interface, address = attachment
    return (interface, canonical_address(address))
