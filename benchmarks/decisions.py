"""How fast decisions are: one decision among many rules, and one event for many sessions.

Run `python benchmarks/decisions.py [--json]`. Every figure is the median of some runs on this machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
from collections.abc import Callable
from time import perf_counter

from engine import CompiledPolicy, Connection, Engine, SessionDescription
from engine.judge import CALM, Position, judge
from engine.world import World
from monitors.events import AddressPresent, LinkState, NetworkEvent, OperState
from policylang import parse_policy
from policylang.ast import Policy

LINKS = 8
AIM_DECISION_US = 10.0
AIM_EVENT_MS = 100.0


def _policy(body: str) -> Policy:
    result = parse_policy(f"monitor-policy {{\n{body}\n}}")
    assert result.policy is not None, result.diagnostics
    return result.policy


def _prefix_rules(count: int) -> Policy:
    """Rules with one prefix and one port each; the last is the one that matches."""
    rules = [
        f"on remote-ip 10.{n // 250}.{n % 250}.0/24 on port {1000 + n % 100} score-interface eth{n % LINKS} 7"
        for n in range(1, count)
    ]
    return _policy("\n".join([*rules, "on remote-ip 192.0.2.0/24 on port 22 score-interface eth3 99999"]))


def _port_classes(count: int) -> Policy:
    """As many classes as ports; each prefers another link."""
    return _policy(
        "score-interface * 1\n"
        + "\n".join(f"on port {1000 + n} score-interface eth{n % LINKS} {10 + n}" for n in range(count))
    )


def _link(number: int, *, carrier: bool = True) -> LinkState:
    state = OperState.UP if carrier else OperState.DOWN
    return LinkState(interface=f"eth{number}", index=number + 2, up=True, carrier=carrier, operstate=state)


def _world() -> list[NetworkEvent]:
    events: list[NetworkEvent] = []
    for number in range(LINKS):
        address = AddressPresent(
            interface=f"eth{number}",
            index=number + 2,
            label=f"eth{number}",
            address=f"10.200.{number}.1",
            prefix_length=24,
            family=4,
            usable=True,
        )
        events += [_link(number), address]
    return events


def _session(number: int, port: int, remote: str = "192.0.2.9") -> SessionDescription:
    connection = Connection(
        proto="tcp",
        local_address="10.200.0.1",
        local_port=40000,
        remote_address=remote,
        remote_port=port,
        user="ann",
        app="/usr/bin/ssh",
    )
    return SessionDescription(id=f"s{number}", connections=(connection,))


def _median(work: Callable[[], object], runs: int, loops: int = 1) -> float:
    """Return the median time of one call, in seconds."""
    times = []
    for _ in range(runs):
        start = perf_counter()
        for _ in range(loops):
            work()
        times.append((perf_counter() - start) / loops)
    return statistics.median(times)


def one_decision(count: int) -> dict[str, float]:
    """Time, in microseconds, to find the class of a session, to judge it, and to explain it."""
    policy = _prefix_rules(count)
    rules, world, engine = CompiledPolicy(policy), World(), Engine(policy)
    for event in _world():
        world.apply(event)
        engine.handle(event, 0.0)
    described, position = _session(0, 22), Position(current=("eth0", "10.200.0.1"))
    group = rules.classify(described).variant(frozenset())
    return {
        "rules": count,
        "classify_us": 1e6 * _median(lambda: rules.classify(described), 15, 500),
        "decide_us": 1e6 * _median(lambda: judge(group, position, CALM, world, 0.0), 15, 500),
        "explain_us": 1e6 * _median(lambda: engine.explain(described, 0.0), 15, 100),
    }


def one_event(sessions: int, classes: int) -> dict[str, float]:
    """Time, in milliseconds, from an event to all decisions: all move, and one in eight moves."""
    engine = Engine(_port_classes(classes))
    for event in _world():
        engine.handle(event, 0.0)
    start = perf_counter()
    for number in range(sessions):
        place = number % classes % LINKS
        point = (f"eth{place}", f"10.200.{place}.1")
        engine.add_session(_session(number, 1000 + number % classes), point, 0.0)
    adding = perf_counter() - start
    assert engine.handle_timer(0.0) == ()
    gc.collect()
    start = perf_counter()
    moved = engine.handle(_link(3, carrier=False), 1.0)
    partly = perf_counter() - start
    assert len(moved) == sum(n % classes % LINKS == 3 for n in range(sessions))
    for number in range(1, LINKS):
        engine.handle(_link(number, carrier=False), 2.0)
    start = perf_counter()
    suspended = engine.handle(_link(0, carrier=False), 3.0)
    wholly = perf_counter() - start
    assert len(suspended) == sessions
    start = perf_counter()
    engine.replace_policy(_port_classes(classes), 4.0)
    return {
        "sessions": sessions,
        "classes": classes,
        "links": LINKS,
        "add_us_each": 1e6 * adding / sessions,
        "event_some_move_ms": 1e3 * partly,
        "event_all_suspend_ms": 1e3 * wholly,
        "reload_ms": 1e3 * (perf_counter() - start),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    decisions = [one_decision(count) for count in (10, 100, 1000)]
    event = one_event(100_000, 100)
    if options.json:
        print(json.dumps({"one_decision": decisions, "one_event": event}, indent=2))
        return
    print("one decision, the last rule matches        classify     decide    explain")
    for row in decisions:
        times = "".join(f"{row[key]:8.2f} us" for key in ("classify_us", "decide_us", "explain_us"))
        print(f"  {row['rules']:>5} rules with prefix and port          {times}")
    print(f"  aim: classify and decide <= {AIM_DECISION_US:g} us at 1000 rules, near flat")
    print(f"\none event, {event['sessions']} sessions in {event['classes']} classes, {LINKS} links")
    print(f"  one link lost, its sessions move   {event['event_some_move_ms']:8.1f} ms")
    print(
        f"  last link lost, all are suspended  {event['event_all_suspend_ms']:8.1f} ms, aim {AIM_EVENT_MS:g}"
    )
    print(f"  adding a session                   {event['add_us_each']:8.1f} us each")
    print(f"  another policy for all of them     {event['reload_ms']:8.1f} ms")


if __name__ == "__main__":
    main()
