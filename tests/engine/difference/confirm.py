"""What the engine does in the situation of a difference, under one policy: everything that can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any

from msgspec.structs import replace

from engine import Connection, Engine, SessionDescription
from engine.difference import Difference
from monitors.events import AddressPresent, FactMeasured, LinkState, OperState
from monitors.facts import ADDRESSES, CARRIER, OPERSTATE
from policylang.ast import Policy
from tests.engine.generated_run import plain

GONE = ("gone0", "10.99.0.1")
OTHERS = ("eth0", "eth0:1", "eth1", "eth7", "ethernet0", "wlan0", "ppp0", "six0", "zz")
DERIVED = {CARRIER.name: True, OPERSTATE.name: "up", ADDRESSES.name: 1.0}
PAUSES = (0.2, 0.4, 0.9, 1.9, 3.9, 9.9)
TWIN = " (its twin)"
WHOLE_SESSION = ("host", "session", "connection")

Seen = list[Any]


def can_be_staged(difference: Difference) -> bool:
    """Return whether one moment is enough, and one connection for what is measured of connections."""
    return all(
        " until " not in c.text
        and " for " not in c.text
        and DERIVED.get(c.fact, c.value) == c.value
        and not (c.holds and c.value is None)
        for c in difference.circumstances
    )


def seen(policy: Policy, difference: Difference) -> Seen:
    if difference.topic in ("adopt", "expire", "resume", "notify", "servers"):
        return _verdicts(_engine(policy, difference, ()), difference)
    abouts = [c.about for c in difference.circumstances if c.about not in WHOLE_SESSION]
    links = list(dict.fromkeys([*difference.candidates, *abouts])) or list(OTHERS)
    found: Seen = []
    for order in (links, links[::-1]):
        found += _from(policy, difference, order, difference.in_use)
    found += [_leaving(policy, difference, links, pause) for pause in PAUSES]
    return found + [_relayed(policy, difference, pause) for pause in PAUSES if difference.in_use]


def _from(policy: Policy, difference: Difference, links: Sequence[str], at: str) -> Seen:
    """Watch a session that is somewhere, that then is suspended where nothing is, and comes back."""
    described = session(difference)
    found: Seen = []
    for ups in ((), links, [link for link in links if link != at]):
        engine = _engine(policy, difference, links)
        engine.add_session(described, _keys(links, described)[at] if at else GONE, 0.0)
        _measure(engine, difference, links)
        _turn(engine, difference, links, ups, 0.0)
        found.append(list(_run(engine, described.id, 0.0)))
        engine.session_suspended(described.id, 100.0)
        for now, back in ((100.0, ()), (200.0, links)):
            _turn(engine, difference, links, back, now)
            found.append(list(_run(engine, described.id, now)))
    return found


def _leaving(policy: Policy, difference: Difference, links: Sequence[str], pause: float) -> Seen:
    """Watch a session whose link is lost, and that loses all others a little later."""
    engine, described = _engine(policy, difference, links), session(difference)
    engine.add_session(described, GONE, 0.0)
    _measure(engine, difference, links)
    _turn(engine, difference, links, links, 0.0)
    before = list(_run(engine, described.id, 0.0, pause))
    _turn(engine, difference, links, (), pause)
    return [*before, *_run(engine, described.id, pause)]


def _relayed(policy: Policy, difference: Difference, pause: float) -> Seen:
    """Watch a session that is not moved yet when another link takes over from its twin."""
    at, other = difference.candidates if len(difference.candidates) > 1 else (difference.in_use, OTHERS[-1])
    twin, described = other + TWIN, session(difference)
    alike = [replace(c, about=twin) for c in difference.circumstances if c.about == other]
    difference = replace(difference, circumstances=(*difference.circumstances, *alike))
    links = [at, other, twin]
    engine = _engine(policy, difference, links)
    engine.add_session(described, _keys(links, described)[at], 0.0)
    _measure(engine, difference, links)
    _turn(engine, difference, links, (at, other), 0.0)
    before = list(_run(engine, described.id, 0.0, pause))
    _turn(engine, difference, links, links, pause)
    _turn(engine, difference, links, (at, twin), pause)
    return [*before, *_run(engine, described.id, pause)]


def session(difference: Difference) -> SessionDescription:
    connections = tuple(
        Connection(
            proto=e.proto,
            local_address=e.local_ip,
            local_port=e.l_port,
            remote_address=e.remote_ip,
            remote_port=e.port,
            user=e.user,
            app=e.app,
            role=e.role,
            remote_hosts=e.remote_hosts,
        )
        for e in difference.connections
    )
    return SessionDescription(id=difference.connections[0].session, connections=connections)


def _keys(links: Iterable[str], described: SessionDescription) -> dict[str, tuple[str, str]]:
    form = "10.50.{}.5" if described.family == 4 else "2001:db8:50:{}::5"
    return {link: (f"if{n}", form.format(n)) for n, link in enumerate(sorted(links), 1)}


def _label(about: str) -> str:
    return about.removesuffix(TWIN).removesuffix(" in use").removesuffix(" (another)")


def _engine(policy: Policy, difference: Difference, links: Sequence[str]) -> Engine:
    engine, described = Engine(policy), session(difference)
    for link, (interface, address) in _keys(links, described).items():
        index = 2 + list(links).index(link)
        engine.handle(_state(interface, index, up=False), 0.0)
        engine.handle(
            AddressPresent(
                interface=interface,
                index=index,
                label=_label(link),
                address=address,
                prefix_length=64,
                family=described.family,
                usable=True,
            ),
            0.0,
        )
    return engine


def _state(interface: str, index: int, *, up: bool) -> LinkState:
    # Without the administrative flag no packet leaves; what is known of the link stays as it is.
    return LinkState(interface=interface, index=index, up=up, carrier=True, operstate=OperState.UP)


def _turn(
    engine: Engine, difference: Difference, links: Sequence[str], ups: Iterable[str], now: float
) -> None:
    for link, (interface, _) in _keys(links, session(difference)).items():
        engine.handle(_state(interface, 2 + list(links).index(link), up=link in ups), now)


def _run(engine: Engine, name: str, now: float, end: float = inf) -> Iterator[Any]:
    """Yield what is to be done, at first and whenever a clock has run."""
    at: float | None = now
    while at is not None and at <= min(end, now + 90.0):
        engine.handle_timer(at)
        yield round(at - now, 6), plain(engine.explain(name, at).decision)
        due = engine.next_deadline()
        at = None if due is None or due <= at else due


def _measure(engine: Engine, difference: Difference, links: Sequence[str]) -> None:
    described = session(difference)
    keys = _keys(links, described)
    for c in difference.circumstances:
        if c.value is None or c.fact in DERIVED:
            continue
        link = c.about not in WHOLE_SESSION
        engine.handle(
            FactMeasured(
                fact=c.fact,
                value=c.value,
                interface=keys[c.about][0] if link else "",
                peer=described.peer if link and c.fact in ("rtt", "loss") else "",
                session=described.id if c.about in ("session", "connection") else "",
                connection="only" if c.about == "connection" else "",
            ),
            0.0,
        )


def _verdicts(engine: Engine, difference: Difference) -> Seen:
    described = session(difference)
    engine.add_session(described, GONE, 0.0)
    _measure(engine, difference, ())
    subject = described if difference.topic == "adopt" else described.id
    times = [inf if r.after_s is None else r.after_s for r in engine.expire_rules(subject)]
    candidates = [_label(name) for name in difference.candidates]
    current = _label(difference.in_use)
    ranked = [engine.servers(subject, order, current) for order in (candidates, candidates[::-1])]
    return [
        engine.adopts(described).adopt,
        engine.eager(subject),
        engine.notifies(subject),
        min(times, default=inf),
        [[row.name for row in rows if row.eligible] for rows in ranked],
    ]
