"""The engine: takes events and the daemon's reports in, gives decisions out.

The engine's view of where a session is follows what the daemon reports, never the
engine's own wishes. A report changes what is to be judged, and the decision that comes
of it is given by the next `handle_timer`, which `next_deadline` asks for at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from engine.attachment import AttachmentPoint, PointKey, canonical_address
from engine.board import NO_PATHS, Personal
from engine.classes import SessionClass
from engine.cohorts import Cohort, CohortTable
from engine.conditions import Traits
from engine.decision import Decision, Verdict, decisions_for
from engine.explain import Explanation, LinkRow, PointExplanation, explain, link_row, point_rows
from engine.facts import Key
from engine.failures import Failures
from engine.forks import ConditionRow, condition_rows
from engine.judge import CALM, STAY, Position, Situation, judge, on_at, standings
from engine.reasons import argue
from engine.rules import CompiledPolicy, traits_of_all
from engine.scoring import Reason, Variant
from engine.servers import ServerRow, rank_servers
from engine.session import SessionDescription
from engine.triggers import Triggers
from engine.world import USABLE, World
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, NetworkEvent
from policylang.ast import ExpireRule, Policy, Span


@dataclass(frozen=True, slots=True)
class _Live:
    """A session, and what is asked of its description again and again."""

    description: SessionDescription
    peer: str
    family: int
    traits: tuple[Traits, ...]


class Engine:
    """Decide for every session which attachment point it should use.

    All times are seconds on one clock of the caller's that never goes back.

    Args:
        policy: a checked policy, compiled or not.
    """

    def __init__(self, policy: Policy | CompiledPolicy) -> None:
        self._rules = _compiled(policy)
        self._triggers = Triggers(self._rules.triggers)
        self._world = World()
        self._failures = Failures()
        self._cohorts = CohortTable()
        self._sessions: dict[str, _Live] = {}
        self._by_peer: dict[str, dict[str, None]] = {}

    # What happens in the world, and to the policy.

    def handle(self, event: Event, now: float) -> tuple[Decision, ...]:
        """Take in what a monitor reports and return the decisions that follow."""
        self._triggers.advance(now)
        if isinstance(event, FactMeasured):
            key = self._triggers.subject_of(event)
            if self._knows(key):
                self._triggers.measured(event, key, now)
            return self.handle_timer(now)
        changed = self._observe(event, now)
        self._bring_up(now)
        return self._decide(self._cohorts.all() if changed else self._cohorts.due(now), now)

    def handle_timer(self, now: float) -> tuple[Decision, ...]:
        """Return the decisions whose time has come; harmless when called early."""
        self._triggers.advance(now)
        self._bring_up(now)
        return self._decide(self._cohorts.due(now), now)

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` should be called next; a time that is past means now."""
        askers = (self._cohorts, self._failures, self._triggers)
        times = [asker.next_deadline() for asker in askers]
        return min((at for at in times if at is not None), default=None)

    def replace_policy(self, policy: Policy | CompiledPolicy, now: float) -> tuple[Decision, ...]:
        """Put another policy in force for all sessions; clocks that run go on running.

        One that is compiled already, in another thread perhaps, is put in force the sooner.
        """
        rules = _compiled(policy)
        self._triggers.advance(now)
        self._triggers.replace(rules.triggers, now)
        self._rules = rules
        self._cohorts = self._sorted_anew(now)
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
        live = _Live(description, description.peer, description.family, traits_of_all(description))
        self._sessions[description.id] = live
        self._by_peer.setdefault(live.peer, {})[description.id] = None
        base = self._rules.class_of(live.family, live.traits)
        position = self._position(base, live.peer, attachment, suspended=suspended)
        self._cohorts.place(description.id, self._group(base, description.id), position, CALM, now)

    def remove_session(self, session: str) -> None:
        """Forget a session that has ended.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions.pop(session).peer
        self._cohorts.remove(session)
        self._triggers.forget(("session", session))
        del self._by_peer[peer][session]
        if not self._by_peer[peer]:
            del self._by_peer[peer]
            self._failures.forget_peer(peer)
            self._triggers.forget(("peer", peer))

    def session_moved(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session is live at ``attachment`` now, moved or resumed.

        Raises:
            KeyError: there is no session of that name.
        """
        peer, group = self._sessions[session].peer, self._cohorts[session].group
        if self._failures.succeeded(peer, _canonical(attachment)):
            self._place_anew({peer}, now)
        position = self._position(group.base, peer, attachment, suspended=False)
        self._cohorts.place(session, group, position, CALM, now)

    def session_suspended(self, session: str, now: float) -> None:
        """Take in that a session is suspended, where it was.

        Raises:
            KeyError: there is no session of that name.
        """
        cohort = self._cohorts[session]
        self._cohorts.place(session, cohort.group, replace(cohort.position, suspended=True), CALM, now)

    def point_failed(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session could not be moved to ``attachment``; it is barred for that peer a while.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions[session].peer
        self._failures.record(peer, _canonical(attachment), now)
        self._place_anew({peer}, now)
        cohort = self._cohorts[session]
        self._cohorts.place(
            session, cohort.group, cohort.position, replace(cohort.situation, given=STAY), now
        )

    # Questions.

    def adopts(self, description: SessionDescription) -> Verdict:
        """Say whether the policy makes connections of this description into a session."""
        adopt = self._variant(description).adopt
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
        return self._variant(subject).expire

    def eager(self, subject: SessionDescription | str) -> bool:
        """Return whether continuations of a session are asked for when it is suspended, not later.

        ``subject`` is as for `expire_rules`.

        Raises:
            KeyError: there is no session of that name.
        """
        return self._variant(subject).eager.value

    def notifies(self, subject: SessionDescription | str) -> bool:
        """Return whether programs are told that their session was suspended, resumed or moved.

        ``subject`` is as for `expire_rules`.

        Raises:
            KeyError: there is no session of that name.
        """
        return self._variant(subject).notify.value

    def servers(
        self, subject: SessionDescription | str, candidates: Sequence[str], current: str = ""
    ) -> tuple[ServerRow, ...]:
        """Rank candidate servers for a session, names or addresses as text, the best first.

        ``subject`` is as for `expire_rules`; ``current`` is the server in use.

        Raises:
            KeyError: there is no session of that name.
        """
        return rank_servers(self._variant(subject), candidates, current)

    def applied(self, session: str) -> frozenset[Span]:
        """Return the statements in force for a session: under a condition about links, for one of the points.

        Raises:
            KeyError: there is no session of that name.
        """
        at, links = self._cohorts[session], self._triggers.board.links
        interfaces = {point.interface for point in self._world.points}
        return at.group.applied([on_at(name, at.group, at.position, links) for name in interfaces])

    def points(self) -> tuple[AttachmentPoint, ...]:
        """Return the attachment points by which packets can leave."""
        return tuple(p for p in self._world.points if self._world.status(p.key) == USABLE)

    def links(self) -> tuple[LinkRow, ...]:
        """Return every attachment point, usable or why not, with its score outside every `on`."""
        board = self._triggers.board
        groups = {family: self._rules.unconditional(family).variant(board.host) for family in (4, 6)}
        return tuple(
            link_row(point, self._world, groups[point.family], board.links) for point in self._world.points
        )

    def scores(self, session: str) -> tuple[PointExplanation, ...]:
        """Return how every attachment point stands for a session.

        Raises:
            KeyError: there is no session of that name.
        """
        at = self._cohorts[session]
        return point_rows(standings(at.group, at.position, self._world, self._triggers.board.links))

    def explain(self, subject: SessionDescription | str, now: float) -> Explanation:
        """Explain what is decided at ``now`` for a session, or for one created with this description.

        What is measured counts as it stood when the engine was last called with an event or for its timer.

        Raises:
            KeyError: there is no session of that name.
        """
        if isinstance(subject, str):
            at, live = self._cohorts[subject], self._sessions[subject]
            conditions = self._conditions(at.group, subject, live.peer)
            return self._explain(subject, at.group, at.position, at.situation, conditions, now)
        group, peer = self._variant(subject), subject.peer
        position = self._position(group.base, peer, self._attachment(subject), suspended=False)
        # Under no name: what is measured of a live session that happens to have the same is not its own.
        conditions = self._conditions(group, "", peer)
        return self._explain(subject.id, group, position, CALM, conditions, now)

    # Inside.

    def _conditions(self, group: Variant, session: str, peer: str) -> tuple[ConditionRow, ...]:
        interfaces = (point.interface for point in self._world.points)
        return condition_rows(group.base, self._triggers, session, peer, interfaces)

    def _explain(
        self,
        session: str,
        group: Variant,
        position: Position,
        situation: Situation,
        conditions: tuple[ConditionRow, ...],
        now: float,
    ) -> Explanation:
        links = self._triggers.board.links
        return explain(session, group, position, situation, self._world, now, links, conditions)

    def _attachment(self, description: SessionDescription) -> PointKey:
        """Return the point that has the local address of a session's first connection."""
        address = canonical_address(description.connections[0].local_address)
        found = (point.key for point in self._world.points if point.address == address)
        return next(found, ("", address))

    def _variant(self, subject: SessionDescription | str) -> Variant:
        """Return what holds now for a session, or for one created with this description."""
        if isinstance(subject, str):
            return self._cohorts[subject].group
        return self._rules.classify(subject).variant(self._triggers.board.host)

    def _group(self, base: SessionClass, session: str) -> Variant:
        board = self._triggers.board
        return base.variant(board.host | board.of_session(session))

    def _position(self, base: SessionClass, peer: str, attachment: PointKey, *, suspended: bool) -> Position:
        paths = self._triggers.board.of_paths(peer)
        return Position(
            current=_canonical(attachment),
            suspended=suspended,
            barred=self._failures.barred(peer),
            paths=_of_class(base, paths),
        )

    def _knows(self, key: Key) -> bool:
        """Return whether facts about this are of use: peers and sessions must be known."""
        match key:
            case ("path", _, peer):
                return peer in self._by_peer
            case ("session", session) | ("connection", session, _):
                return session in self._sessions
        return True

    def _observe(self, event: NetworkEvent, now: float) -> bool:
        """Take in an event about links and addresses, and return whether it changed anything."""
        changed = self._world.apply(event)
        links = self._world.links()
        if isinstance(event, LinkGone) and event.interface not in links:
            self._triggers.forget(("link", event.interface))
        if changed:
            self._triggers.observe(links, now)
            address = event.address if isinstance(event, AddressPresent | AddressGone) else None
            self._place_anew(self._failures.forget_interface(event.interface, address), now)
        return changed

    def _bring_up(self, now: float) -> None:
        """Put those among their like whom turned triggers or the end of a bar concern, to be judged now."""
        flips = self._triggers.board.flips()
        if flips.host or flips.links:
            for cohort in self._cohorts.all():
                self._flip(cohort, flips.host, flips.links, now)
        for session in flips.sessions & self._sessions.keys():
            cohort = self._cohorts[session]
            group = self._group(cohort.group.base, session)
            if group is not cohort.group:
                self._cohorts.place(session, group, cohort.position, cohort.situation, now)
        self._place_anew(flips.peers | self._failures.expire(now), now)

    def _flip(self, cohort: Cohort, host: set[int], links: set[int], now: float) -> None:
        """Have a cohort judged anew if a trigger that was turned concerns it."""
        group = cohort.group
        if not group.base.triggers.isdisjoint(host) and cohort.members:
            cohort.due = now
            on = (group.on - host) | self._triggers.board.host
            self._cohorts.turn(cohort, (group.base.variant(on), cohort.position, cohort.situation))
        elif not group.guards.isdisjoint(links):
            cohort.due = now

    def _place_anew(self, peers: Iterable[str], now: float) -> None:
        """Put the sessions of these peers among those whose ways to their peer are alike."""
        for peer in peers:
            cohorts: dict[Cohort, list[str]] = {}
            for session in self._by_peer.get(peer, ()):
                cohorts.setdefault(self._cohorts[session], []).append(session)
            for cohort, sessions in cohorts.items():
                was = cohort.position
                base = cohort.group.base
                position = self._position(base, peer, was.current, suspended=was.suspended)
                if position != was:
                    self._cohorts.shift(cohort, sessions, position, now)

    def _sorted_anew(self, now: float) -> CohortTable:
        """Return all sessions as the rules in force class them, where they are and in the same situation."""
        table, sort, board = CohortTable(), self._rules.sorter(), self._triggers.board
        for cohort in self._cohorts.all():
            groups: dict[tuple[SessionClass, Personal], dict[str, None]] = {}
            for session in cohort.members:
                live = self._sessions[session]
                base = sort(live.family, live.traits)
                groups.setdefault((base, board.personal(session, live.peer)), {})[session] = None
            for (base, (on, paths)), members in groups.items():
                position = replace(cohort.position, paths=_of_class(base, paths))
                key = (base.variant(board.host | on), position, cohort.situation)
                table.place_all(members, key, now)
        return table

    def _decide(self, cohorts: list[Cohort], now: float) -> tuple[Decision, ...]:
        """Judge cohorts, and give each member the answer if it was not given before."""
        decisions: list[Decision] = []
        links = self._triggers.board.links
        for cohort in cohorts:
            if not cohort.members:
                continue  # joined to another meanwhile
            judgement = judge(cohort.group, cohort.position, cohort.situation, self._world, now, links)
            cohort.due = judgement.due
            if judgement.answer not in (STAY, cohort.situation.given):
                reasons = argue(cohort.group, cohort.position, judgement, self._world)
                decisions += decisions_for(cohort.members, judgement.answer, reasons)
            if judgement.situation != cohort.situation:
                self._cohorts.turn(cohort, (cohort.group, cohort.position, judgement.situation))
        return tuple(decisions)


def _compiled(policy: Policy | CompiledPolicy) -> CompiledPolicy:
    return policy if isinstance(policy, CompiledPolicy) else CompiledPolicy(policy)


def _of_class(base: SessionClass, paths: frozenset[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    """Return what of all that is on for the paths to a peer is of interest for a class."""
    return frozenset(path for path in paths if path[1] in base.guards) if paths and base.guards else NO_PATHS


def _canonical(attachment: PointKey) -> PointKey:
    """Return an attachment with its address as events write it."""
    interface, address = attachment
    return (interface, canonical_address(address))
