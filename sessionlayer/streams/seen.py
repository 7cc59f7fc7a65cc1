"""Which connections a server has seen, so that no recorded opening begins one a second time."""

from __future__ import annotations

from sessionlayer.protocol.sealed import ReplayWindow


class SeenNumbers(ReplayWindow):
    """A replay window that can be kept; a connection that 2048 others have overtaken counts as seen."""

    def __init__(self, newest: int = -1, seen: bytes = b"") -> None:
        super().__init__()
        self._newest = newest
        self._seen = int.from_bytes(seen, "big")

    def state(self) -> tuple[int, bytes]:
        """Return the newest number, and the window's bits."""
        return self._newest, self._seen.to_bytes((self._seen.bit_length() + 7) // 8, "big")
