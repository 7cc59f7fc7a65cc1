"""The oracle: the rules of docs/semantics.md read off the syntax tree, session by session, slowly.

It shares nothing with the engine but the syntax tree, the events and the descriptions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from ipaddress import ip_address
from math import inf
from typing import Any

from engine import Connection, SessionDescription
from monitors.events import AddressGone, AddressPresent, FactMeasured, LinkGone, LinkState, NetworkEvent
from monitors.facts import Subject
from policylang.ast import (
    Adopt,
    Condition,
    Current,
    Delay,
    ExpireRule,
    Glob,
    Layer,
    Margin,
    Measure,
    MigrateRule,
    Name,
    NotifyRule,
    NumberRange,
    On,
    Pattern,
    PatternSet,
    Policy,
    Prefix,
    ResumeRule,
    ScoreEffect,
    ScoreInterface,
    ScoreServer,
    Settle,
    Span,
    Statement,
    SuspendRule,
    Threshold,
    When,
)

Point = tuple[str, str]
Key = tuple[str, ...]
Comparison = tuple[str, str, Any]
Pair = tuple[Comparison, Comparison | None]
Trigger = tuple[Pair, float, float]

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
OF_LINKS = (Subject.LINK, Subject.PATH)
DERIVED = ("carrier", "operstate", "addresses")


def applicable(
    statements: tuple[Statement, ...],
    connections: list[Connection],
    session: str,
    lit: Callable[[When], bool | None],
) -> Iterator[Statement]:
    """Yield the plain statements that hold; of a `when` that is neither on nor off (`None`), none."""
    for s in statements:
        matching = connections
        body: tuple[Statement, ...] = ()
        match s:
            case On():
                fitting = [c for c in connections if all(satisfied(k, c, session) for k in s.conditions)]
                body, matching = (s.body, fitting) if fitting else (s.otherwise, connections)
            case When():
                on = lit(s)
                body = () if on is None else s.body if on else s.otherwise
            case _:
                yield s
        yield from applicable(body, matching, session, lit)


def reached(statements: tuple[Statement, ...], connections: list[Connection], session: str) -> Iterator[When]:
    """Yield every `when` that can bear on a session, on or off."""
    for s in statements:
        if isinstance(s, When):
            yield s
            yield from reached((*s.body, *s.otherwise), connections, session)
        if isinstance(s, On):
            fitting = [c for c in connections if all(satisfied(k, c, session) for k in s.conditions)]
            yield from reached(s.body if fitting else s.otherwise, fitting or connections, session)


def satisfied(condition: Condition, c: Connection, session: str) -> bool:
    subjects = list(asked(condition.key, c, session))
    if not subjects or None in subjects:
        return False
    fold = condition.key == "remote-host"
    return any(matches(v, s, fold) for v in condition.values for s in subjects) != condition.negated


def asked(key: str, c: Connection, session: str) -> tuple[Any, ...]:
    """Return what a condition is about; nothing, or `None`, where that is not known."""
    match key:
        case "port":
            return (c.remote_port,)
        case "l-port":
            return (c.local_port,)
        case "any-port":
            return (c.local_port, c.remote_port)
        case "remote-ip":
            return (plain(c.remote_address),)
        case "local-ip":
            return (plain(c.local_address),)
        case "remote-host":
            return tuple(host.lower().rstrip(".") for host in c.remote_hosts)
        case "app":
            return (c.app, c.app and c.app.split("/")[-1])
        case "session":
            return (session,)
    return (getattr(c, key),)


@cache
def plain(text: str) -> Any:
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def matches(value: object, subject: Any, fold: bool) -> bool:
    match value:
        case NumberRange():
            return bool(value.low <= subject <= value.high)
        case Prefix():
            return subject in value.network
        case Name():
            return bool(subject == (value.text.lower().rstrip(".") if fold else value.text))
        case Glob():
            return fnmatchcase(subject, value.text.lower().rstrip(".") if fold else value.text)
    raise AssertionError(value)


def hits(pattern: Pattern, name: str, current: bool) -> bool:
    match pattern:
        case Current():
            return current
        case Glob():
            return fnmatchcase(name, pattern.text)
        case PatternSet():
            return any(fnmatchcase(name, glob.text) for glob in pattern.globs)
    raise AssertionError(pattern)


def scored(
    statements: list[Statement], kind: type[ScoreInterface | ScoreServer], name: str, current: bool
) -> tuple[int, bool]:
    """Return the score and whether a `never` rules the name out."""
    value, never = 0, False
    for s in statements:
        if isinstance(s, kind) and hits(s.pattern, name, current):
            never = never or s.effect is ScoreEffect.NEVER
            if s.effect in (ScoreEffect.SET, ScoreEffect.ADD):
                value = s.amount + (value if s.effect is ScoreEffect.ADD else 0)
    return value, never


def avoided(statements: list[Statement], name: str, current: bool) -> bool:
    return any(
        isinstance(s, ScoreInterface) and s.effect is ScoreEffect.AVOID and hits(s.pattern, name, current)
        for s in statements
    )


def whens(statements: tuple[Statement, ...]) -> Iterator[When]:
    for s in statements:
        if isinstance(s, When):
            yield s
        if isinstance(s, On | When):
            yield from whens(s.body)
            yield from whens(s.otherwise)


def trigger_of(when: When) -> Trigger:
    def comparison(t: Threshold) -> Comparison:
        assert isinstance(t.value, Measure)
        return (t.fact, t.operator, t.value.value)

    until = when.until
    pair = (comparison(when.threshold), comparison(until) if until else None)
    return (pair, when.threshold.hold_s, until.hold_s if until else 0.0)


class Facts:
    """What is measured, and which triggers are on, brought forward instant by instant."""

    def __init__(self, triggers: set[Trigger]) -> None:
        self.triggers = triggers
        # (value, unknown from, measured at)
        self.values: dict[tuple[str, Key], tuple[Any, float, float]] = {}
        self.rising: dict[tuple[Pair, Key], float] = {}  # since when A holds and B does not
        self.falling: dict[tuple[Pair, Key], float] = {}  # since when B holds
        self.on: set[tuple[Trigger, Key]] = set()

    def holds(self, comparison: Comparison | None, key: Key) -> bool:
        if comparison is None or (comparison[0], key) not in self.values:
            return False
        return OPERATORS[comparison[1]](self.values[comparison[0], key][0], comparison[2])

    def judge(self, now: float) -> None:
        keys = {key for _, key in self.values} | {key for _, key in self.on}
        for trigger in self.triggers:
            (a, b), d, e = trigger
            for key in keys | {k for pair, k in (*self.rising, *self.falling) if pair == trigger[0]}:
                at = (trigger[0], key)
                self.clock(self.rising, at, self.holds(a, key) and not self.holds(b, key), now)
                self.clock(self.falling, at, self.holds(b, key), now)
                if (trigger, key) not in self.on:
                    on = self.rising.get(at, inf) + d <= now
                elif b is None:
                    on = self.holds(a, key)
                else:
                    on = (a[0], key) in self.values and not self.falling.get(at, inf) + e <= now
                (self.on.add if on else self.on.discard)((trigger, key))

    def clock(
        self, clocks: dict[tuple[Pair, Key], float], at: tuple[Pair, Key], runs: bool, now: float
    ) -> None:
        if runs:
            clocks.setdefault(at, now)
        else:
            clocks.pop(at, None)

    def instants(self) -> Iterator[float]:
        """Yield when something changes by time alone."""
        yield from (until for _, until, _ in self.values.values())
        for trigger in self.triggers:
            pair, d, e = trigger
            yield from (
                t + d for (p, key), t in self.rising.items() if p == pair and (trigger, key) not in self.on
            )
            yield from (
                t + e for (p, key), t in self.falling.items() if p == pair and (trigger, key) in self.on
            )

    def advance(self, now: float) -> None:
        while (at := min(self.instants(), default=inf)) <= now:
            self.values = {k: v for k, v in self.values.items() if v[1] > at}
            self.judge(at)

    def next_change(self) -> float:
        """Return when the next trigger goes on or off by time alone."""
        trial = Facts(self.triggers)
        trial.values, trial.on = dict(self.values), set(self.on)
        trial.rising, trial.falling = dict(self.rising), dict(self.falling)
        while (at := min(trial.instants(), default=inf)) < inf and trial.on == self.on:
            trial.advance(at)
            if trial.on != self.on:
                return at
        return inf

    def reload(self, triggers: set[Trigger], now: float) -> None:
        old, self.triggers = self.triggers, triggers
        pairs = {pair for pair, _, _ in old}
        was, self.on = self.on, set()
        for trigger in triggers:
            same = {trigger} if trigger in old else {t for t in old if t[0] == trigger[0]}
            self.on |= {(trigger, key) for t, key in was if t in same}
        kept = pairs & {pair for pair, _, _ in triggers}
        self.rising = {at: t for at, t in self.rising.items() if at[0] in kept}
        self.falling = {at: t for at, t in self.falling.items() if at[0] in kept}
        self.judge(now)

    def forget(self, gone: Callable[[str, Key], bool], now: float) -> None:
        self.values = {k: v for k, v in self.values.items() if not gone(*k)}
        self.judge(now)


class Naive:
    """Everything the engine is told, and everything recomputed at every tick."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.triggers = {id(when): trigger_of(when) for when in whens(policy.statements)}
        self.facts = Facts(set(self.triggers.values()))
        self.links: dict[int, LinkState] = {}
        self.addresses: dict[tuple[int, str], AddressPresent] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.failures: dict[tuple[str, Point], tuple[float, float]] = {}  # (until, pause)
        self.read: dict[tuple[str, bool, str | None], list[Statement]] = {}

    # What happens.

    def reload(self, policy: Policy, now: float) -> None:
        self.facts.advance(now)
        self.policy = policy
        self.triggers = {id(when): trigger_of(when) for when in whens(policy.statements)}
        self.facts.reload(set(self.triggers.values()), now)

    def event(self, event: NetworkEvent | FactMeasured, now: float) -> None:
        self.facts.advance(now)
        match event:
            case FactMeasured():
                self.measured(event, now)
            case LinkState():
                known = self.links.get(event.index)
                if known != event:
                    self.forget(event.interface, None)
                if known and known.interface != event.interface:
                    self.facts.forget(lambda _, key: key[:2] == ("link", known.interface), now)
                self.links[event.index] = event
            case LinkGone():
                self.forget(event.interface, None)
                self.links.pop(event.index, None)
                self.addresses = {k: a for k, a in self.addresses.items() if k[0] != event.index}
                self.facts.forget(lambda _, key: key[:2] == ("link", event.interface), now)
            case AddressPresent():
                if self.addresses.get((event.index, event.address)) != event:
                    self.forget(event.interface, event.address)
                self.addresses[event.index, event.address] = event
            case AddressGone():
                if self.addresses.pop((event.index, event.address), None):
                    self.forget(event.interface, event.address)
        self.derive(now)

    def measured(self, event: FactMeasured, now: float) -> None:
        """Take in a fact; what it is about is told by the names that it carries."""
        if event.fact in DERIVED or (event.session and event.session not in self.sessions):
            return
        key: Key = ()
        if event.session:
            key = ("session", event.session, *([event.connection] if event.connection else []))
        elif event.interface:
            key = ("link", event.interface, *([str(plain(event.peer))] if event.peer else []))
        if event.peer and str(plain(event.peer)) not in map(self.peer, self.sessions):
            return
        at = now if event.measured_at is None else min(event.measured_at, now)
        until = inf if event.lifetime_s is None else at + event.lifetime_s
        if at < self.facts.values.get((event.fact, key), (None, inf, -inf))[2]:
            return
        if event.value is None or until <= now:
            self.facts.values.pop((event.fact, key), None)
        else:
            self.facts.values[event.fact, key] = (event.value, until, at)
        self.facts.judge(now)

    def derive(self, now: float) -> None:
        values = {k: v for k, v in self.facts.values.items() if k[0] not in DERIVED}
        for index, link in self.links.items():
            usable = sum(a.usable for a in self.addresses.values() if a.index == index)
            for fact, value in zip(DERIVED, (link.carrier, link.operstate.value, usable), strict=True):
                key = ("link", link.interface)
                before = self.facts.values.get((fact, key))
                values[fact, key] = before if before and before[0] == value else (value, inf, now)
        self.facts.values = values
        self.facts.judge(now)

    def forget(self, interface: str, address: str | None) -> None:
        for entry in list(self.failures):
            if entry[1][0] == interface and address in (None, entry[1][1]):
                del self.failures[entry]

    def measurements(self) -> set[tuple[Any, ...]]:
        """Return what is known: fact, names in the order of the key, value, until when, since when."""
        return {(fact, *key, *known) for (fact, key), known in self.facts.values.items()}

    def add(self, description: SessionDescription, current: Point, suspended: bool) -> None:
        state = {"d": description, "current": current, "suspended": suspended}
        self.sessions[description.id] = {**state, "leads": {}, "lost": None, "none": None, "given": None}

    def remove(self, name: str, now: float) -> None:
        self.facts.advance(now)
        peer = self.peer(name)
        del self.sessions[name]
        self.facts.forget(lambda _, key: key[:2] == ("session", name), now)
        if peer not in map(self.peer, self.sessions):
            self.failures = {k: v for k, v in self.failures.items() if k[0] != peer}
            self.facts.forget(lambda _, key: key[0:1] == ("link",) and key[2:] == (peer,), now)

    def settle_down(self, name: str, current: Point | None) -> None:
        """The daemon moved the session to `current`, or suspended it (`None`)."""
        state = self.sessions[name]
        if current is not None:
            self.failures.pop((self.peer(name), current), None)
        self.add(state["d"], current or state["current"], current is None)

    def failed(self, name: str, point: Point, now: float) -> None:
        entry = (self.peer(name), point)
        until, pause = self.failures.get(entry, (now, 2.5))
        if now >= until:
            self.failures[entry] = (now + min(pause * 2, 300), min(pause * 2, 300))
        self.sessions[name]["given"] = None

    # What follows.

    def peer(self, name: str) -> str:
        return str(plain(self.sessions[name]["d"].connections[0].remote_address))

    def lit(
        self, description: SessionDescription, live: bool, interface: str | None
    ) -> Callable[[When], Any]:
        """Return what tells whether a `when` is on for a session at a link: `None` where there is none."""

        def on(when: When) -> bool | None:
            asked = self.triggers[id(when)]
            keys = [key for trigger, key in self.facts.on if trigger == asked]
            match when.threshold.subject:
                case Subject.HOST:
                    return () in keys
                case Subject.LINK:
                    return None if interface is None else ("link", interface) in keys
                case Subject.PATH:
                    peer = str(plain(description.connections[0].remote_address))
                    return None if interface is None else ("link", interface, peer) in keys
            return live and any(key[:2] == ("session", description.id) for key in keys)

        return on

    def statements(
        self, description: SessionDescription, live: bool, interface: str | None = None
    ) -> list[Statement]:
        """Return what applies; the same may be asked for again until time goes on."""
        key = (description.id, live, interface)
        if key not in self.read:
            lit, connections = self.lit(description, live, interface), list(description.connections)
            self.read[key] = list(applicable(self.policy.statements, connections, description.id, lit))
        return self.read[key]

    def points(self) -> Iterator[tuple[Point, LinkState, AddressPresent]]:
        for address in self.addresses.values():
            link = self.links.get(address.index)
            if link is not None and not link.loopback:
                yield (link.interface, address.address), link, address

    def table(self, name: str, now: float) -> dict[Point, tuple[int, bool]]:
        """Return score and eligibility by attachment point."""
        rows = self.resorts(name, now)
        better = any(fine and not avoid for _, fine, avoid in rows.values())
        return {p: (value, fine and not (avoid and better)) for p, (value, fine, avoid) in rows.items()}

    def resorts(self, name: str, now: float) -> dict[Point, tuple[int, bool, bool]]:
        """Return of each point its score, whether it may be used at all, and whether it is to be avoided."""
        state, rows = self.sessions[name], {}
        by_link: dict[str, list[Statement]] = {}
        of_links = any(when.threshold.subject in OF_LINKS for when in whens(self.policy.statements))
        for point, link, address in self.points():
            # The links differ only where a condition is about links.
            where = link.interface if of_links else ""
            if where not in by_link:
                by_link[where] = self.statements(state["d"], True, where or None)
            current = point == state["current"]
            value, never = scored(by_link[where], ScoreInterface, address.label, current)
            until = self.failures.get((self.peer(name), point), (now, 0.0))[0]
            barred = now < until and (state["suspended"] or not current)
            family = ip_address(self.peer(name)).version == address.family
            fine = link.usable and address.usable and family and not never and not barred
            rows[point] = (value, fine, avoided(by_link[where], address.label, current))
        return rows

    def applied(self, name: str) -> set[Span]:
        description = self.sessions[name]["d"]
        links = {None, *(link.interface for _, link, _ in self.points())}
        return {s.span for link in links for s in self.statements(description, True, link)}

    def conditions(self, name: str) -> set[tuple[Span, str]]:
        """Return each `when` that bears on a session with what it is on for."""
        description, found = self.sessions[name]["d"], set()
        called: dict[Key, str] = {(): "host", ("session", name): "session"}
        for _, link, _ in self.points():
            called[("link", link.interface)] = called[("link", link.interface, self.peer(name))] = (
                link.interface
            )
        for when in reached(self.policy.statements, list(description.connections), name):
            for trigger, key in self.facts.on:
                if trigger == self.triggers[id(when)] and key in called:
                    found.add((when.span, called[key]))
                elif trigger == self.triggers[id(when)] and key[:2] == ("session", name):
                    found.add((when.span, f"connection {key[2]}"))
        return found

    def servers(
        self, description: SessionDescription, live: bool, candidates: list[str], current: str
    ) -> list[tuple[str, int, bool]]:
        statements = self.statements(description, live)
        rows = [(name, *scored(statements, ScoreServer, name, name == current)) for name in candidates]
        rows.sort(key=lambda row: (row[2], -row[1], row[0] != current, candidates.index(row[0])))
        return [(name, value, not never) for name, value, never in rows]

    def verdicts(self, description: SessionDescription, live: bool) -> dict[str, Any]:
        """Return what the policy says of a session besides where it should be."""
        statements = self.statements(description, live)
        expire = {s.layer: s for s in statements if isinstance(s, ExpireRule)}
        if len(expire) > 1:
            expire.pop(Layer.DEFAULT, None)
        times = [inf if s.after_s is None else s.after_s for s in expire.values()]
        return {
            "adopt": last(statements, Adopt, "adopt", False),
            "eager": last(statements, ResumeRule, "eager", True),
            "notify": last(statements, NotifyRule, "notify", True),
            "expire": min(times, default=None),
        }

    def tick(self, now: float) -> set[tuple[Any, ...]]:
        """Judge every session and return what is new: (session, action, target, urgent)."""
        self.facts.advance(now)
        self.read.clear()
        news = set()
        for name, state in self.sessions.items():
            answer = self.decide(name, state, now)
            if answer is not None and answer != state["given"]:
                news.add((name, *answer))
            state["given"] = answer
        return news

    def decide(self, name: str, state: dict[str, Any], now: float) -> tuple[Any, ...] | None:
        rows, current = self.table(name, now), state["current"]
        statements = self.statements(state["d"], True)
        fine = {point: row[0] for point, row in rows.items() if row[1]}
        places = {point: (link.index, address.label) for point, link, address in self.points()}
        order = sorted(fine, key=lambda p: (-fine[p], p != current, *places[p], p[1]))
        clocks, state["leads"], lost, none = state["leads"], {}, state["lost"], state["none"]
        state["lost"] = state["none"] = None
        if not last(statements, MigrateRule, "allowed", True):
            here = state["suspended"] and self.resorts(name, now).get(current, (0, False, False))[1]
            return ("resume", current, False) if here else None
        if state["suspended"]:
            return ("resume", order[0], False) if order else None
        if current in fine:
            margin = max(1, last(statements, Margin, "amount", 1))
            ahead = [p for p in order if fine[p] - fine[current] >= margin]
            state["leads"] = {p: clocks.get(p, now) for p in ahead}
            ripe = last(statements, Settle, "duration_s", 2.0)
            settled = [p for p in ahead if state["leads"][p] + ripe <= now]
            return ("move", settled[0], False) if settled else None
        state["lost"] = now if lost is None else lost
        patient = state["lost"] + last(statements, Delay, "duration_s", 0.0) > now
        if order:
            usable = any(
                point == current and link.usable and address.usable for point, link, address in self.points()
            )
            return None if patient else ("move", order[0], not usable)
        state["none"] = now if none is None else none
        after = last(statements, SuspendRule, "after_s", 0.0)
        if after is None or patient or state["none"] + after > now:
            return None
        return ("suspend", None, False)


def last(statements: list[Statement], kind: type[Statement], field: str, default: Any) -> Any:
    found = [s for s in statements if isinstance(s, kind)]
    return getattr(found[-1], field) if found else default
