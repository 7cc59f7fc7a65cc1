"""A delay line: a process that carries frames between two interfaces and holds each back for a while.

The kernel's own (netem) is not on every machine. Order is kept, and nothing is changed in a frame.

Source: tc-netem(8) for what it stands in for.
"""

from __future__ import annotations

import select
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator

from migrated.lab.ring import FrameRing

HOLD_LIMIT_BYTES = 64 << 20
"""What one direction holds at most: 10 Gbit/s for 50 ms. More is lost, as in a router whose queue is full."""

_BURST = 16  # frames sent before new ones are looked at: what waits unseen gets its time of arrival too late


class DelayQueue:
    """One direction of a delay line. Pure: time is a parameter, in seconds."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._held: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def put(self, frames: Iterable[bytes], now: float) -> None:
        """Hold the frames back, which arrived ``now``; lose those for which there is no room."""
        for frame in frames:
            if self._bytes + len(frame) <= HOLD_LIMIT_BYTES:
                self._held.append((now + self._delay_s, frame))
                self._bytes += len(frame)

    def due(self, now: float, most: int) -> Iterator[bytes]:
        """Release the frames whose time has come, oldest first and ``most`` at once."""
        for _ in range(most):
            if not self._held or self._held[0][0] > now:
                return
            frame = self._held.popleft()[1]
            self._bytes -= len(frame)
            yield frame

    def next_deadline(self) -> float | None:
        """Return when the oldest frame is due, or None if there is none."""
        return self._held[0][0] if self._held else None

    def clear(self) -> None:
        """Lose everything that is held."""
        self._held.clear()
        self._bytes = 0


def carry(ports: tuple[FrameRing, FrameRing], delay_s: float) -> None:
    """Carry frames both ways until the process is ended.

    Raises:
        OSError: an interface is gone.
    """
    a, b = ports
    directions = ((a, DelayQueue(delay_s), b), (b, DelayQueue(delay_s), a))
    queues = [queue for _, queue, _ in directions]
    while True:
        _wait(ports, queues)
        for source, queue, destination in directions:
            now = time.monotonic()
            queue.put(source.take(), now)
            if source.interrupted():
                queue.clear()
            for frame in queue.due(now, _BURST):
                destination.send(frame)


def _wait(ports: tuple[FrameRing, FrameRing], queues: Iterable[DelayQueue]) -> None:
    deadlines = [at for queue in queues if (at := queue.next_deadline()) is not None]
    pause_s = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
    select.select(ports, [], [], pause_s)  # not poll: it knows only whole milliseconds


def main() -> None:
    """Run the delay line that the command line describes: two interfaces and a delay in seconds."""
    a, b, delay_s = sys.argv[1:]
    ports = FrameRing(a), FrameRing(b)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    carry(ports, float(delay_s))


if __name__ == "__main__":
    main()
