"""The oracle: the rules of docs/semantics.md read off the syntax tree, session by session, slowly.

It shares nothing with the engine but the syntax tree, the events and the descriptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any

from engine import Connection, SessionDescription
from monitors.events import AddressGone, AddressPresent, Event, LinkGone, LinkState
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
    PatternSet,
    Policy,
    Prefix,
    ScoreEffect,
    ScoreInterface,
    SetReference,
    Settle,
    Statement,
    SuspendRule,
)

Point = tuple[str, str]


def applicable(statements: tuple[Statement, ...], connections: list[Connection]) -> Iterator[Statement]:
    for statement in statements:
        if not isinstance(statement, On):
            yield statement
            continue
        matching = [c for c in connections if all(satisfied(k, c) for k in statement.conditions)]
        if matching:
            yield from applicable(statement.body, matching)
        else:
            yield from applicable(statement.otherwise, connections)


def satisfied(condition: Condition, c: Connection) -> bool:
    asked: dict[str, list[Any]] = {
        "proto": [c.proto],
        "port": [c.remote_port],
        "l-port": [c.local_port],
        "any-port": [c.local_port, c.remote_port],
        "remote-ip": [plain(c.remote_address)],
        "local-ip": [plain(c.local_address)],
        "user": [c.user],
        "app": [c.app, c.app and c.app.split("/")[-1]],
        "role": [c.role],
    }
    subjects = asked[condition.key]
    if None in subjects:
        return False
    return any(matches(v, s) for v in condition.values for s in subjects) != condition.negated


def plain(text: str) -> Any:
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def matches(value: object, subject: Any) -> bool:
    match value:
        case NumberRange():
            return bool(value.low <= subject <= value.high)
        case Prefix():
            return subject in value.network
        case Name():
            return bool(subject == value.text)
        case Glob():
            return fnmatchcase(subject, value.text)
    raise AssertionError(value)


class Naive:
    """Everything the engine is told, and everything recomputed at every tick."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.links: dict[int, LinkState] = {}
        self.addresses: dict[tuple[int, str], AddressPresent] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.failures: dict[tuple[str, Point], tuple[float, float]] = {}  # (until, pause)

    def event(self, event: Event) -> None:
        match event:
            case LinkState():
                if self.links.get(event.index) != event:
                    self.forget(event.interface, None)
                self.links[event.index] = event
            case LinkGone():
                self.forget(event.interface, None)
                self.links.pop(event.index, None)
                self.addresses = {k: a for k, a in self.addresses.items() if k[0] != event.index}
            case AddressPresent():
                if self.addresses.get((event.index, event.address)) != event:
                    self.forget(event.interface, event.address)
                self.addresses[event.index, event.address] = event
            case AddressGone():
                if self.addresses.pop((event.index, event.address), None):
                    self.forget(event.interface, event.address)

    def forget(self, interface: str, address: str | None) -> None:
        for entry in list(self.failures):
            if entry[1][0] == interface and address in (None, entry[1][1]):
                del self.failures[entry]

    def add(self, description: SessionDescription, current: Point, suspended: bool) -> None:
        state = {"d": description, "current": current, "suspended": suspended}
        self.sessions[description.id] = {**state, "leads": {}, "lost": None, "none": None, "given": None}

    def remove(self, name: str) -> None:
        peer = self.sessions.pop(name)["d"].connections[0].remote_address
        if all(s["d"].connections[0].remote_address != peer for s in self.sessions.values()):
            self.failures = {k: v for k, v in self.failures.items() if k[0] != peer}

    def settle_down(self, name: str, current: Point | None) -> None:
        """The daemon moved the session to `current`, or suspended it (`None`)."""
        state = self.sessions[name]
        if current is not None:
            self.failures.pop((state["d"].connections[0].remote_address, current), None)
        self.add(state["d"], current or state["current"], current is None)

    def failed(self, name: str, point: Point, now: float) -> None:
        entry = (self.sessions[name]["d"].connections[0].remote_address, point)
        until, pause = self.failures.get(entry, (now, 2.5))
        if now >= until:
            self.failures[entry] = (now + min(pause * 2, 300), min(pause * 2, 300))
        self.sessions[name]["given"] = None

    def table(self, name: str, now: float) -> dict[Point, tuple[int, bool]]:
        """Return score and eligibility by attachment point."""
        state, rows = self.sessions[name], {}
        statements = self.statements(name)
        first = state["d"].connections[0]
        for address in self.addresses.values():
            link = self.links.get(address.index)
            if link is None or link.loopback:
                continue
            point = (link.interface, address.address)
            current = point == state["current"]
            value, never = 0, False
            for s in statements:
                if not isinstance(s, ScoreInterface) or isinstance(s.pattern, SetReference | PatternSet):
                    continue
                hit = (
                    current if isinstance(s.pattern, Current) else fnmatchcase(address.label, s.pattern.text)
                )
                if hit and s.effect is ScoreEffect.NEVER:
                    never = True
                elif hit:
                    value = s.amount + (value if s.effect is ScoreEffect.ADD else 0)
            until = self.failures.get((first.remote_address, point), (now, 0.0))[0]
            barred = now < until and (state["suspended"] or not current)
            family = plain(first.remote_address).version == address.family
            rows[point] = (value, link.usable and address.usable and family and not never and not barred)
        return rows

    def statements(self, name: str) -> list[Statement]:
        return list(applicable(self.policy.statements, list(self.sessions[name]["d"].connections)))

    def last(self, name: str, kind: type[Statement], field: str, default: Any) -> Any:
        found = [s for s in self.statements(name) if isinstance(s, kind)]
        return getattr(found[-1], field) if found else default

    def adopts(self, name: str) -> bool:
        return bool(self.last(name, Adopt, "adopt", False))

    def tick(self, now: float) -> set[tuple[Any, ...]]:
        """Judge every session and return what is new: (session, action, target, urgent)."""
        news = set()
        for name, state in self.sessions.items():
            answer = self.decide(name, state, now)
            if answer is not None and answer != state["given"]:
                news.add((name, *answer))
            state["given"] = answer
        return news

    def decide(self, name: str, state: dict[str, Any], now: float) -> tuple[Any, ...] | None:
        rows, current = self.table(name, now), state["current"]
        fine = {point: row[0] for point, row in rows.items() if row[1]}
        index = {link.interface: link.index for link in self.links.values()}
        labels = {
            (self.links[i].interface, a): e.label for (i, a), e in self.addresses.items() if i in self.links
        }
        order = sorted(fine, key=lambda p: (-fine[p], p != current, index[p[0]], labels[p], p[1]))
        clocks, state["leads"], lost, none = state["leads"], {}, state["lost"], state["none"]
        state["lost"] = state["none"] = None
        if not self.last(name, MigrateRule, "allowed", True):
            return ("resume", current, False) if state["suspended"] and current in fine else None
        if state["suspended"]:
            return ("resume", order[0], False) if order else None
        if current in fine:
            margin = max(1, self.last(name, Margin, "amount", 1))
            ahead = [p for p in order if fine[p] - fine[current] >= margin]
            state["leads"] = {p: clocks.get(p, now) for p in ahead}
            ripe = self.last(name, Settle, "duration_s", 2.0)
            settled = [p for p in ahead if state["leads"][p] + ripe <= now]
            return ("move", settled[0], False) if settled else None
        state["lost"] = now if lost is None else lost
        patient = state["lost"] + self.last(name, Delay, "duration_s", 0.0) > now
        if order:
            usable = any(
                link.usable and a.usable and (link.interface, a.address) == current
                for (i, _), a in self.addresses.items()
                if (link := self.links.get(i))
            )
            return None if patient else ("move", order[0], not usable)
        state["none"] = now if none is None else none
        after = self.last(name, SuspendRule, "after_s", 0.0)
        if after is None or patient or state["none"] + after > now:
            return None
        return ("suspend", None, False)
