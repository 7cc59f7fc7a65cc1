"""Worlds, sessions and what happens to them, made up at random."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from engine import Connection, SessionDescription
from monitors.events import Event, FactMeasured, LinkGone
from monitors.facts import Subject
from tests.engine import build
from tests.engine.generated import FACTS, OF_LINKS, Texts, edited, policy_texts

Step = tuple[Any, ...]
"""What happens, and with what: see `Pair.tell` in ``generated_run``."""

PLACES = sorted(build.PLACES)
INTERFACES = sorted({interface for interface, _, _ in build.PLACES.values()})
NAMES = ("a", "b", "c", "d")
PEERS = ("18.31.0.9", "18.31.7.9", "192.0.2.9", "192.0.2.9", "::ffff:192.0.2.9", "2001:db8:1::9")
HOSTS = ((), ("www.MIT.edu",), ("example.org.",), ("example.org", "mirror.mit.edu"))
_SPOKEN = re.compile(r"(?:when|until) (\S+)")
_SUBJECT_OF = {fact: subject for subject, facts in FACTS.items() for fact in facts}
KINDS = (
    *("fact", "event", "wait", "deadline", "obey", "policy"),
    *("add", "remove", "anew", "moved", "suspended", "failed"),
)
EMPHASES = (
    # Of everything; of time; of reloads under running clocks; of sessions that come and go.
    (26, 22, 12, 14, 12, 7, 3, 3, 2, 3, 3, 3),
    (40, 10, 20, 20, 10, 2, 1, 1, 1, 1, 1, 1),
    (30, 4, 14, 10, 6, 26, 1, 1, 1, 1, 1, 1),
    (25, 8, 8, 8, 8, 2, 8, 8, 14, 4, 4, 4),
)
"""How often each kind of step is drawn."""

LIFETIMES = (None, None, 0.5, 1.0, 2.0, 3.0)
AGES = (None, None, None, 0.0, 0.25, 1.0, 2.5, -1.0)
"""How long ago a value was measured; below 0 by a clock that is ahead of the engine's."""


@dataclass(frozen=True, slots=True)
class Case:
    """A policy and what happens under it."""

    policy: Texts
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join((str(self.policy), "--- steps", *map(_shown, self.steps)))


def _shown(step: Step) -> str:
    return f"policy:\n{step[1]}" if step[0] == "policy" else " ".join(map(str, step))


def case(random: Random, policy: Texts | None = None) -> Case:
    """Return a case: a policy if none is given, some links and sessions, and what happens to them."""
    policy = policy_texts(random) if policy is None else policy
    steps: list[Step] = []
    for name in random.sample(PLACES, random.randint(2, 4)):
        steps += [("event", build.link(name)), ("event", build.present(name))]
    steps += [_added(random, name) for name in random.sample(NAMES, random.randint(1, 3))]
    latest = policy
    steps += [_fact(random, latest) for _ in range(random.randint(0, 6))]
    weights = random.choice(EMPHASES)
    for kind in random.choices(KINDS, weights, k=random.randint(4, 12)):
        if kind == "policy":
            latest = edited(random, latest) if random.random() < 0.8 else policy_texts(random)
        steps += _late(random, (("policy", latest),) if kind == "policy" else _steps(random, kind, latest))
    return Case(policy, tuple(steps))


def _late(random: Random, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps, the first sometimes late: nobody called the engine in between."""
    if random.random() < 0.15:
        return (("late", random.choice((0.5, 1.0, 3.0, 6.0)), steps[0]), *steps[1:])
    return steps


def _steps(random: Random, kind: str, policy: Texts) -> tuple[Step, ...]:
    name = random.choice(NAMES)
    match kind:
        case "fact":
            return (_fact(random, policy),)
        case "event":
            return (("event", _event(random)),)
        case "wait":
            return (("wait", random.choice((0.5, 1.0, 2.0, 5.0, 40.0))),)
        case "add":
            return (_added(random, name),)
        case "anew":
            return (("remove", name), _added(random, name))
        case "moved" | "failed":
            return ((kind, name, random.choice(PLACES)),)
        case "remove" | "suspended":
            return ((kind, name),)
    return ((kind,),)


def _event(random: Random) -> Event:
    name = random.choice(PLACES)
    interface, index, _ = build.PLACES[name]
    yes, mostly = random.random() < 0.5, random.random() < 0.7
    return random.choice(
        (
            build.link(name, carrier=yes, up=mostly),
            build.link(name, carrier=yes, up=mostly),
            build.present(name, usable=mostly),
            build.gone(name),
            LinkGone(interface=interface, index=index),
        )
    )


def _fact(random: Random, policy: Texts) -> Step:
    """Return a measurement, mostly of a fact that the policy speaks of."""
    spoken = _SPOKEN.findall(str(policy))
    fact = random.choice(spoken) if spoken and random.random() < 0.9 else random.choice(sorted(_SUBJECT_OF))
    subject = _SUBJECT_OF[fact]
    about: dict[str, Any] = {
        "interface": random.choice(INTERFACES) if subject in OF_LINKS else "",
        "peer": random.choice(PEERS[:4]) if subject is Subject.PATH else "",
        "session": random.choice(NAMES[:3]) if subject in (Subject.SESSION, Subject.CONNECTION) else "",
        "connection": random.choice("12") if subject is Subject.CONNECTION else "",
    }
    value = None if random.random() < 0.1 else random.choice(list(FACTS[subject][fact].values()))
    event = FactMeasured(fact=fact, value=value, lifetime_s=random.choice(LIFETIMES), **about)
    return ("fact", event, random.choice(AGES))


def _added(random: Random, name: str) -> Step:
    return ("add", description(random, name), random.choice(PLACES), random.random() < 0.2)


def description(random: Random, name: str) -> SessionDescription:
    """Return a session of one to three connections to one peer, or nearly."""
    count = random.choice((1, 1, 1, 2, 3))
    return SessionDescription(id=name, connections=tuple(_connection(random) for _ in range(count)))


def _connection(random: Random) -> Connection:
    return Connection(
        proto=random.choice(("tcp", "tcp", "udp")),
        local_address=random.choice(("10.0.0.5", "172.16.0.5")),
        local_port=random.choice((3001, 3005, 40000)),
        remote_address=random.choice(PEERS),
        remote_port=random.choice((22, 80, 443)),
        user=random.choice((None, "ann", "bob")),
        app=random.choice((None, "/usr/bin/ssh", "ssh", "curl")),
        role=random.choice(("client", "server")),
        remote_hosts=random.choice(HOSTS),
    )
