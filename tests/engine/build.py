"""Small builders, so that tests read as policies and worlds rather than as constructors."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from itertools import count
from typing import Any

from engine import Connection, Engine, SessionDescription
from monitors.events import AddressGone, AddressPresent, FactMeasured, LinkState, OperState
from monitors.facts import FactValue
from policylang import parse_policy
from policylang.ast import (
    Adopt,
    Condition,
    Current,
    Delay,
    Glob,
    Margin,
    MigrateRule,
    Name,
    NumberRange,
    On,
    Policy,
    Prefix,
    ScoreEffect,
    ScoreInterface,
    Settle,
    Span,
    Statement,
    SuspendRule,
    Value,
)

_lines = count(1)


def at(line: int | None = None) -> Span:
    """Return a span of its own; two statements never share one unless a line is asked for."""
    line = next(_lines) if line is None else line
    return Span(file="test.policy", line=line, column=1, end_line=line, end_column=2)


def policy(*statements: Statement) -> Policy:
    return Policy(files=("test.policy",), statements=statements)


def score(pattern: str, amount: int | str, line: int | None = None) -> ScoreInterface:
    """`score("eth*", 5)` sets, `"+5"` adds, `"never"` rules out, `"avoid"` avoids."""
    effect, number = ScoreEffect.SET, 0
    if amount in ("never", "avoid"):
        effect = ScoreEffect(amount)
    elif isinstance(amount, str):
        effect, number = ScoreEffect.ADD, int(amount)
    else:
        number = amount
    where = Current(span=at()) if pattern == "current" else Glob(text=pattern, span=at())
    return ScoreInterface(pattern=where, effect=effect, amount=number, span=at(line))


def condition(text: str) -> Condition:
    """Read `KEY [not] VALUE[,VALUE]`; ports are numbers or ranges, addresses are prefixes."""
    key, _, rest = text.partition(" ")
    negated = rest.startswith("not ")
    values = tuple(_value(key, value) for value in rest.removeprefix("not ").split(","))
    return Condition(key=key, values=values, negated=negated, span=at())


def _value(key: str, text: str) -> Value:
    if key.endswith("-ip"):
        return Prefix(network=ip_network(text, strict=False), text=text, span=at())
    if key.endswith("port"):
        low, _, high = text.partition("-")
        return NumberRange(low=int(low), high=int(high or low), text=text, span=at())
    if "*" in text:
        return Glob(text=text, span=at())
    return Name(text=text, span=at())


def on(conditions: str | Iterable[str], *body: Statement, otherwise: tuple[Statement, ...] = ()) -> On:
    """`on("proto tcp", …)`; several conditions are given as a list."""
    texts = [conditions] if isinstance(conditions, str) else conditions
    return On(conditions=tuple(condition(t) for t in texts), body=body, otherwise=otherwise, span=at())


def migrate(allowed: bool) -> MigrateRule:
    return MigrateRule(allowed=allowed, span=at())


def margin(amount: int) -> Margin:
    return Margin(amount=amount, span=at())


def settle(duration_s: float) -> Settle:
    return Settle(duration_s=duration_s, span=at())


def delay(duration_s: float) -> Delay:
    return Delay(duration_s=duration_s, span=at())


def suspend(after_s: float | None) -> SuspendRule:
    return SuspendRule(after_s=after_s, span=at())


def adopt(wanted: bool) -> Adopt:
    return Adopt(adopt=wanted, span=at())


FIGURE_10 = (
    score("*", 1, 2),
    score("eth*", 10, 3),
    score("eth0:1", 1000, 4),
    score("ppp*", 5, 5),
    on(
        "proto tcp",
        on("remote-ip 18.31.0.4/24", on("port 22", score("eth*", 100, 9))),
        on("l-port 3001-3010", score("eth*", 200, 11), score("eth0:1", 100, 12)),
        on("port 80,21", migrate(False)),
    ),
)

# Interfaces by name: index and address; `eth0:1` is a second address of `eth0`.
PLACES = {
    "eth0": ("eth0", 2, "10.0.0.5"),
    "eth0:1": ("eth0", 2, "10.0.0.6"),
    "eth1": ("eth1", 3, "10.1.0.5"),
    "ppp0": ("ppp0", 4, "10.2.0.5"),
    "wlan0": ("wlan0", 5, "10.3.0.5"),
    "six0": ("six0", 6, "2001:db8::5"),
}


def key(name: str) -> tuple[str, str]:
    interface, _, address = PLACES[name]
    return (interface, address)


def link(name: str, *, carrier: bool = True, up: bool = True, loopback: bool = False) -> LinkState:
    interface, index, _ = PLACES[name]
    state = OperState.UP if carrier and up else OperState.DOWN
    return LinkState(
        interface=interface, index=index, up=up, carrier=carrier, operstate=state, loopback=loopback
    )


def present(name: str, *, usable: bool = True) -> AddressPresent:
    interface, index, address = PLACES[name]
    family = 6 if ":" in address else 4
    return AddressPresent(
        interface=interface,
        index=index,
        label=name,
        address=address,
        prefix_length=64 if family == 6 else 24,
        family=family,
        usable=usable,
    )


def gone(name: str) -> AddressGone:
    interface, index, address = PLACES[name]
    return AddressGone(interface=interface, index=index, address=address, family=6 if ":" in address else 4)


def session(
    name: str = "s", remote: str = "192.0.2.9", port: int = 22, local_port: int = 40000, **others: str
) -> SessionDescription:
    return SessionDescription(id=name, connections=(connection(remote, port, local_port, **others),))


def connection(
    remote: str = "192.0.2.9", port: int = 22, local_port: int = 40000, **others: str
) -> Connection:
    return Connection(
        proto=others.get("proto", "tcp"),
        local_address=others.get("local", "10.0.0.5"),
        local_port=local_port,
        remote_address=remote,
        remote_port=port,
        user=others.get("user"),
        app=others.get("app"),
        role=others.get("role", "client"),
    )


def parsed(*statements: str) -> Policy:
    """Read statements as they stand in a policy file, one or more a line."""
    result = parse_policy("\n".join(("monitor-policy {", *statements, "}")), "test.policy")
    assert result.policy is not None, result.diagnostics
    return result.policy


def fact(
    name: str,
    value: FactValue | None,
    lifetime_s: float | None = None,
    measured_at: float | None = None,
    **about: Any,
) -> FactMeasured:
    """`fact("rtt", 0.3, interface="eth0", peer="192.0.2.9")`."""
    return FactMeasured(fact=name, value=value, lifetime_s=lifetime_s, measured_at=measured_at, **about)


def engine_of(names: Iterable[str], *statements: str) -> Engine:
    """Return as `engine_with` does, for a policy as it stands in a file."""
    engine = Engine(parsed(*statements))
    for name in names:
        engine.handle(link(name), 0.0)
        engine.handle(present(name), 0.0)
    return engine


def engine_with(names: Iterable[str], *statements: Statement) -> Engine:
    """Return an engine in whose world these attachment points are up at time 0."""
    engine = Engine(policy(*statements))
    for name in names:
        engine.handle(link(name), 0.0)
        engine.handle(present(name), 0.0)
    return engine
