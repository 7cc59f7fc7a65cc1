"""Throughput, latency and processor time of streams against native TCP, over the loopback.

Pairs of neighbours are compared: each burst of ours follows one of native TCP's, of the same bytes from the
same program.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from _figures import Summary, progress, summary
from _streams_pair import Pair

BLOCKS = (64, 1024, 16 * 1024, 64 * 1024, 1 << 20)
NATIVE = {"stream": "tcp", "sealed": "tcp", "stream-socket": "socket"}
"""Each kind of ours, and what the same program uses without us."""

AIM_GBIT_S, AIM_RATIO = 5.0, 0.9
PAPER_GBIT_S = 0.35
MESSAGE_BYTES = 200
TRIAL_S, TRIAL_BYTES = 0.02, 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Bursts of one block size: gigabits a second, seconds of processor for a gigabyte at both ends."""

    kind: str
    block_bytes: int
    native_gbit_s: Summary
    gbit_s: Summary
    ratio: Summary
    native_client_s_per_gb: float
    native_server_s_per_gb: float
    client_s_per_gb: float
    server_s_per_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Round trips of messages of 200 bytes in µs, and the ratio of medians of neighbouring rounds."""

    kind: str
    native_us: Summary
    us: Summary
    ratio: Summary


def blocks_in_a_burst(pair: Pair, block: int, burst_s: float) -> int:
    """Return how many blocks a connection carries in the time of a burst."""
    count = max(1, TRIAL_BYTES // block)
    while (took := float(pair.ask("burst", block, count)["seconds"])) < TRIAL_S:
        count *= 4
    return max(1, round(count * burst_s / took))


def compare(native: Pair, ours: Pair, block: int, rounds: int, burst_s: float) -> Rate:
    count = blocks_in_a_burst(native, block, burst_s)
    ours.ask("burst", block, count)  # both have found their window by now
    pairs = [(native.ask("burst", block, count), ours.ask("burst", block, count)) for _ in range(rounds)]
    size = block * count

    def gbit_s(side: int) -> Summary:
        return summary([8e-9 * size / pair[side]["seconds"] for pair in pairs])

    def s_per_gb(side: int, end: str) -> float:
        return median(float(pair[side][end]) / (1e-9 * size) for pair in pairs)

    return Rate(
        kind=ours.kind,
        block_bytes=block,
        native_gbit_s=gbit_s(0),
        gbit_s=gbit_s(1),
        ratio=summary([plain["seconds"] / own["seconds"] for plain, own in pairs]),
        native_client_s_per_gb=s_per_gb(0, "client_s"),
        native_server_s_per_gb=s_per_gb(0, "server_s"),
        client_s_per_gb=s_per_gb(1, "client_s"),
        server_s_per_gb=s_per_gb(1, "server_s"),
    )


def compare_latency(native: Pair, ours: Pair, rounds: int, messages: int) -> Latency:
    pairs = [
        [pair.ask("echo", MESSAGE_BYTES, messages)["us"] for pair in (native, ours)] for _ in range(rounds)
    ]
    return Latency(
        kind=ours.kind,
        native_us=summary([time for plain, _ in pairs for time in plain]),
        us=summary([time for _, own in pairs for time in own]),
        ratio=summary([median(own) / median(plain) for plain, own in pairs]),
    )


def measure(rounds: int, burst_s: float, messages: int) -> tuple[list[Rate], list[Latency]]:
    """Measure every kind of ours against what is native to its program."""
    rates, latencies = [], []
    for kind, plain in NATIVE.items():
        with Pair(plain) as native, Pair(kind) as ours:
            for block in BLOCKS:
                rates.append(compare(native, ours, block, rounds, burst_s))
                progress(f"{kind}, blocks of {block}: ratio {rates[-1].ratio.median:.2f}")
            latencies.append(compare_latency(native, ours, rounds, messages))
    return rates, latencies


def print_rates(rates: list[Rate]) -> None:
    print("throughput of streams against native TCP in the same program, in Gbit/s, over the loopback")
    print(f"  {'':14}{'block':>9} {'native':>8} {'ours':>8}   ratio median (min to max)")
    for rate in rates:
        ratio = f"{rate.ratio.median:12.2f} ({rate.ratio.least:.2f} to {rate.ratio.most:.2f})"
        figures = f"{rate.native_gbit_s.median:8.2f} {rate.gbit_s.median:8.2f}"
        print(f"  {rate.kind:14}{rate.block_bytes:>9} {figures}   {ratio}")
    print(
        f"  aim: stream >= {AIM_GBIT_S:g} Gbit/s with 1 MiB, ratio >= {AIM_RATIO:g} with 64 bytes", end="; "
    )
    print(f"the paper: {PAPER_GBIT_S:g} Gbit/s")
    print("\nprocessor time for a gigabyte, in seconds: client + server")
    print(f"  {'':14}{'block':>9} {'native':>15} {'ours':>15}")
    for rate in rates:
        plain = f"{rate.native_client_s_per_gb:.2f} + {rate.native_server_s_per_gb:.2f}"
        own = f"{rate.client_s_per_gb:.2f} + {rate.server_s_per_gb:.2f}"
        print(f"  {rate.kind:14}{rate.block_bytes:>9} {plain:>15} {own:>15}")


def print_latencies(latencies: list[Latency]) -> None:
    print(f"\nround trip of a message of {MESSAGE_BYTES} bytes, in µs")
    print(f"  {'':24}{'median':>9} {'p99':>9} {'max':>9}")
    for row in latencies:
        print(f"  {row.kind:16}{'native':8}{row.native_us}")
        print(f"  {'':16}{'ours':8}{row.us}")
        ratio = f"{row.ratio.median:.2f} ({row.ratio.least:.2f} to {row.ratio.most:.2f})"
        print(f"  {'':16}ratio of medians {ratio}")
