"""The stage of a timeline: a simulation in which links and sessions are called by their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from engine import PointKey, SessionDescription
from engine.attachment import canonical_address
from migrated.authoring.described import (
    DescriptionError,
    address_present,
    connection,
    interface_of,
    link_state,
    unknown,
)
from migrated.authoring.measured import fact_named, measured
from migrated.authoring.policies import every_fact
from migrated.authoring.simulation import Given, Simulation
from migrated.authoring.timeline_file import Facts, FactWithLifetime, Links, Sessions, SessionTable, several
from monitors.events import AddressGone, AddressPresent, LinkGone
from monitors.facts import FactValue, Subject
from policylang.ast import Policy
from policylang.diagnostics import quote
from policylang.values import BadValueError, duration_s


def seconds(text: str) -> float:
    """Return a duration as policies write it, in seconds.

    Raises:
        DescriptionError: it is none.
    """
    try:
        return duration_s(text)
    except BadValueError as problem:
        message = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
        raise DescriptionError(message) from None


@dataclass(slots=True)
class _Link:
    """An interface: its index, and its addresses by their text."""

    index: int
    addresses: dict[str, AddressPresent] = field(default_factory=dict)


OF_THE_HOST: Final = frozenset({Subject.HOST, Subject.LINK})
"""What facts can be about before there are sessions."""

OF_SESSIONS: Final = frozenset(Subject) - OF_THE_HOST
"""What they can be about once there are some."""


class Stage:
    """Hold what there is by name, and do what the steps of a timeline say.

    Attributes:
        simulation: What happens.
        given: The decisions so far.
        servers: The candidate servers of each session that has some.
    """

    def __init__(self, policy: Policy) -> None:
        self.simulation = Simulation(policy, watch=True)
        self.given: list[Given] = []
        self.servers: dict[str, list[str]] = {}
        self._links: dict[str, _Link] = {}
        self._names: dict[PointKey, str] = {}
        self._indexes = count(1)

    # What happens.

    def add(self, links: Links) -> None:
        """Let links appear, up, or further addresses on them.

        Raises:
            DescriptionError: an address is none, or is there already.
        """
        for name, addresses in links.items():
            interface = interface_of(name)
            link = self._links.get(interface)
            if link is None:
                link = self._links[interface] = _Link(index=next(self._indexes))
                self.given += self.simulation.event(link_state(interface, link.index, up=True))
            for text in several(addresses):
                present = address_present(name, link.index, text)
                self._check_new(present.address)
                link.addresses[present.address] = present
                self._names[interface, present.address] = name
                self.given += self.simulation.event(present)

    def turn(self, names: Iterable[str], *, up: bool) -> None:
        """Give links their carrier, or take it from them.

        Raises:
            DescriptionError: there is no such link.
        """
        for name in names:
            link = self._link(name)
            self.given += self.simulation.event(link_state(name, link.index, up=up))

    def remove(self, names: Iterable[str]) -> None:
        """Take links away, or the addresses under a label.

        Raises:
            DescriptionError: there is no such link or label.
        """
        for name in names:
            interface = interface_of(name)
            labelled = self._labelled(name)
            if interface != name:
                if not labelled:
                    raise unknown("label", name, self.link_names())
                for present in labelled:
                    self._take(present)
                continue
            link = self._link(name)
            del self._links[name]
            self.given += self.simulation.event(LinkGone(interface=name, index=link.index))

    def measure(self, facts: Facts, about: frozenset[Subject]) -> None:
        """Let those of these facts that are about such subjects have these values.

        Raises:
            DescriptionError: a fact, its subject or its value makes no sense.
        """
        for what, value in facts.items():
            if _subject(what) in about:
                self._measure(what, value)

    def open(self, sessions: Sessions) -> None:
        """Let sessions begin.

        Raises:
            DescriptionError: one makes no sense, or is there already.
        """
        for name, written in sessions.items():
            table = SessionTable(connections=[written]) if isinstance(written, str) else written
            if name in self.simulation.places:
                raise DescriptionError(f"there is a session {quote(name)} already")
            description = _description(name, table)
            point = self._point(description, table)
            self.servers[name] = table.servers
            self.given += self.simulation.open(description, point, suspended=table.suspended)

    def close(self, names: Iterable[str]) -> None:
        """Let sessions end.

        Raises:
            DescriptionError: there is no such session.
        """
        for name in names:
            self.check_session(name)
            self.simulation.close(name)

    def fail(self, names: Iterable[str], *, fails: bool) -> None:
        """Let moves to these links or labels fail from now on, or work again.

        Raises:
            DescriptionError: there is no such link or label.
        """
        for name in names:
            self.check_link(name)
            if fails:
                self.simulation.failing.add(name)
            else:
                self.simulation.failing.discard(name)

    # Questions.

    def whereabouts(self, session: str) -> str:
        """Return the name of the link that a session uses, or `suspended`.

        Raises:
            DescriptionError: there is no such session.
        """
        self.check_session(session)
        place = self.simulation.places[session]
        return "suspended" if place.suspended else self._names.get(place.point, place.point[0])

    def link_names(self) -> list[str]:
        """Return the names that links and labels have or had."""
        return sorted({*self._names.values(), *self._links})

    def check_link(self, name: str) -> None:
        """Make sure that there is, or was, a link or label of this name.

        Raises:
            DescriptionError: there never was one.
        """
        if name not in self.link_names():
            raise unknown("link", name, self.link_names())

    def check_session(self, name: str) -> None:
        """Make sure that there is a session of this name.

        Raises:
            DescriptionError: there is none now.
        """
        if name not in self.simulation.places:
            raise unknown("session", name, list(self.simulation.places))

    # Inside.

    def _link(self, name: str) -> _Link:
        if name in self._links:
            return self._links[name]
        if interface_of(name) in self._links:
            raise DescriptionError(
                f"{quote(name)} is a label; a whole link is up or down: `{interface_of(name)}`"
            )
        raise unknown("link", name, list(self._links))

    def _labelled(self, name: str) -> list[AddressPresent]:
        link = self._links.get(interface_of(name), _Link(0))
        return [present for present in link.addresses.values() if present.label == name]

    def _take(self, present: AddressPresent) -> None:
        """Take an address away."""
        del self._links[present.interface].addresses[present.address]
        gone = AddressGone(
            interface=present.interface, index=present.index, address=present.address, family=present.family
        )
        self.given += self.simulation.event(gone)

    def _check_new(self, address: str) -> None:
        for interface, link in self._links.items():
            if address in link.addresses:
                raise DescriptionError(f"the address {address} is on `{interface}` already")

    def _measure(self, what: str, written: FactValue | FactWithLifetime) -> None:
        if isinstance(written, FactWithLifetime):
            event = measured(what, written.value, every_fact(), seconds(written.lifetime))
        else:
            event = measured(what, written, every_fact())
        if event.interface:
            self._link(event.interface)
        if event.session:
            self.check_session(event.session)
        of_every_peer = not event.peer and _subject(what) is Subject.PATH
        for peer in self._peers(what) if of_every_peer else [event.peer]:
            self.given += self.simulation.event(replace(event, peer=peer))

    def _peers(self, what: str) -> list[str]:
        """Return the peers of all sessions, for a path of which only the link is named."""
        peers = {place.description.peer for place in self.simulation.places.values()}
        if not peers:
            raise DescriptionError(f"{quote(what)} is about the way to a peer, and there is no session yet")
        return sorted(peers)

    def _point(self, description: SessionDescription, table: SessionTable) -> PointKey:
        """Return where a session begins: on the link it names, else where its local address is."""
        address = canonical_address(description.connections[0].local_address)
        if table.link:
            self.check_link(table.link)
            of_family = [p for p in self._labelled(table.link) if p.family == description.family]
            if not of_family:
                raise DescriptionError(
                    f"the link {quote(table.link)} has no address by which the peer is reached"
                )
            return (interface_of(table.link), of_family[0].address)
        for interface, link in self._links.items():
            if address in link.addresses:
                return (interface, address)
        raise DescriptionError(
            f"no link has {address}, the local address of session {quote(description.id)}; "
            'say which link it uses with `link = "..."`'
        )


def _subject(what: str) -> Subject:
    """Return what a fact is about, named together with its subject."""
    return fact_named(what.partition(" ")[0], every_fact()).subject


def _description(name: str, table: SessionTable) -> SessionDescription:
    """Return the session that a table describes."""
    if not table.connections:
        raise DescriptionError(f"the session {quote(name)} has no connection")
    connections = tuple(
        connection(
            text,
            user=table.user,
            app=table.app,
            role=table.role,
            remote_hosts=several(table.remote_host),
        )
        for text in table.connections
    )
    return SessionDescription(id=name, connections=connections)
