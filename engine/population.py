"""All sessions, each among those that are like it, and who is concerned by what changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from engine.attachment import PointKey, canonical_address
from engine.board import NO_PATHS, Personal
from engine.classes import SessionClass
from engine.cohorts import Cohort, CohortTable
from engine.conditions import Traits
from engine.facts import Key
from engine.failures import Failures
from engine.judge import CALM, STAY, Position
from engine.rules import CompiledPolicy, traits_of_all
from engine.scoring import Variant
from engine.session import SessionDescription
from engine.triggers import Triggers


@dataclass(frozen=True, slots=True)
class Live:
    """A session, and what is asked of its description again and again."""

    description: SessionDescription
    peer: str
    family: int
    traits: tuple[Traits, ...]


class Population:
    """Hold the sessions in cohorts, by what the rules, the triggers and failed moves make of them.

    Attributes:
        rules: the policy in force.
        triggers: what is measured, and which of the policy's triggers are on.
        cohorts: the sessions; those to be judged are due.
    """

    def __init__(self, rules: CompiledPolicy) -> None:
        self.rules = rules
        self.triggers = Triggers(rules.triggers)
        self.cohorts = CohortTable()
        self._failures = Failures()
        self._sessions: dict[str, Live] = {}
        self._by_peer: dict[str, dict[str, None]] = {}

    def next_deadline(self) -> float | None:
        """Return when there is something to `bring_up`, or a cohort to judge."""
        times = [asker.next_deadline() for asker in (self.cohorts, self._failures, self.triggers)]
        return min((at for at in times if at is not None), default=None)

    def __getitem__(self, session: str) -> Live:
        return self._sessions[session]

    # What is reported of sessions.

    def add(
        self, description: SessionDescription, attachment: PointKey, now: float, *, suspended: bool
    ) -> None:
        """Take in a session.

        Raises:
            ValueError: a session of that name is known already.
        """
        if description.id in self._sessions:
            raise ValueError(f"session `{description.id}` is known already")
        live = Live(description, description.peer, description.family, traits_of_all(description))
        self._sessions[description.id] = live
        self._by_peer.setdefault(live.peer, {})[description.id] = None
        base = self.rules.class_of(live.family, live.traits)
        position = self.position(base, live.peer, attachment, suspended=suspended)
        self.cohorts.place(description.id, self._group(base, description.id), position, CALM, now)

    def remove(self, session: str) -> None:
        """Forget a session, and what is known of its peer with the last one.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions.pop(session).peer
        self.cohorts.remove(session)
        self.triggers.forget(("session", session))
        del self._by_peer[peer][session]
        if not self._by_peer[peer]:
            del self._by_peer[peer]
            self._failures.forget_peer(peer)
            self.triggers.forget(("peer", peer))

    def moved(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session is live at ``attachment`` now.

        Raises:
            KeyError: there is no session of that name.
        """
        peer, group = self._sessions[session].peer, self.cohorts[session].group
        if self._failures.succeeded(peer, _canonical(attachment)):
            self._place_anew([peer], now)
        position = self.position(group.base, peer, attachment, suspended=False)
        self.cohorts.place(session, group, position, CALM, now)

    def suspended(self, session: str, now: float) -> None:
        """Take in that a session is suspended, where it was.

        Raises:
            KeyError: there is no session of that name.
        """
        cohort = self.cohorts[session]
        self.cohorts.place(session, cohort.group, replace(cohort.position, suspended=True), CALM, now)

    def failed(self, session: str, attachment: PointKey, now: float) -> None:
        """Take in that a session could not be moved to ``attachment``.

        Raises:
            KeyError: there is no session of that name.
        """
        peer = self._sessions[session].peer
        self._failures.record(peer, _canonical(attachment), now)
        self._place_anew([peer], now)
        at = self.cohorts[session]
        self.cohorts.place(session, at.group, at.position, replace(at.situation, given=STAY), now)

    def point_changed(self, interface: str, address: str | None, now: float) -> None:
        """Let moves to a link, or to one address of it, be tried again: it is not as it was."""
        self._place_anew(self._failures.forget_interface(interface, address), now)

    # What follows for whom.

    def bring_up(self, now: float) -> None:
        """Put those among their like whom turned triggers or the end of a bar concern, to be judged now."""
        flips = self.triggers.board.flips()
        if flips.host or flips.links:
            for cohort in self.cohorts.all():
                self._flip(cohort, flips.host, flips.links, now)
        for session in sorted(flips.sessions & self._sessions.keys()):
            cohort = self.cohorts[session]
            group = self._group(cohort.group.base, session)
            if group is not cohort.group:
                self.cohorts.place(session, group, cohort.position, cohort.situation, now)
        self._place_anew(flips.peers | self._failures.expire(now), now)

    def replace_rules(self, rules: CompiledPolicy, now: float) -> None:
        """Class all sessions by other rules, where they are and in the same situation."""
        self.rules = rules
        self.triggers.replace(rules.triggers, now)
        table, sort, board = CohortTable(), rules.sorter(), self.triggers.board
        for cohort in self.cohorts.all():
            groups: dict[tuple[SessionClass, Personal], dict[str, None]] = {}
            for session in cohort.members:
                live = self._sessions[session]
                base = sort(live.family, live.traits)
                groups.setdefault((base, board.personal(session, live.peer)), {})[session] = None
            for (base, (on, paths)), members in groups.items():
                position = replace(cohort.position, paths=_of_class(base, paths))
                table.place_all(members, (base.variant(board.host | on), position, cohort.situation), now)
        self.cohorts = table

    # Questions.

    def variant(self, subject: SessionDescription | str) -> Variant:
        """Return what holds now for a session, or for one created with this description.

        Raises:
            KeyError: there is no session of that name.
        """
        if isinstance(subject, str):
            return self.cohorts[subject].group
        return self.rules.classify(subject).variant(self.triggers.board.host)

    def position(self, base: SessionClass, peer: str, attachment: PointKey, *, suspended: bool) -> Position:
        """Return the position of a session of a class with this peer at ``attachment``."""
        return Position(
            current=_canonical(attachment),
            suspended=suspended,
            barred=self._failures.barred(peer),
            paths=_of_class(base, self.triggers.board.of_paths(peer)),
        )

    def knows(self, key: Key) -> bool:
        """Return whether facts about this are of use: peers and sessions must be known."""
        match key:
            case ("path", _, peer):
                return peer in self._by_peer
            case ("session", session) | ("connection", session, _):
                return session in self._sessions
        return True

    # Inside.

    def _group(self, base: SessionClass, session: str) -> Variant:
        board = self.triggers.board
        return base.variant(board.host | board.of_session(session))

    def _flip(self, cohort: Cohort, host: set[int], links: set[int], now: float) -> None:
        """Have a cohort judged anew if a trigger that was turned concerns it."""
        group = cohort.group
        if not group.base.triggers.isdisjoint(host) and cohort.members:
            self.cohorts.hasten(cohort, now)
            on = (group.on - host) | self.triggers.board.host
            self.cohorts.turn(cohort, (group.base.variant(on), cohort.position, cohort.situation))
        elif not group.guards.isdisjoint(links) and cohort.members:
            self.cohorts.hasten(cohort, now)

    def _place_anew(self, peers: Iterable[str], now: float) -> None:
        """Put the sessions of these peers among those whose ways to their peer are alike."""
        for peer in sorted(peers):
            cohorts: dict[Cohort, list[str]] = {}
            for session in self._by_peer.get(peer, ()):
                cohorts.setdefault(self.cohorts[session], []).append(session)
            for cohort, sessions in cohorts.items():
                was, base = cohort.position, cohort.group.base
                position = self.position(base, peer, was.current, suspended=was.suspended)
                if position != was:
                    self.cohorts.shift(cohort, sessions, position, now)


def _of_class(base: SessionClass, paths: frozenset[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    """Return what of all that is on for the paths to a peer is of interest for a class."""
    return frozenset(path for path in paths if path[1] in base.guards) if paths and base.guards else NO_PATHS


def _canonical(attachment: PointKey) -> PointKey:
    """Return an attachment with its address as events write it."""
    interface, address = attachment
    return (interface, canonical_address(address))
