"""How soon sessions are on the other link when theirs is up and leads nowhere any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from _figures import Summary, progress, summary
from _stage import ADOPTED_PORT, BenchmarkError, Program, Stage

from migrated.control.messages import EventReport
from migrated.control.observations import FactList, Facts
from migrated.lab import SERVER_V4, Access

AIM_S = 3.0
"""The most that it may take, idle or not."""

IDLE, SENDING = "idle", "2 KB / 100 ms"
_WORKS = {IDLE: ("idle", "idle"), SENDING: ("beat", "hear")}
"""What the client's and the server's program do."""

POLICY = "monitor-policy { score-interface * 10 on proto tcp adopt }\n"
"""No link is better than another, so that a session stays where it is until that link is dead."""

_PROOF_S = 6.5
"""Seconds after which a link counts again that loses nothing any more, with some to spare."""

_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """Seconds from when a link begins to drop everything: to the decision, and to the end of the move."""

    traffic: str
    decision_s: Summary
    moved_s: Summary


def measure_dead_links(count: int) -> list[Rescue]:
    """Have the link of an idle session and of one that sends drop everything, so many times.

    Raises:
        BenchmarkError: a session did not move.
    """
    rows: dict[str, list[tuple[float, float]]] = {traffic: [] for traffic in _WORKS}
    with Stage(policy=POLICY) as stage, _sessions(stage) as sessions:
        for number in range(count):
            progress(f"link {number + 1} of {count} leads nowhere")
            _await_proven(stage)
            time.sleep(number / count)  # links die at every moment between two probes, which go once a second
            for traffic, row in _lose(stage, sessions, stage.net.links[number % 2]).items():
                rows[traffic].append(row)
    found = []
    for traffic, figures in rows.items():
        decision_s, moved_s = (summary(column) for column in zip(*figures, strict=True))
        found.append(Rescue(traffic=traffic, decision_s=decision_s, moved_s=moved_s))
    return found


@contextmanager
def _sessions(stage: Stage) -> Iterator[dict[str, str]]:
    """Run a program of each kind at both ends, and yield the names of their sessions."""
    sessions = {}
    with ExitStack() as stack:
        for port, (traffic, works) in enumerate(_WORKS.items(), start=ADOPTED_PORT):
            marks = stage.marks()
            server = Program(stage.net.server, "listen", str(port), works[1])
            stack.callback(server.close)
            server.await_ready()
            client = Program(stage.net.client, "connect", SERVER_V4, str(port), works[0])
            stack.callback(client.close)
            sessions[traffic] = stage.await_adopted(marks)
        yield sessions


def _await_proven(stage: Stage) -> None:
    """Wait until all links have been good for so long that none is a last resort."""
    deadline = time.monotonic() + _LIMIT_S
    while set(_losses(stage)) != {0.0} or len(_losses(stage)) < len(stage.net.links):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"not all links are good; lost of probes, in percent: {_losses(stage)}")
        time.sleep(0.1)
    time.sleep(_PROOF_S)


def _losses(stage: Stage) -> list[float]:
    report = stage.client.ask(Facts(names=("loss",)))
    assert isinstance(report, FactList)
    return [float(row.value or 0) for row in report.facts]


def _lose(stage: Stage, sessions: dict[str, str], link: Access) -> dict[str, tuple[float, float]]:
    """Have a link drop everything; return the seconds to each session's decision and to its move's end."""
    mark = len(stage.client.events)
    begun = time.time()
    link.lose()
    try:
        return {
            traffic: (
                _event(stage, "moving", mark, session, link).time - begun,
                _event(stage, "moved", mark, session, link).time - begun,
            )
            for traffic, session in sessions.items()
        }
    finally:
        link.deliver()


def _event(stage: Stage, name: str, mark: int, session: str, link: Access) -> EventReport:
    came_from = {"came_from": link.interface} if name == "moving" else {}
    return stage.client.await_event(name, mark, timeout_s=_LIMIT_S, session=session, **came_from)


def missed(found: Rescue) -> bool:
    """Return whether the slowest session was too slow."""
    return found.moved_s.most > AIM_S


def print_dead_links(found: list[Rescue]) -> None:
    print("\nfrom a link's beginning to drop everything, in s")
    print(f"  {'':40}{'median':>9} {'p99':>9} {'max':>9}   aim (max)")
    for each in found:
        print(f"  {each.traffic + ': the session is to move':40}{each.decision_s}")
        print(f"  {'    it has moved':40}{each.moved_s}   {AIM_S:g}{'   missed' if missed(each) else ''}")
