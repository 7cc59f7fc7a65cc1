"""One event for very many sessions: a link is lost, something was measured, the policy is another one.

Every session is a client's connection to one of many ports; each port is a class that prefers another link.
The events come again and again, without a word from the daemon that anything was done: each time all
decisions are due anew.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from time import process_time

from _figures import Summary, progress, summary
from _policy_engine import address_of, link_state, links_up, parsed, session
from _policy_rules import LINKS, Request
from _stage import BenchmarkError

from engine import CompiledPolicy, Decision, Engine
from monitors.events import Event, FactMeasured
from policylang.ast import Policy

FIRST_PORT = 1000
PEER = IPv4Address("192.0.2.9")
LOST = 3
"""The link that is lost, and of which something is measured."""

Happening = tuple[Event, Event]
"""An event, and the one that takes it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Figures for so many sessions in so many classes over `LINKS` links.

    Attributes:
        add_us: Microseconds to take one session in.
        bytes_each: Resident memory for each session in the engine, its description included.
        decided: How many decisions each event has given, by what happened.
        ms: Milliseconds from each event to all decisions.
        reload_ms: The same for another policy that was compiled in another thread.
        reload_and_compile_ms: The same for one that was not.
    """

    sessions: int
    classes: int
    add_us: float
    bytes_each: float
    decided: dict[str, int]
    ms: dict[str, Summary]
    reload_ms: Summary
    reload_and_compile_ms: Summary


HAPPENINGS: dict[str, Happening] = {
    "link lost": (link_state(LOST, carrier=False), link_state(LOST)),
    "host fact": (FactMeasured(fact="on-battery", value=True), FactMeasured(fact="on-battery", value=False)),
    "link fact": (
        FactMeasured(fact="metered", value=True, interface=f"eth{LOST}"),
        FactMeasured(fact="metered", value=False, interface=f"eth{LOST}"),
    ),
    "session fact": (
        FactMeasured(fact="keepalive-age", value=60.0, session="s0"),
        FactMeasured(fact="keepalive-age", value=1.0, session="s0"),
    ),
}
"""What happens to all; a link that is lost comes back, and what was measured is measured otherwise."""


def class_policy(classes: int, extra: int = 0) -> Policy:
    """Return a policy with a class for each port, and a `when` about host, links and sessions.

    ``extra`` is added to the scores, so that policies differ and decide alike.
    """
    scores = [
        f"on port {FIRST_PORT + place} score-interface eth{place % LINKS} {10 + extra}"
        for place in range(classes)
    ]
    away = f"eth{LINKS - 1}"
    return parsed(
        "\n".join(
            [
                "monitor-policy { settle 0s score-interface * 1",
                *scores,
                "when metered = yes score-interface * -1000",
                f"when on-battery = yes score-interface {away} +5000",
                f"when keepalive-age > 30s score-interface {away} +5000",
                "}",
            ]
        )
    )


def crowd(sessions: int, classes: int, rounds: int) -> Crowd:
    """Measure an engine with so many sessions.

    Raises:
        BenchmarkError: an event gave another number of decisions than it must.
    """
    progress(f"{sessions} sessions in {classes} classes are taken in")
    engine, add_us, bytes_each = _populated(sessions, classes)
    ms, decided = {}, {}
    for name, happening in HAPPENINGS.items():
        progress(f"{name}, {rounds} times")
        ms[name], decided[name] = _happen(engine, happening, rounds)
    progress("another policy")
    reload_ms, reload_and_compile_ms = _reload(engine, classes, rounds)
    for link in range(1, LINKS):
        engine.handle(link_state(link, carrier=False), 0.0)
    progress(f"the last link, {rounds} times")
    last = (link_state(0, carrier=False), link_state(0))
    ms["last link lost"], decided["last link lost"] = _happen(engine, last, rounds)
    _verify(decided, sessions, classes)
    return Crowd(
        sessions=sessions,
        classes=classes,
        add_us=add_us,
        bytes_each=bytes_each,
        decided=decided,
        ms=ms,
        reload_ms=reload_ms,
        reload_and_compile_ms=reload_and_compile_ms,
    )


def _populated(sessions: int, classes: int) -> tuple[Engine, float, float]:
    """Return an engine whose sessions are at the links that they prefer, and what each of them cost."""
    engine = Engine(class_policy(classes))
    for event in links_up():
        engine.handle(event, 0.0)
    engine.handle_timer(0.0)
    gc.collect()
    before, begun = _resident_bytes(), process_time()
    for number in range(sessions):
        place = number % classes
        request, link = Request(address=PEER, port=FIRST_PORT + place), place % LINKS
        engine.add_session(session(f"s{number}", request), (f"eth{link}", address_of(link)), 0.0)
    add_us = 1e6 * (process_time() - begun) / sessions
    if engine.handle_timer(0.0):
        raise BenchmarkError("sessions that are where they should be were moved")
    gc.collect()
    return engine, add_us, (_resident_bytes() - before) / sessions


def _happen(engine: Engine, happening: Happening, rounds: int) -> tuple[Summary, int]:
    """Let an event happen and be taken back; return the times of the former, and its decisions."""
    times, decided = [], set()
    for _ in range(rounds):
        gc.collect()
        spent, decisions = _ms(lambda: engine.handle(happening[0], 0.0))
        times.append(spent)
        decided.add(len(decisions))
        engine.handle(happening[1], 0.0)
    (number,) = decided
    return summary(times), number


def _reload(engine: Engine, classes: int, rounds: int) -> tuple[Summary, Summary]:
    """Put two policies in force in turn, the one compiled before and the other not."""
    policies = [class_policy(classes, extra) for extra in (1, 0)]
    ready, anew = [], []
    for number in range(rounds):
        policy, other = policies[number % 2], policies[1 - number % 2]
        ready.append(_replace_ms(engine, CompiledPolicy(policy)))
        anew.append(_replace_ms(engine, other))
    return summary(ready), summary(anew)


def _replace_ms(engine: Engine, policy: Policy | CompiledPolicy) -> float:
    gc.collect()
    return _ms(lambda: engine.replace_policy(policy, 0.0))[0]


def _ms(work: Callable[[], Sequence[Decision]]) -> tuple[float, Sequence[Decision]]:
    begun = process_time()
    decisions = work()
    return 1e3 * (process_time() - begun), decisions


def _resident_bytes() -> int:
    """Source: proc(5), ``statm``."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _verify(decided: dict[str, int], sessions: int, classes: int) -> None:
    """Compare the decisions with what the policy says of each event."""
    at = [number % classes % LINKS for number in range(sessions)]
    expected = {
        "link lost": at.count(LOST),
        "host fact": sessions - at.count(LINKS - 1),
        "link fact": at.count(LOST),
        "session fact": 1,
        "last link lost": sessions,
    }
    if decided != expected:
        raise BenchmarkError(f"the events gave {decided} decisions, not {expected}")


def print_crowd(found: Crowd) -> None:
    print(f"one event, {found.sessions:,} sessions in {found.classes} classes over {LINKS} links")
    print("                                  decisions   ms, median      least")
    for name, took in found.ms.items():
        print(f"  {name:30} {found.decided[name]:>11,} {took.median:12.1f} {took.least:10.1f}")
    for name, took in (("compiled before", found.reload_ms), ("and compiled", found.reload_and_compile_ms)):
        print(f"  another policy, {name:26} {took.median:12.1f} {took.least:10.1f}")
    print(f"  a session: {found.add_us:.1f} us to take in, {found.bytes_each:,.0f} bytes resident")
