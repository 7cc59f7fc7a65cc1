"""The engine: takes events and the daemon's reports in, gives decisions out.

The engine's view of where a session is follows what the daemon reports, never the
engine's own wishes. A report changes what is to be judged, and the decision that comes
of it is given by the next `handle_timer`, which `next_deadline` asks for at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from engine.attachment import AttachmentPoint, PointKey, canonical_address
from engine.cohorts import Cohort
from engine.decision import Decision, Verdict, decisions_for
from engine.explain import Explanation, LinkRow, PointExplanation, explain, link_row, point_rows
from engine.facts import event_of
from engine.forks import ConditionRow, condition_rows
from engine.judge import CALM, STAY, Position, Situation, judge, on_at, standings
from engine.population import Population
from engine.reasons import argue
from engine.rules import CompiledPolicy
from engine.scoring import Reason, Variant
from engine.servers import ServerRow, rank_servers
from engine.session import SessionDescription
from engine.world import USABLE, World
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, NetworkEvent
from policylang.ast import ExpireRule, Policy, Span


class Engine:
    """Decide for every session which attachment point it should use.

    All times are seconds on one clock of the caller's that never goes back.

    Args:
        policy: a checked policy, compiled or not.
    """

    def __init__(self, policy: Policy | CompiledPolicy) -> None:
        self._world = World()
        self._population = Population(_compiled(policy))

    # What happens in the world, and to the policy.

    def handle(self, event: Event, now: float) -> tuple[Decision, ...]:
        """Take in what a monitor reports and return the decisions that follow."""
        population = self._population
        population.triggers.advance(now)
        if isinstance(event, FactMeasured):
            self._measured(event, now)
            everyone = False
        else:
            everyone = self._observe(event, now)
        population.bring_up(now)
        return self._decide(population.cohorts.all() if everyone else population.cohorts.due(now), now)

    def handle_timer(self, now: float) -> tuple[Decision, ...]:
        """Return the decisions whose time has come; harmless when called early."""
        self._population.triggers.advance(now)
        self._population.bring_up(now)
        return self._decide(self._population.cohorts.due(now), now)

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` should be called next; a time that is past means now."""
        return self._population.next_deadline()

    def replace_policy(self, policy: Policy | CompiledPolicy, now: float) -> tuple[Decision, ...]:
        """Put another policy in force for all sessions; clocks that run go on running.

        One that is compiled already, in another thread perhaps, is put in force the sooner.
        """
        rules = _compiled(policy)
        self._population.triggers.advance(now)
        self._population.bring_up(now)
        self._population.replace_rules(rules, now)
        return self._decide(self._population.cohorts.all(), now)

    # What the daemon reports.

    def add_session(
        self, description: SessionDescription, attachment: PointKey, now: float, *, suspended: bool = False
    ) -> None:
        """Take in a session that is at ``attachment`` (interface, address).

        Raises:
            ValueError: a session of that name is known already.
        """
        self._population.add(description, attachment, now, suspended=suspended)

    def remove_session(self, session: str) -> None:
        """Forget a session that has ended.

        Raises:
            KeyError: there is no session of that name.
        """
        self._population.remove(session)

    def session_moved(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session is live at ``attachment`` now, moved or resumed.

        Raises:
            KeyError: there is no session of that name.
        """
        self._population.moved(session, attachment, now)

    def session_suspended(self, session: str, now: float) -> None:
        """Take in that a session is suspended, where it was.

        Raises:
            KeyError: there is no session of that name.
        """
        self._population.suspended(session, now)

    def point_failed(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session could not be moved to ``attachment``; it is barred for that peer a while.

        Raises:
            KeyError: there is no session of that name.
        """
        self._population.failed(session, attachment, now)

    # Questions.

    def adopts(self, description: SessionDescription) -> Verdict:
        """Say whether the policy makes connections of this description into a session."""
        adopt = self._population.variant(description).adopt
        text = "`adopt` applies" if adopt.value else "`adopt never` applies"
        if adopt.span is None:
            text = "no `adopt` applies"
        return Verdict(adopt=adopt.value, reasons=(Reason(span=adopt.span, text=text),))

    def expire_rules(self, subject: SessionDescription | str) -> tuple[ExpireRule, ...]:
        """Return the statements of which the shortest says when a session, suspended, is given up.

        Args:
            subject: A description, or the name of a session: then what is measured of it counts too.

        Raises:
            KeyError: there is no session of that name.
        """
        return self._population.variant(subject).expire

    def eager(self, subject: SessionDescription | str) -> bool:
        """Return whether continuations of a session are asked for when it is suspended, not later.

        ``subject`` is as for `expire_rules`.

        Raises:
            KeyError: there is no session of that name.
        """
        return self._population.variant(subject).eager.value

    def notifies(self, subject: SessionDescription | str) -> bool:
        """Return whether programs are told that their session was suspended, resumed or moved.

        ``subject`` is as for `expire_rules`.

        Raises:
            KeyError: there is no session of that name.
        """
        return self._population.variant(subject).notify.value

    def servers(
        self, subject: SessionDescription | str, candidates: Sequence[str], current: str = ""
    ) -> tuple[ServerRow, ...]:
        """Rank candidate servers for a session, names or addresses as text, the best first.

        ``subject`` is as for `expire_rules`; ``current`` is the server in use.

        Raises:
            KeyError: there is no session of that name.
        """
        return rank_servers(self._population.variant(subject), candidates, current)

    def applied(self, session: str) -> frozenset[Span]:
        """Return the statements in force for a session: under a condition about links, for one of the points.

        Raises:
            KeyError: there is no session of that name.
        """
        at, links = self._population.cohorts[session], self._population.triggers.board.links
        interfaces = {point.interface for point in self._world.points}
        return at.group.applied([on_at(name, at.group, at.position, links) for name in interfaces])

    def points(self) -> tuple[AttachmentPoint, ...]:
        """Return the attachment points by which packets can leave."""
        return tuple(p for p in self._world.points if self._world.status(p.key) == USABLE)

    def links(self) -> tuple[LinkRow, ...]:
        """Return every attachment point, usable or why not, with its score outside every `on`."""
        board = self._population.triggers.board
        groups = {
            family: self._population.rules.unconditional(family).variant(board.host) for family in (4, 6)
        }
        return tuple(
            link_row(point, self._world, groups[point.family], board.links) for point in self._world.points
        )

    def measured(self) -> tuple[FactMeasured, ...]:
        """Return all that is known, by fact and what it is about, with when it was measured.

        Whoever shows it decides who may see what is measured of a session or of its peer. What was over when
        the engine was last called is not among it.
        """
        known = sorted(self._population.triggers.known(), key=itemgetter(0, 1))
        return tuple([event_of(fact, key, measurement) for fact, key, measurement in known])

    def scores(self, session: str) -> tuple[PointExplanation, ...]:
        """Return how every attachment point stands for a session.

        Raises:
            KeyError: there is no session of that name.
        """
        at = self._population.cohorts[session]
        return point_rows(
            standings(at.group, at.position, self._world, self._population.triggers.board.links)
        )

    def explain(self, subject: SessionDescription | str, now: float) -> Explanation:
        """Explain what is decided at ``now`` for a session, or for one created with this description.

        What is measured counts as it stood when the engine was last called with an event or for its timer.

        Raises:
            KeyError: there is no session of that name.
        """
        if isinstance(subject, str):
            at, live = self._population.cohorts[subject], self._population[subject]
            conditions = self._conditions(at.group, subject, live.peer)
            return self._explain(subject, at.group, at.position, at.situation, conditions, now)
        group, peer = self._population.variant(subject), subject.peer
        position = self._population.position(group.base, peer, self._attachment(subject), suspended=False)
        # Under no name: what is measured of a live session that happens to have the same is not its own.
        conditions = self._conditions(group, "", peer)
        return self._explain(subject.id, group, position, CALM, conditions, now)

    # Inside.

    def _conditions(self, group: Variant, session: str, peer: str) -> tuple[ConditionRow, ...]:
        interfaces = (point.interface for point in self._world.points)
        return condition_rows(group.base, self._population.triggers, session, peer, interfaces)

    def _explain(
        self,
        session: str,
        group: Variant,
        position: Position,
        situation: Situation,
        conditions: tuple[ConditionRow, ...],
        now: float,
    ) -> Explanation:
        links = self._population.triggers.board.links
        return explain(session, group, position, situation, self._world, now, links, conditions)

    def _attachment(self, description: SessionDescription) -> PointKey:
        """Return the point that has the local address of a session's first connection."""
        address = canonical_address(description.connections[0].local_address)
        found = (point.key for point in self._world.points if point.address == address)
        return next(found, ("", address))

    def _measured(self, event: FactMeasured, now: float) -> None:
        triggers = self._population.triggers
        key = triggers.subject_of(event)
        if self._population.knows(key):
            triggers.measured(event, key, now)

    def _observe(self, event: NetworkEvent, now: float) -> bool:
        """Take in an event about links and addresses, and return whether it changed anything."""
        changed, triggers = self._world.apply(event), self._population.triggers
        links = self._world.links()
        if isinstance(event, LinkGone) and event.interface not in links:
            triggers.forget(("link", event.interface))
        if changed:
            triggers.observe(links, now)
            address = event.address if isinstance(event, AddressPresent | AddressGone) else None
            self._population.point_changed(event.interface, address, now)
        return changed

    def _decide(self, cohorts: list[Cohort], now: float) -> tuple[Decision, ...]:
        """Judge cohorts, and give each member the answer if it was not given before."""
        decisions: list[Decision] = []
        links = self._population.triggers.board.links
        for cohort in cohorts:
            if not cohort.members:
                continue  # joined to another meanwhile
            judgement = judge(cohort.group, cohort.position, cohort.situation, self._world, now, links)
            self._population.cohorts.put_off(cohort, judgement.due)
            if judgement.answer not in (STAY, cohort.situation.given):
                reasons = argue(cohort.group, cohort.position, judgement, self._world)
                decisions += decisions_for(cohort.members, judgement.answer, reasons)
            if judgement.situation != cohort.situation:
                self._population.cohorts.turn(cohort, (cohort.group, cohort.position, judgement.situation))
        return tuple(decisions)


def _compiled(policy: Policy | CompiledPolicy) -> CompiledPolicy:
    return policy if isinstance(policy, CompiledPolicy) else CompiledPolicy(policy)
