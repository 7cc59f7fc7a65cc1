"""Listen to an audio server so many times, and say whenever frames are left out: ``TIME PORT FRAME``.

Usage: _listen.py ADDRESS PORT COUNT

FRAME is the number of the first one that was heard again, PORT is that of the connection's own end when it
began, TIME is when the frame's first bytes came. It says `ready` once all are served. It is an ordinary
program that knows nothing of Migrate.
"""

from __future__ import annotations

import selectors
import sys
import time

from _hear import connected

STATION = b"/numbered"
FRAME_BYTES = 1920
NUMBER_BYTES = 4
HEADER_BYTES = 44
"""Of a WAV file."""


class Listener:
    """One connection, and the number of the frame that comes next."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = connected(address, port)
        self.socket.sendall(b"GET " + STATION + b" HTTP/1.0\r\n\r\n")
        self._own = self.socket.getsockname()[1]
        self._next: int | None = None
        self._unread = b""
        self._skipped = 0
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        self._unread = self._unread.partition(b"\r\n\r\n")[2]
        self._skip(HEADER_BYTES)

    def hear(self) -> None:
        """Read what has come."""
        self._receive()
        now = time.time()
        self._skip(0)
        while not self._skipped and len(self._unread) >= NUMBER_BYTES:
            number = int.from_bytes(self._unread[:NUMBER_BYTES], "little")
            if self._next is not None and number != self._next:
                print(f"{now} {self._own} {number}", flush=True)
            self._next = number + 1
            self._skip(FRAME_BYTES)

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the audio server has closed a connection")
        self._unread += data

    def _skip(self, more: int) -> None:
        """Leave bytes out, those that are still to come too."""
        self._skipped += more
        there = min(self._skipped, len(self._unread))
        self._unread = self._unread[there:]
        self._skipped -= there


def main() -> None:
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            listener = Listener(address, port)
            selector.register(listener.socket, selectors.EVENT_READ, listener)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                key.data.hear()


if __name__ == "__main__":
    main()
