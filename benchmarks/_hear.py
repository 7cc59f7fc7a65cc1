"""Connect to a counter so many times, and say when each number arrives: ``TIME PORT NUMBER``.

Usage: _hear.py ADDRESS PORT COUNT

Very many connections begin in groups, each when the one before has heard something.
PORT is that of the connection's own end when it began. It says `ready` once all connections are there. It is
an ordinary program that knows nothing of Migrate.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

LIMIT_S = 15.0
GROUP = 200


def connected(address: str, port: int) -> socket.socket:
    """Connect to a server that may have to start first."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            return socket.create_connection((address, port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def main() -> None:
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    selector = selectors.DefaultSelector()
    for first in range(0, count, GROUP):
        fresh = set()
        for _ in range(min(GROUP, count - first)):
            sock = connected(address, port)
            selector.register(sock, selectors.EVENT_READ, (sock.getsockname()[1], bytearray()))
            fresh.add(sock.getsockname()[1])
        while count > GROUP and fresh:
            fresh -= hear(selector)
    print("ready", flush=True)
    while selector.get_map():
        hear(selector)


def hear(selector: selectors.BaseSelector) -> set[int]:
    """Say what has arrived, and return at which connections."""
    heard = set()
    for key, _ in selector.select():
        assert isinstance(key.fileobj, socket.socket)
        data = key.fileobj.recv(1 << 16)
        now = time.time()
        own, unread = key.data
        heard.add(own)
        if not data:
            print(f"{now} {own} end", flush=True)
            selector.unregister(key.fileobj)
        unread += data
        *lines, rest = unread.split(b"\n")
        unread[:] = rest
        for line in lines:
            print(f"{now} {own} {line.decode()}", flush=True)
    return heard


if __name__ == "__main__":
    main()
