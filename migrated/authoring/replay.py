"""A log through a policy: what would have been decided when, beside what was decided then.

``docs/recording.md`` says what is taken from the log and what is simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from migrated.authoring.policies import read_policy
from migrated.authoring.recorded import recorded_policy
from migrated.authoring.simulation import EndlessError, Given, Simulation
from migrated.recording.entries import (
    AddressLost,
    AddressSeen,
    DecisionGiven,
    Entry,
    FactSeen,
    LinkLost,
    LinkSeen,
    MoveFailed,
    PolicyLoaded,
    SessionAdded,
    SessionMoved,
    SessionRemoved,
    SessionSuspended,
    SnapshotBegan,
    SnapshotEnded,
    decision_entry,
)
from policylang.ast import Policy

TOLERANCE_S: Final = 2.0
"""How far apart two equal decisions may be and count as one: a daemon with much to do is called late."""

Mark = Literal["=", "+", "-"]
EntryT = TypeVar("EntryT", bound=Entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A decision in a replay.

    Attributes:
        mark: `=` given then and now, `+` given only now, `-` given only then.
        decision: What is decided, with both times and the reasons: of now, or for `-` of then.
    """

    mark: Mark
    decision: DecisionGiven


class ReplayError(ValueError):
    """A log can't be replayed; the message says where and why."""


def replay(entries: Iterable[Entry], policy: Policy | None = None) -> Iterator[Replayed]:
    """Replay a log; memory is needed for what is known at one time, however long the log is.

    Args:
        entries: The log, in the order of time.
        policy: The policy to decide by. Sessions then follow what it decides. Without one the
            policies in the log decide, and sessions follow what the log reports of them.

    Raises:
        ReplayError: the policy sends a session to and fro without end.
        BadPolicyError: a policy in the log can't be read by this version of the program.
    """
    run = _Replay(policy)
    for entry in entries:
        yield from run.take(entry)
    yield from run.finish()


@dataclass(slots=True)
class _Row:
    """A decision that waits for its like; ``mark`` is that which it has if none comes."""

    mark: Mark
    decision: DecisionGiven
    matched: bool = False


@dataclass(slots=True)
class _Pairs:
    """Bring decisions of then and of now together, and give them out in the order of time."""

    _rows: deque[_Row] = field(default_factory=deque)
    _waiting: dict[tuple[object, ...], deque[_Row]] = field(default_factory=dict)

    def add(self, mark: Literal["+", "-"], decision: DecisionGiven) -> None:
        """Take a decision in, and join it with the oldest of the other kind that is the same."""
        alike = self._waiting.get(_key("-" if mark == "+" else "+", decision))
        if alike:
            self._join(alike[0], mark, decision)
            return
        row = _Row(mark, decision)
        self._rows.append(row)
        self._waiting.setdefault(_key(mark, decision), deque()).append(row)

    def ready(self, clock: float) -> Iterator[Replayed]:
        """Yield what is settled at this time."""
        while self._rows and (self._rows[0].matched or self._rows[0].decision.clock < clock - TOLERANCE_S):
            row = self._rows.popleft()
            if not row.matched:
                self._forget(row)
            yield Replayed(mark="=" if row.matched else row.mark, decision=row.decision)

    def _join(self, row: _Row, mark: Mark, decision: DecisionGiven) -> None:
        self._forget(row)
        row.matched = True
        if mark == "+":
            row.decision = decision

    def _forget(self, row: _Row) -> None:
        """Let a row wait no longer; it is the oldest of its kind."""
        key = _key(row.mark, row.decision)
        self._waiting[key].popleft()
        if not self._waiting[key]:
            del self._waiting[key]


class _Replay:
    """One replay: the log's entries in, decisions out."""

    def __init__(self, policy: Policy | None) -> None:
        self._own = policy is None
        self._policy = policy or read_policy((), with_defaults=True)
        self._simulation: Simulation | None = None
        self._snapshot: list[Entry] | None = None
        self._pairs = _Pairs()
        self._wall_ahead_s = 0.0

    def take(self, entry: Entry) -> Iterator[Replayed]:
        """Take in what the log says next."""
        self._wall_ahead_s = entry.wall - entry.clock
        if isinstance(entry, SnapshotBegan):
            yield from self._begin(entry)
        elif self._snapshot is not None and not isinstance(entry, SnapshotEnded):
            self._snapshot.append(entry)
        else:
            self._go_on(entry)
            yield from self._pairs.ready(entry.clock)

    def finish(self) -> Iterator[Replayed]:
        """Take in that the log is at its end."""
        if self._simulation is None and self._snapshot:
            last = self._snapshot[-1]
            self._go_on(SnapshotEnded(wall=last.wall, clock=last.clock))
        yield from self._pairs.ready(float("inf"))

    # Snapshots.

    def _begin(self, entry: SnapshotBegan) -> Iterator[Replayed]:
        """Begin to read a snapshot; after a restart nothing is known any more."""
        self._snapshot = []
        if entry.cause == "started":
            yield from self._pairs.ready(float("inf"))
            self._simulation = None

    def _know(self, clock: float) -> None:
        """Make the world of a snapshot; it is known already where the log only went on to another file."""
        known, self._snapshot = self._snapshot or [], None
        if self._simulation is not None:
            return
        for loaded in _of(known, PolicyLoaded):
            self._load(loaded)
        simulation = self._simulation = Simulation(self._policy, now=clock, obey=not self._own)
        # Links come before sessions, which else would be suspended; facts of sessions come after them.
        links = [e for e in known if isinstance(e, LinkSeen | LinkLost | AddressSeen | AddressLost)]
        facts = list(_of(known, FactSeen))
        early = [e for e in facts if not (e.event.session or e.event.peer)]
        late = [e for e in facts if e.event.session or e.event.peer]
        for entry in (*links, *early):
            simulation.engine.handle(entry.event, clock)
        given: list[Given] = []
        for added in _of(known, SessionAdded):
            given += self._open(simulation, added)
        for entry in late:
            given += simulation.event(entry.event)
        self._keep(given)

    # Lines outside snapshots.

    def _go_on(self, entry: Entry) -> None:
        """Take in the end of a snapshot, or a line outside one."""
        try:
            if isinstance(entry, SnapshotEnded):
                self._know(entry.clock)
            else:
                self._live(entry)
        except EndlessError as problem:
            raise ReplayError(f"at {entry.clock:.3f} s on the engine's clock: {problem}") from None

    def _live(self, entry: Entry) -> None:
        """Let time pass up to an entry, and take it in."""
        if self._simulation is None:
            self._simulation = Simulation(self._policy, now=entry.clock, obey=not self._own)
        self._keep(self._simulation.advance(entry.clock))
        self._keep(self._put_in(self._simulation, entry))

    def _put_in(self, simulation: Simulation, entry: Entry) -> list[Given]:
        """Take in an entry, and return the decisions that come of it."""
        match entry:
            case LinkSeen() | LinkLost() | AddressSeen() | AddressLost() | FactSeen():
                return simulation.event(entry.event)
            case PolicyLoaded():
                return simulation.reload(self._policy) if self._load(entry) else []
            case SessionAdded():
                return self._open(simulation, entry)
            case DecisionGiven():
                self._pairs.add("-", entry)
                return []
            case SnapshotBegan() | SnapshotEnded():
                raise AssertionError("snapshots are read apart")
            case _:
                return self._report(simulation, entry)

    def _report(
        self, simulation: Simulation, entry: SessionRemoved | SessionMoved | SessionSuspended | MoveFailed
    ) -> list[Given]:
        """Take in what became of a session; what a policy of its own would have made of it is simulated."""
        if entry.session not in simulation.places:
            return []
        if isinstance(entry, SessionRemoved):
            simulation.close(entry.session)
            return []
        if not self._own:
            return []
        match entry:
            case SessionMoved():
                return simulation.moved(entry.session, entry.attachment)
            case SessionSuspended():
                return simulation.suspended(entry.session)
            case MoveFailed():
                return simulation.failed(entry.session, entry.attachment)

    def _open(self, simulation: Simulation, entry: SessionAdded) -> list[Given]:
        """Let a session begin, unless it is known already."""
        if entry.description.id in simulation.places:
            return []
        return simulation.open(entry.description, entry.attachment, suspended=entry.suspended)

    def _load(self, entry: PolicyLoaded) -> bool:
        """Take the log's policy, if it is to decide; return whether it is."""
        if self._own:
            self._policy = recorded_policy(entry)
        return self._own

    def _keep(self, given: Iterable[Given]) -> None:
        for one in given:
            wall = one.at + self._wall_ahead_s
            self._pairs.add("+", decision_entry(one.decision, wall=wall, clock=one.at))


def _of(entries: Iterable[Entry], kind: type[EntryT]) -> Iterator[EntryT]:
    return (entry for entry in entries if isinstance(entry, kind))


def _key(mark: Mark, decision: DecisionGiven) -> tuple[object, ...]:
    """Return what decisions that count as one have in common, and the mark."""
    return (mark, decision.session, decision.action, decision.to)
