"""What is on the air: a source that makes audio at the pace at which it is heard, and what it made last.

The audio is PCM: 16 bits, one channel. A frame is the smallest piece that a listener is given.
"""

from __future__ import annotations

import math
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

RATE: Final = 48_000
FRAME_SAMPLES: Final = 960
FRAME_BYTES: Final = 2 * FRAME_SAMPLES
FRAME_S: Final = FRAME_SAMPLES / RATE

KEPT_FRAMES: Final = 100
"""How far a listener may be behind (2 s); one who is further behind misses what is older."""

BURST_FRAMES: Final = 25
"""What a new listener gets at once, so that its player has something to begin with."""

_LOUDNESS: Final = 8_000
_ENDLESS: Final = 0xFFFFFFFF


def tone(hertz: int) -> bytes:
    """Return a frame of a tone; with multiples of 50 frames follow one another without a click."""
    samples = (round(_LOUDNESS * math.sin(math.tau * hertz * index / RATE)) for index in range(FRAME_SAMPLES))
    return struct.pack(f"<{FRAME_SAMPLES}h", *samples)


def wave_header() -> bytes:
    """Return the beginning of a WAV file that has no end."""
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    sizes = struct.pack("<I", _ENDLESS)
    return b"RIFF" + sizes + b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + sizes


class Station:
    """One programme. Its frames are numbered from 0 on.

    Args:
        frames: what it plays, over and over.
    """

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = frames
        self._kept: deque[bytes] = deque(maxlen=KEPT_FRAMES)
        self._made = 0
        self._changed = threading.Condition()

    def play(self) -> None:
        """Be the source, for ever."""
        start = time.monotonic()
        while True:
            with self._changed:
                self._kept.append(self._frames[self._made % len(self._frames)])
                self._made += 1
                self._changed.notify_all()
            time.sleep(max(0.0, start + self._made * FRAME_S - time.monotonic()))

    def live(self) -> int:
        """Return the number of the next frame."""
        return self._made

    def since(self, position: int) -> tuple[int, bytes]:
        """Wait for a frame by its number; return the next number, and the frames before it that are kept."""
        with self._changed:
            self._changed.wait_for(lambda: self._made > position)
            oldest = self._made - len(self._kept)
            return self._made, b"".join(islice(self._kept, max(0, position - oldest), None))


STATIONS: Final = {
    "/rising": Station([tone(hertz) for hertz in range(200, 5000, 50)]),
    "/falling": Station([tone(hertz) for hertz in range(5000, 200, -50)]),
}
