"""What was written to a stream and is not acknowledged yet, by reference.

    acknowledged ≤ next byte to send ≤ written

A transport carries consecutive bytes: what is acknowledged meanwhile is sent all the same if it is its turn,
and the receiver skips it. Small writes wait in ``_small`` until the next sending and become one chunk then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.streams.limits import SMALL_WRITE_MAX

BUFFERS_MAX = 64
"""Buffers given to one ``sendmsg``; the kernel takes 1024 (IOV_MAX), but past some dozen nothing is won."""

Wrap = Callable[[bytes], bytes]
"""Turn plaintext into records."""


class ReplayRing:
    """The sending half's memory of one connection; offsets count the bytes that travel.

    Args:
        start: the offset of the first byte.
        wrap: applied to what is written, once, before it is counted.
    """

    def __init__(self, start: int = 0, wrap: Wrap | None = None) -> None:
        self.acknowledged = start
        self.written = start
        self._kept_from = start  # offset of the first byte of the first chunk that is kept
        self._sent: deque[bytes] = deque()
        self._unsent: deque[bytes] = deque()
        self._partial = 0  # bytes of the first unsent chunk that are sent already
        self._position = start  # next byte to send
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._wrap = wrap

    @property
    def unacknowledged(self) -> int:
        """Return how many bytes are not acknowledged, sent or not."""
        return self.written - self.acknowledged + self._small_bytes

    @property
    def unsent(self) -> int:
        """Return how many bytes wait to be sent over the present transport."""
        return self.written - self._position + self._small_bytes

    def append(self, data: bytes) -> None:
        """Take ``data``, which must not change any more."""
        if len(data) <= SMALL_WRITE_MAX:
            self._small.append(data)
            self._small_bytes += len(data)
            return
        self.join()
        self._keep(data)

    def join(self) -> None:
        """Make one chunk of the small writes so far."""
        if self._small_bytes:
            small = self._small
            self._keep(b"".join(small) if len(small) > 1 else small[0])
            small.clear()
            self._small_bytes = 0

    def _keep(self, data: bytes) -> None:
        chunk = self._wrap(data) if self._wrap else data
        self._unsent.append(chunk)
        self.written += len(chunk)

    def buffers(self) -> list[bytes | memoryview]:
        """Return what is to be sent next, as buffers for one ``sendmsg``."""
        self.join()
        if not self._unsent:
            return []
        first: bytes | memoryview = self._unsent[0]
        if self._partial:
            first = memoryview(first)[self._partial :]
        if len(self._unsent) == 1:
            return [first]
        rest = min(len(self._unsent), BUFFERS_MAX)
        return [first, *(self._unsent[index] for index in range(1, rest))]

    def sent(self, count: int) -> None:
        """Note that ``count`` bytes of ``buffers`` were handed to the transport."""
        self._position += count
        count += self._partial
        unsent = self._unsent
        while unsent and count >= len(unsent[0]):
            chunk = unsent.popleft()
            count -= len(chunk)
            self._sent.append(chunk)
        self._partial = count
        if self.acknowledged > self._kept_from:
            self._release()

    def acknowledge(self, offset: int) -> bool:
        """Forget what lies before ``offset``; return whether that is news.

        Raises:
            RemoteProtocolError: the peer acknowledges what was never written.
        """
        if offset > self.written:
            raise RemoteProtocolError(f"byte {offset} is acknowledged, only {self.written} were written")
        if offset <= self.acknowledged:
            return False
        self.acknowledged = offset
        self._release()
        return True

    def _release(self) -> None:
        sent = self._sent
        while sent and self._kept_from + len(sent[0]) <= self.acknowledged:
            self._kept_from += len(sent.popleft())

    def rewind(self, offset: int) -> None:
        """Send from ``offset`` on next, over a new transport.

        Raises:
            LocalProtocolError: ``offset`` is before what was acknowledged, or behind what was written.
        """
        if not self.acknowledged <= offset <= self.written:
            raise LocalProtocolError(
                f"can't send from byte {offset}: have {self.acknowledged} to {self.written}"
            )
        self._sent.extend(self._unsent)
        self._sent, self._unsent = deque(), self._sent
        while self._unsent and self._kept_from + len(self._unsent[0]) <= offset:
            self._kept_from += len(self._unsent[0])
            self._sent.append(self._unsent.popleft())
        # What lies before the offset counts as sent; of it, only what is acknowledged may go.
        self._partial = offset - self._kept_from
        self._kept_from -= sum(map(len, self._sent))
        self._position = offset
        self._release()

    def contents(self) -> bytes:
        """Return all that is not acknowledged, as one copy."""
        self.join()
        whole = b"".join((*self._sent, *self._unsent))
        return whole[self.acknowledged - self._kept_from :]

    def clear(self) -> None:
        """Forget everything: nobody waits for it any more."""
        self._sent.clear()
        self._unsent.clear()
        self._small.clear()
        self._small_bytes = self._partial = 0
        self.acknowledged = self._kept_from = self._position = self.written

    @classmethod
    def restored(cls, acknowledged: int, contents: Iterable[bytes], wrap: Wrap | None = None) -> ReplayRing:
        """Return a ring that holds ``contents`` from offset ``acknowledged`` on, all to be sent again.

        What is restored has been wrapped already.
        """
        ring = cls(acknowledged)
        for chunk in contents:
            if chunk:
                ring._keep(chunk)
        ring._wrap = wrap
        return ring
