"""What a session costs in throughput: a connection before moves, after one and after ten, against plain TCP.

The same programs send the same bytes over an adopted connection and over one that is left alone, in turn.
A ratio is that of two bursts that follow each other; 1 is native.
"""

from __future__ import annotations

import queue
import sys
from dataclasses import dataclass
from statistics import median

from _figures import Summary, arguments, print_json, progress, summary
from _stage import ADOPTED_PORT, LINKS, NATIVE_PORT, BenchmarkError, Program, Stage

from migrated.control.messages import Move
from migrated.lab import SERVER_V4, ensure_privileged

BLOCKS = (64, 1024, 16 * 1024, 1 << 20)
MOVES = (0, 1, 10)
AIM_RATIO = 1.0
BURST_S = 0.2
TRIAL_S, TRIAL_BYTES = 0.02, 1 << 17
LIMIT_S = 60.0


class Stream:
    """A connection from the client to the server, over which bursts are sent."""

    def __init__(self, stage: Stage, port: int) -> None:
        self._took: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.server = Program(stage.net.server, "listen", str(port), "drain")
        self.server.await_ready()
        words = ("connect", SERVER_V4, str(port), "burst")
        self.client = Program(stage.net.client, *words, on_line=self._took.put)
        self.client.await_ready()

    def burst_s(self, block: int, count: int) -> float:
        """Send ``count`` blocks of so many bytes, and return the seconds until the last one was read."""
        assert self.client.process.stdin is not None
        self.client.process.stdin.write(f"{block} {count}\n")
        try:
            line = self._took.get(timeout=LIMIT_S)
        except queue.Empty:
            raise BenchmarkError(f"{count} blocks of {block} bytes did not arrive") from None
        word, _, seconds = line.partition(" ")
        if word != "took":
            raise BenchmarkError(f"a connection ended: {line}")
        return float(seconds)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Bursts of one block size after some moves: gigabits a second, and the ratios of neighbours."""

    block_bytes: int
    moves: int
    native_gbit_s: Summary
    session_gbit_s: Summary
    ratio: Summary


def blocks_in_a_burst(native: Stream, block: int) -> int:
    """Return how many blocks native TCP sends in the time of a burst."""
    count = max(1, TRIAL_BYTES // block)
    while (took := native.burst_s(block, count)) < TRIAL_S:
        count *= 4
    return max(1, round(count * BURST_S / took))


def compare(native: Stream, session: Stream, block: int, moves: int, rounds: int) -> Row:
    count = blocks_in_a_burst(native, block)
    session.burst_s(block, count)  # both have found their window by now
    pairs = [(native.burst_s(block, count), session.burst_s(block, count)) for _ in range(rounds)]
    bits = 8e-9 * block * count
    return Row(
        block_bytes=block,
        moves=moves,
        native_gbit_s=summary([bits / seconds for seconds, _ in pairs]),
        session_gbit_s=summary([bits / seconds for _, seconds in pairs]),
        ratio=summary([plain / ours for plain, ours in pairs]),
    )


def move(stage: Stage, session: str, link: str) -> None:
    """Move a session by hand, as `migrate move` does, and wait until both daemons are done."""
    marks = stage.marks()
    stage.client.ask(Move(session=session, link=link))
    stage.client.await_event("moved", marks[0], session=session)
    stage.server.await_event("followed", marks[1], session=session)


def measure(stage: Stage, rounds: int) -> list[Row]:
    marks = stage.marks()
    native, session = Stream(stage, NATIVE_PORT), Stream(stage, ADOPTED_PORT)
    try:
        name, rows, moved = stage.await_adopted(marks), [], 0
        for moves in MOVES:
            while moved < moves:
                moved += 1
                move(stage, name, LINKS[moved % 2])
            for block in BLOCKS:
                rows.append(compare(native, session, block, moves, rounds))
                progress(f"{moves} moves, blocks of {block}: ratio {rows[-1].ratio.median:.3f}")
        return rows
    finally:
        native.close()
        session.close()


def print_rows(rows: list[Row]) -> None:
    print(f"throughput of a session against native TCP; aim: ratio {AIM_RATIO:.2f} everywhere")
    print("  block bytes  moves   native Gbit/s   session Gbit/s   ratio median (min to max)")
    for row in rows:
        print(
            f"  {row.block_bytes:11}  {row.moves:5}   {row.native_gbit_s.median:13.2f}   "
            f"{row.session_gbit_s.median:14.2f}   {row.ratio.median:12.3f} "
            f"({row.ratio.least:.3f} to {row.ratio.most:.3f})"
        )
    spread = median(
        (row.native_gbit_s.most - row.native_gbit_s.least) / row.native_gbit_s.median for row in rows
    )
    print(f"  noise: native TCP alone varies by {spread:.0%} of its median between bursts")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=9, help="pairs of bursts for each figure (9)")
    options = parser.parse_args()
    ensure_privileged()
    with Stage() as stage:
        rows = measure(stage, 2 if options.quick else options.rounds)
    if options.json:
        print_json({"throughput": rows})
    else:
        print_rows(rows)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
