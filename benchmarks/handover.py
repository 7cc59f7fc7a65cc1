"""How long a stream is silent when the cable of its link is cut: Migrate and MPTCP, side by side.

Both get the same two links, the same programs and the same cuts, in turn. A gap is the longest time between
two calls of `recv` that brought something, in the program that receives, from just before the cut until it
has been served without a stall for a while. What it sees before the cut is printed too: that is the noise.

With `--rtt-ms` a stream is 8 KiB every 2 ms: bulk data would come in bursts, one for each round trip.

MPTCP has the second link as a `subflow` endpoint, an equal of the first; with `--backup` also as a `backup`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from _figures import Summary, arguments, print_json, progress, summary
from _stage import ADOPTED_PORT, NATIVE_PORT, BenchmarkError, Program, Stage

from migrated.lab import SERVER_V4, ensure_privileged

AIM_MEDIAN_MS, AIM_P99_MS = 10.0, 25.0

BUFFERS = "4096 4194304 4194304"
"""Of the connection whose buffers are full, from the start: least, initial and greatest size."""

MIGRATE, MPTCP, BACKUP = "Migrate", "MPTCP", "MPTCP, backup"
UPLOAD, DOWNLOAD, MESSAGES = "upload", "download", "2 KB / 100 ms"
WORKS = {UPLOAD: ("send", "receive"), DOWNLOAD: ("receive", "send"), MESSAGES: ("beat", "hear")}
"""What the client's and the server's program do."""

WARM_S, CALM_S = 0.6, 0.4
"""How long the receiver must have been served without a stall before a cut, and for a cut to be over."""

STALL_S = 0.02
LIMIT_S = 2.0
"""For how long a stream is watched that goes on stalling after a cut; a longer silence counts as this."""


@dataclass(slots=True)
class Silences:
    """What a receiving program told: silences as (begin, end), and when it was alive.

    Only silences of ``stall_s`` are stalls: after a loss TCP sends a burst for each round trip.
    """

    stall_s: float
    spans: list[tuple[float, float]] = field(default_factory=list)
    alive: float = 0.0
    ended: str = ""

    def hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "silence":
            begin, end = map(float, rest.split())
            self.spans.append((begin, end))
        elif word == "alive":
            self.alive = float(rest)
        else:
            self.ended = line.strip()

    def longest_ms(self, since: float, until: float) -> float:
        """Return the longest silence that ended between the two times."""
        return 1e3 * max((end - begin for begin, end in self.spans if since < end <= until), default=0.0)

    def stalled_ms(self, since: float) -> float:
        return 1e3 * sum(
            end - begin for begin, end in self.spans if end > since and end - begin >= self.stall_s
        )

    def await_calm(self, since: float, calm_s: float, interval_s: float) -> bool:
        """Wait until data have flowed for ``calm_s`` after ``since`` without a stall; say whether so."""
        while (now := time.monotonic()) < since + LIMIT_S:
            stalled = max(
                (end for begin, end in list(self.spans) if end - begin >= self.stall_s), default=0.0
            )
            if now - max(since, stalled) > calm_s and now - self.alive < 3 * self.stall_s + interval_s:
                return True
            if self.ended:
                raise BenchmarkError(f"a stream has ended: {self.ended}")
            time.sleep(0.02)
        if now - self.alive > self.stall_s + interval_s:
            self.spans.append((self.alive, now))  # it is silent still
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What the daemons say of a move: milliseconds, and bytes that were sent again."""

    stopped_mover: float
    stopped_peer: float
    handoff: float
    sent_again: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What one cut did, in milliseconds: its gap, all stalls together, and the longest silence before it."""

    gap: float
    stalled: float
    noise: float
    move: Move | None


def prepare(stage: Stage) -> None:
    for host in (stage.net.client, stage.net.server):
        host.sysctl("net.mptcp.enabled", 1)
        host.ip("mptcp limits set subflows 4 add_addr_accepted 4")


def choose_endpoint(stage: Stage, system: str) -> None:
    second = stage.net.links[1]
    flags = "subflow backup" if system == BACKUP else "subflow"
    stage.net.client.ip(
        "mptcp endpoint flush", f"mptcp endpoint add {second.v4} dev {second.interface} {flags}"
    )


def await_subflows(stage: Stage) -> None:
    """Wait until both links carry a subflow: else it would not be MPTCP that is measured."""
    deadline = time.monotonic() + 3
    command = ["ss", "-tnH", "state", "established", "dport", "=", f":{NATIVE_PORT}"]
    while len(stage.net.client.run(command).stdout.splitlines()) < 2:
        if time.monotonic() > deadline:
            raise BenchmarkError("MPTCP did not make a second subflow")
        time.sleep(0.02)


def cut_once(stage: Stage, system: str, traffic: str) -> Cut:
    """Start both programs, cut the link that they use, and see how they fare."""
    silences = Silences(STALL_S + 1.5 * stage.rtt_s)
    # Where acknowledgements take time, a bulk stream comes in bursts with silences of its own.
    works = ["drip" if work == "send" and stage.rtt_s else work for work in WORKS[traffic]]
    interval_s = 0.1 if traffic == MESSAGES else 0.0
    migrate = system == MIGRATE
    port = str(ADOPTED_PORT if migrate else NATIVE_PORT)
    extra = () if migrate else ("mptcp",)
    marks = stage.marks()
    server = Program(stage.net.server, "listen", port, works[1], *extra, on_line=silences.hear)
    server.await_ready()
    if not migrate:
        choose_endpoint(stage, system)
    client = Program(stage.net.client, "connect", SERVER_V4, port, works[0], *extra, on_line=silences.hear)
    client.await_ready()
    try:
        if migrate:
            stage.await_adopted(marks)
        else:
            await_subflows(stage)
        begun = time.monotonic()
        if not silences.await_calm(begun, WARM_S, interval_s):
            progress(f"{system} stalls before anything is cut")
        marks = stage.marks()
        before = time.monotonic()
        with stage.cut(stage.net.links[0]):
            silences.await_calm(before, CALM_S, interval_s)
        return Cut(
            gap=silences.longest_ms(before, before + LIMIT_S),
            stalled=silences.stalled_ms(before),
            noise=silences.longest_ms(begun, before),
            move=moved(stage, marks) if migrate else None,
        )
    finally:
        client.close()
        server.close()


def moved(stage: Stage, marks: tuple[int, int]) -> Move:
    """Return what the daemons say about the move since ``marks``."""
    mover = stage.client.await_event("moved", marks[0]).fields
    peer = stage.server.await_event("followed", marks[1]).fields
    return Move(
        stopped_mover=mover["stopped_ms"],
        stopped_peer=peer["stopped_ms"],
        handoff=mover["handoff_ms"],
        sent_again=mover["sent_again"],
    )


def move_at_rest(stage: Stage, works: tuple[str, str], count: int) -> tuple[list[Move], int]:
    """Cut links under one connection that carries nothing, or whose buffers are full; return the moves."""
    filled = threading.Event()
    held: list[int] = []

    def hear(line: str) -> None:
        held.append(int(line.split()[1]))
        filled.set()

    marks = stage.marks()
    port = str(ADOPTED_PORT)
    server = Program(stage.net.server, "listen", port, works[1], on_line=hear)
    server.await_ready()
    client = Program(stage.net.client, "connect", SERVER_V4, port, works[0], on_line=hear)
    try:
        stage.await_adopted(marks)
        if "fill" in works and not filled.wait(10):
            raise BenchmarkError("the buffers did not fill")
        moves = []
        for number in range(count):
            marks = stage.marks()
            with stage.cut(stage.net.links[number % 2]):
                moves.append(moved(stage, marks))
        return moves, sum(held)
    finally:
        client.close()
        server.close()


Results = dict[str, dict[str, list[Cut]]]


def measure_gaps(stage: Stage, traffics: list[str], systems: list[str], cuts: int) -> Results:
    """Cut in turn, so that what else the machine does hits all alike."""
    results: Results = {traffic: defaultdict(list) for traffic in traffics}
    for traffic in traffics:
        for number in range(cuts):
            for system in systems:
                results[traffic][system].append(cut_once(stage, system, traffic))
            gaps = ", ".join(f"{system} {results[traffic][system][-1].gap:.1f} ms" for system in systems)
            progress(f"{traffic} {number + 1}/{cuts}: {gaps}")
    return results


def stopped(moves: list[Move]) -> dict[str, Summary]:
    return {
        "mover_ms": summary([move.stopped_mover for move in moves]),
        "peer_ms": summary([move.stopped_peer for move in moves]),
        "handoff_ms": summary([move.handoff for move in moves]),
        "sent_again_bytes": summary([move.sent_again for move in moves]),
    }


def by_system(cuts: dict[str, list[Cut]], figure: str) -> dict[str, Summary]:
    return {system: summary([getattr(cut, figure) for cut in made]) for system, made in cuts.items()}


def print_gaps(results: Results, rtt_ms: float) -> None:
    aim = (
        f"{AIM_MEDIAN_MS:g} median, {AIM_P99_MS:g} p99"
        if not rtt_ms
        else f"{rtt_ms + 10:g} (1 round trip + 10)"
    )
    print(f"handover gap in ms, round trip {rtt_ms:g} ms; aim for Migrate: {aim}")
    print(f"  {'':32}{'median':>9} {'p99':>9} {'max':>9}")
    for traffic, systems in results.items():
        for system, cuts in systems.items():
            print(f"  {traffic:<16}{system:<16}{summary([cut.gap for cut in cuts])}")
        for system, cuts in systems.items():
            print(f"  {'before a cut':<16}{system:<16}{summary([cut.noise for cut in cuts])}")
        best = min(summary([cut.gap for cut in systems[name]]).median for name in systems if name != MIGRATE)
        ours = summary([cut.gap for cut in systems[MIGRATE]]).median
        print(f"  {'':16}the better MPTCP's median is {best / ours:.1f} times that of Migrate")


def print_stopped(kinds: dict[str, dict[str, Summary]], held: int) -> None:
    print("\ntime that programs stand still in one move, in ms")
    print(f"  {'':32}{'median':>9} {'p99':>9} {'max':>9}")
    for kind, figures in kinds.items():
        print(f"  {kind:<16}{'moving end':<16}{figures['mover_ms']}")
        print(f"  {'':16}{'other end':<16}{figures['peer_ms']}")
        print(f"  {'':16}{'whole handoff':<16}{figures['handoff_ms']}")
    print(
        f"  full buffers: {held / 1e6:.1f} MB unread or not acknowledged; "
        "aim 1.3 ms idle, 5 ms with 4 MB in flight"
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cuts", type=int, default=20, help="cuts of each kind (20)")
    parser.add_argument("--rtt-ms", type=float, default=0.0, help="round-trip time of each link (0)")
    parser.add_argument("--backup", action="store_true", help="MPTCP also with the second link as a backup")
    parser.add_argument("--traffic", choices=list(WORKS), action="append", help="only this kind of traffic")
    options = parser.parse_args()
    ensure_privileged()
    cuts = 2 if options.quick else options.cuts
    traffics = options.traffic or list(WORKS)
    systems = [MIGRATE, MPTCP, *([BACKUP] if options.backup else [])]
    with Stage(rtt_s=options.rtt_ms / 1e3) as stage:
        prepare(stage)
        gaps = measure_gaps(stage, traffics, systems, cuts)
        progress("moves of an idle connection, and of one with full buffers")
        idle, _ = move_at_rest(stage, ("idle", "idle"), cuts)
        for host in (stage.net.client, stage.net.server):
            host.sysctl("net.ipv4.tcp_wmem", BUFFERS)
            host.sysctl("net.ipv4.tcp_rmem", BUFFERS)
        full, held = move_at_rest(stage, ("fill", "idle"), cuts)
    kinds = {"idle": stopped(idle), "full buffers": stopped(full)}
    for traffic, cut in gaps.items():
        kinds[traffic] = stopped([c.move for c in cut[MIGRATE] if c.move is not None])
    if options.json:
        print_json(
            {
                "rtt_ms": options.rtt_ms,
                "gap_ms": {traffic: by_system(cuts, "gap") for traffic, cuts in gaps.items()},
                "stalled_ms": {traffic: by_system(cuts, "stalled") for traffic, cuts in gaps.items()},
                "before_a_cut_ms": {traffic: by_system(cuts, "noise") for traffic, cuts in gaps.items()},
                "stopped": kinds,
                "full_buffers_bytes": held,
            }
        )
        return
    print_gaps(gaps, options.rtt_ms)
    print_stopped(kinds, held)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
