"""A log through a policy: what would have been decided when, beside what was decided then.

``docs/recording.md`` says what is taken from the log and what is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from migrated.authoring.pairing import Pairs, Replayed
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
from monitors.events import AddressGone, AddressPresent, Event, LinkGone, LinkState
from policylang.ast import Policy

GRACE_S: Final = 0.1
"""How long after it is due a decision may be given: a daemon hears first what became of others."""

EntryT = TypeVar("EntryT", bound=Entry)


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


class _Links:
    """The links and addresses that there are, so that a snapshot can tell which are no more."""

    def __init__(self) -> None:
        self._links: dict[int, LinkState] = {}
        self._addresses: dict[tuple[int, str], AddressPresent] = {}

    def note(self, event: Event) -> None:
        """Take in what is reported."""
        match event:
            case LinkState():
                self._links[event.index] = event
            case LinkGone():
                self._links.pop(event.index, None)
                self._addresses = {k: v for k, v in self._addresses.items() if k[0] != event.index}
            case AddressPresent():
                self._addresses[event.index, event.address] = event
            case AddressGone():
                self._addresses.pop((event.index, event.address), None)

    def missing(self, entries: Iterable[Entry]) -> list[Event]:
        """Return the reports that what these entries do not name is gone."""
        links = {entry.event.index for entry in _of(entries, LinkSeen)}
        addresses = {(e.event.index, e.event.address) for e in _of(entries, AddressSeen)}
        gone: list[Event] = [
            AddressGone(interface=a.interface, index=a.index, address=a.address, family=a.family)
            for key, a in self._addresses.items()
            if key not in addresses
        ]
        return gone + [
            LinkGone(interface=link.interface, index=index)
            for index, link in self._links.items()
            if index not in links
        ]


class _Replay:
    """One replay: the log's entries in, decisions out."""

    def __init__(self, policy: Policy | None) -> None:
        self._own = policy is None
        self._policy = policy or read_policy((), with_defaults=True)
        self._simulation: Simulation | None = None
        self._snapshot: list[Entry] | None = None
        self._pairs = Pairs()
        self._links = _Links()
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
        if self._snapshot:
            last = self._snapshot[-1]
            self._go_on(SnapshotEnded(wall=last.wall, clock=last.clock))
        yield from self._pairs.ready(float("inf"))

    # Snapshots.

    def _begin(self, entry: SnapshotBegan) -> Iterator[Replayed]:
        """Begin to read a snapshot; after a restart nothing is known any more."""
        self._snapshot = []
        if entry.cause == "started":
            yield from self._pairs.ready(float("inf"))
            self._simulation, self._links = None, _Links()

    def _know(self, clock: float) -> None:
        """Make the world as a snapshot says; it is so already where a log only went on to another file."""
        entries, self._snapshot = self._snapshot or [], None
        for loaded in _of(entries, PolicyLoaded):
            self._load(loaded)
        simulation = self._begun(clock)
        self._keep(simulation.advance(clock))
        self._keep(simulation.reload(self._policy))
        # Links come before sessions, which else would be suspended; facts about sessions come after them.
        links = [e for e in entries if isinstance(e, LinkSeen | LinkLost | AddressSeen | AddressLost)]
        facts = list(_of(entries, FactSeen))
        early = [e.event for e in facts if not (e.event.session or e.event.peer)]
        late = [e.event for e in facts if e.event.session or e.event.peer]
        sessions = {added.description.id: added for added in _of(entries, SessionAdded)}
        for name in simulation.places.keys() - sessions.keys():
            simulation.close(name)
        for event in (*(e.event for e in links), *self._links.missing(links), *early):
            self._keep(self._heard(simulation, event))
        for added in sessions.values():
            self._know_session(simulation, added)
        for event in late:
            self._keep(simulation.event(event))
        self._keep(simulation.advance(clock))

    def _know_session(self, simulation: Simulation, added: SessionAdded) -> None:
        """Take a session to be where a snapshot says, unless its place is simulated."""
        name, clock = added.description.id, added.clock
        if name not in simulation.places:
            self._keep(self._open(simulation, added))
        elif self._own and simulation.places[name].point != added.attachment:
            simulation.moved(name, added.attachment, clock)
        if self._own and added.suspended and not simulation.places[name].suspended:
            simulation.suspended(name, clock)

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
        simulation = self._begun(entry.clock)
        told = isinstance(entry, SessionMoved | SessionSuspended | MoveFailed)
        self._keep(simulation.advance(entry.clock - GRACE_S if told and self._own else entry.clock))
        self._keep(self._put_in(simulation, entry))

    def _begun(self, clock: float) -> Simulation:
        """Return the simulation, which begins where the log does."""
        if self._simulation is None:
            self._simulation = Simulation(self._policy, now=clock, obey=not self._own)
        return self._simulation

    def _heard(self, simulation: Simulation, event: Event) -> list[Given]:
        """Let a monitor report something."""
        self._links.note(event)
        return simulation.event(event)

    def _put_in(self, simulation: Simulation, entry: Entry) -> list[Given]:
        """Take in an entry, and return the decisions that come of it."""
        match entry:
            case LinkSeen() | LinkLost() | AddressSeen() | AddressLost() | FactSeen():
                return self._heard(simulation, entry.event)
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
                self._report(simulation, entry)
                return []

    def _report(
        self, simulation: Simulation, entry: SessionRemoved | SessionMoved | SessionSuspended | MoveFailed
    ) -> None:
        """Take in what became of a session; under a policy of its own it is simulated, up to the end."""
        if entry.session not in simulation.places:
            return
        match entry:
            case SessionRemoved():
                simulation.close(entry.session)
            case SessionMoved() if self._own:
                simulation.moved(entry.session, entry.attachment, entry.clock)
            case SessionSuspended() if self._own:
                simulation.suspended(entry.session, entry.clock)
            case MoveFailed() if self._own:
                simulation.failed(entry.session, entry.attachment, entry.clock)

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
