"""Facts as they were measured last: values by fact and subject, each for as long as it holds."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from msgspec import Struct

from engine.agenda import Agenda
from engine.attachment import canonical_address
from monitors.events import FactMeasured
from monitors.facts import ADDRESSES, CARRIER, OPERSTATE, FactValue, Subject

DERIVED = frozenset({CARRIER.name, OPERSTATE.name, ADDRESSES.name})
"""The facts that follow from links and addresses; nobody else's word counts for them."""

MAX_FACTS = 4096
"""Names of facts that are kept; what further ones say is not taken in."""

MAX_SUBJECTS = 1 << 20
"""Links, sessions, connections … of which the value of one fact is kept; more are not taken in."""

Key = tuple[str, ...]
"""What a value is about: a `Subject`'s value, then the names that tell which one.

``("host",)``, ``("link", interface)``, ``("path", interface, peer)``, ``("session", session)``,
``("connection", session, connection)``.
"""

Owner = tuple[str, str]
"""With whom facts are forgotten: ``("link", interface)``, ``("peer", address)`` or ``("session", name)``."""

HOST: Key = (Subject.HOST.value,)


def key_of(event: FactMeasured, subject: Subject | None) -> Key:
    """Return what an event is about.

    Args:
        event: the event.
        subject: what its fact is about, if that is known; else the names that it gives tell.
    """
    match subject or _told(event):
        case Subject.HOST:
            return HOST
        case Subject.LINK:
            return (Subject.LINK.value, event.interface)
        case Subject.PATH:
            return (Subject.PATH.value, event.interface, _peer(event.peer))
        case Subject.SESSION:
            return (Subject.SESSION.value, event.session)
        case Subject.CONNECTION:
            return (Subject.CONNECTION.value, event.session, event.connection)


def _told(event: FactMeasured) -> Subject:
    if event.session:
        return Subject.CONNECTION if event.connection else Subject.SESSION
    if event.interface:
        return Subject.PATH if event.peer else Subject.LINK
    return Subject.HOST


def _peer(text: str) -> str:
    """Return a peer as sessions write it; what is no address is no session's peer and stays as it is."""
    try:
        return canonical_address(text)
    except ValueError:
        return text


def owners(key: Key) -> tuple[Owner, ...]:
    """Return with whom facts about a subject are forgotten."""
    match key:
        case ("link", interface):
            return (("link", interface),)
        case ("path", interface, peer):
            return (("link", interface), ("peer", peer))
        case ("session", session) | ("connection", session, _):
            return (("session", session),)
    return ()


class Measurement(Struct, frozen=True, gc=False):
    """A value, when it was measured, and for how many seconds from then on it holds; ``None``: for ever.

    Hosts keep a hundred thousand of these: a struct that the collector passes over.
    """

    value: FactValue
    at: float
    lifetime_s: float | None

    @property
    def until(self) -> float | None:
        """Return when it is known no longer, if that comes by itself."""
        return None if self.lifetime_s is None else self.at + self.lifetime_s


def event_of(fact: str, key: Key, measurement: Measurement) -> FactMeasured:
    """Return what a monitor would report to say so."""
    interface, peer, session, connection = _names(key)
    return FactMeasured(
        fact=fact,
        value=measurement.value,
        interface=interface,
        peer=peer,
        session=session,
        connection=connection,
        lifetime_s=measurement.lifetime_s,
        measured_at=measurement.at,
    )


def _names(key: Key) -> tuple[str, str, str, str]:
    """Return the names that a subject has in events: interface, peer, session, connection."""
    match key:
        case ("link", interface):
            return (interface, "", "", "")
        case ("path", interface, peer):
            return (interface, peer, "", "")
        case ("session", session):
            return ("", "", session, "")
        case ("connection", session, connection):
            return ("", "", session, connection)
    return ("", "", "", "")


class FactStore:
    """Hold the values that are known."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Key, Measurement]] = {}
        self._expiries: Agenda[tuple[str, Key]] = Agenda()
        # All facts of a subject share its tuple: a hundred thousand subjects may have ten facts each.
        self._owned: dict[Owner, dict[Key, Key]] = {}

    def get(self, fact: str, key: Key) -> FactValue | None:
        """Return the value of a fact at a subject, ``None`` if it is not known."""
        known = self._measurement(fact, key)
        return None if known is None else known.value

    def subjects(self, fact: str) -> tuple[Key, ...]:
        """Return what a fact is known about."""
        return tuple(self._values.get(fact, ()))

    def known(self) -> Iterator[tuple[str, Key, Measurement]]:
        """Yield every fact that is known, what it is about, and how it was measured."""
        for fact, values in self._values.items():
            for key, measurement in values.items():
                yield fact, key, measurement

    def set(
        self, fact: str, key: Key, value: FactValue | None, at: float, lifetime_s: float | None = None
    ) -> bool:
        """Take in a value, unless a later one is known; return whether it is another than before.

        Args:
            fact: the fact.
            key: what it is about.
            value: the value; ``None``: nobody knows.
            at: when it was measured, in seconds.
            lifetime_s: for how many seconds from then on it holds; ``None`` for ever.
        """
        before = self._measurement(fact, key)
        if before is not None and at < before.at:
            return False
        if value is None or (isinstance(value, float) and isnan(value)):
            return self._drop(fact, key)
        measurement = Measurement(value, at, lifetime_s)
        if before is None:
            if not self._has_room(fact):
                return False
            key = self._own(key)
        self._values[fact][key] = measurement
        self._expiries.set((fact, key), measurement.until)
        return before is None or before.value != value or type(before.value) is not type(value)

    def _measurement(self, fact: str, key: Key) -> Measurement | None:
        values = self._values.get(fact)
        return None if values is None else values.get(key)

    def _has_room(self, fact: str) -> bool:
        """Make room for a value that was not known, unless there are too many."""
        values = self._values.get(fact)
        if values is None:
            if len(self._values) >= MAX_FACTS:
                return False
            values = self._values[fact] = {}
        return len(values) < MAX_SUBJECTS

    def _own(self, key: Key) -> Key:
        """Note with whom facts about a subject are forgotten, and return the tuple that they share."""
        for owner in owners(key):
            key = self._owned.setdefault(owner, {}).setdefault(key, key)
        return key

    def owned(self, owner: Owner) -> tuple[tuple[str, Key], ...]:
        """Return what is known about a link, a peer or a session."""
        keys = self._owned.get(owner, {})
        return tuple((fact, key) for fact, values in self._values.items() for key in keys if key in values)

    def forget(self, owner: Owner) -> tuple[tuple[str, Key], ...]:
        """Forget all facts about a link, a peer or a session, and return which they were."""
        forgotten = self.owned(owner)
        for fact, key in forgotten:
            self._drop(fact, key)
        return forgotten

    def expire(self, now: float) -> list[tuple[str, Key]]:
        """Forget the values whose time is over, and return which they were."""
        over = self._expiries.pop(now)
        for fact, key in over:
            self._drop(fact, key)
        return over

    def next_deadline(self) -> float | None:
        """Return when the next value is known no longer."""
        return self._expiries.next_deadline()

    def _drop(self, fact: str, key: Key) -> bool:
        values = self._values.get(fact)
        if values is None or values.pop(key, None) is None:
            return False
        if not values:
            del self._values[fact]
        self._expiries.set((fact, key), None)
        if not any(key in others for others in self._values.values()):
            self._disown(key)
        return True

    def _disown(self, key: Key) -> None:
        """Forget a subject about which nothing is known any more."""
        for owner in owners(key):
            del self._owned[owner][key]
            if not self._owned[owner]:
                del self._owned[owner]
