"""How long connections stand still when their transports are reset: until echoes come through again.

Measured is the time from the reset of every TCP connection of a session, control transport included, to the
first and to the last connection whose new message has come back. TCP's own handshake is in it: one round trip
more than the aim speaks of. Plain TCP is the same program, which makes all its connections anew and forgets
what was in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from _figures import Summary, progress, summary
from _streams_pair import Pair

from migrated.lab import SERVER_V4, Lab, two_links

COUNTS = (1, 8, 64)
RTTS_MS = (0.0, 50.0)
MESSAGE_BYTES = 200

AIM_MS, AIM_EACH_MS = 2.0, 0.1
PAPER_RTTS, PAPER_MS, PAPER_EACH_MS = 4, 1.6, 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Milliseconds from the reset to the first and the last echo of so many connections."""

    rtt_ms: float
    connections: int
    first_ms: Summary
    last_ms: Summary
    tcp_last_ms: Summary

    @property
    def aim_ms(self) -> float:
        """Return the aim, to which TCP's handshake adds a round trip."""
        return self.rtt_ms + AIM_MS + AIM_EACH_MS * self.connections

    @property
    def paper_ms(self) -> float:
        return PAPER_RTTS * self.rtt_ms + PAPER_MS + PAPER_EACH_MS * self.connections


def measure(rounds: int) -> list[Resumption]:
    """Reset sessions of every size, at every round trip."""
    rows = []
    for rtt_ms in RTTS_MS:
        with places(rtt_ms) as where:
            for count in COUNTS:
                rows.append(compare(rtt_ms, count, rounds, where))
                last = rows[-1].last_ms.median
                progress(f"round trip {rtt_ms:g} ms, {count} connections: all resumed after {last:.1f} ms")
    return rows


@contextmanager
def places(rtt_ms: float) -> Iterator[dict[str, Any]]:
    """Yield where the two programs run: on the loopback, or on two hosts that are far from each other."""
    if not rtt_ms:
        yield {}
        return
    with Lab() as lab:
        net = two_links(lab, rtt_s=rtt_ms / 1e3)
        yield {"address": SERVER_V4, "client": net.client.popen, "server": net.server.popen}


def compare(rtt_ms: float, count: int, rounds: int, where: dict[str, Any]) -> Resumption:
    with Pair("stream", count, **where) as ours, Pair("tcp", count, **where) as tcp:
        ours.ask("reset", MESSAGE_BYTES)  # the first time, code is loaded
        tcp.ask("reconnect", MESSAGE_BYTES)
        pairs = [
            (ours.ask("reset", MESSAGE_BYTES), tcp.ask("reconnect", MESSAGE_BYTES)) for _ in range(rounds)
        ]
    return Resumption(
        rtt_ms=rtt_ms,
        connections=count,
        first_ms=summary([own["first_ms"] for own, _ in pairs]),
        last_ms=summary([own["last_ms"] for own, _ in pairs]),
        tcp_last_ms=summary([plain["last_ms"] for _, plain in pairs]),
    )


def print_resumptions(rows: list[Resumption]) -> None:
    print("\nresumption after a reset of all transports, in ms: median of the time until echoes come again")
    print(
        f"  {'RTT':>4} {'connections':>12} {'first':>9} {'last':>9} {'p99 last':>9}   {'TCP anew':>9}", end=""
    )
    print("     aim   paper")
    for row in rows:
        figures = f"{row.first_ms.median:9.2f} {row.last_ms.median:9.2f} {row.last_ms.p99:9.2f}"
        bounds = f"{row.aim_ms:5.1f}   {row.paper_ms:5.1f}"
        print(
            f"  {row.rtt_ms:4.0f} {row.connections:12} {figures}   {row.tcp_last_ms.median:9.2f}   {bounds}"
        )
    print("  TCP's own handshake is in all of ours, one round trip more than the aim has")
