"""The receiving half of a connection: what arrived, what to skip, and where the stream ends."""

from __future__ import annotations

from sessionlayer.protocol.errors import RemoteProtocolError


class Inbound:
    """Count what was received, so that each byte and the end are handed out once.

    Attributes:
        received: the offset behind the last byte handed out.
        end: the offset at which the peer's stream ends, once it was stated.
        ended: whether the end was handed out.
    """

    def __init__(self, received: int = 0, end: int | None = None, *, ended: bool = False) -> None:
        self.received = received
        self.end = end
        self.ended = ended
        self._skip = 0

    def begin(self, sending_from: int) -> None:
        """Expect a new transport's bytes to start at offset ``sending_from``.

        Raises:
            RemoteProtocolError: bytes between what was received and that offset would be missing.
        """
        if sending_from > self.received:
            raise RemoteProtocolError(
                f"the peer sends from byte {sending_from} on, only {self.received} were received"
            )
        self._skip = self.received - sending_from

    def take(self, data: bytes) -> bytes:
        """Return what is new in ``data``, the transport's next bytes.

        Raises:
            RemoteProtocolError: the peer sends behind the end that it stated.
        """
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self.received += len(data)
        if self.end is not None and self.received > self.end:
            raise RemoteProtocolError(f"the stream ended at byte {self.end}, byte {self.received} arrived")
        return data

    def state_end(self, end: int) -> None:
        """Note where the peer says its stream ends.

        Raises:
            RemoteProtocolError: it said something else before, or has sent more already.
        """
        if self.end is not None and self.end != end:
            raise RemoteProtocolError(f"the stream ends at byte {end}, but at {self.end} before")
        if end < self.received:
            raise RemoteProtocolError(f"the stream ends at byte {end}, {self.received} were received")
        self.end = end

    def finish(self) -> bool:
        """Return whether the end is to be handed out now; only once true."""
        if self.ended or self.end != self.received:
            return False
        self.ended = True
        return True
