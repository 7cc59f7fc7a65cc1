"""Run one of the example's audio servers with a programme in which every frame tells its number.

Usage: [_stamped.py] _radio.py MODULE [ARGUMENT...]

MODULE is `plain` or `suspendable`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import overload

from examples.audio_server.station import STATIONS, Station, tone

FRAMES = 1 << 31
NUMBER_BYTES = 4


class Numbered(Sequence[bytes]):
    """Frames of the example's tones, each of which begins with its number."""

    def __init__(self) -> None:
        self._tones = [tone(hertz) for hertz in range(200, 5000, 50)]

    def __len__(self) -> int:
        return FRAMES

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(FRAMES))]
        number = index.to_bytes(NUMBER_BYTES, "little")
        return number + self._tones[index % len(self._tones)][NUMBER_BYTES:]


def main() -> None:
    STATIONS["/numbered"] = Station(Numbered())
    importlib.import_module(f"examples.audio_server.{sys.argv.pop(1)}").main()


if __name__ == "__main__":
    main()
