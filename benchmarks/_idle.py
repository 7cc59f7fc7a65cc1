"""A crowd of idle connections of one program: ``listen PORT`` or ``connect ADDRESS PORT COUNT``."""

from __future__ import annotations

import resource
import signal
import socket
import sys

BACKLOG = 4096


def listen(port: int) -> None:
    """Accept for ever."""
    with socket.create_server(("", port), backlog=BACKLOG) as listener:
        print("ready", flush=True)
        kept = []
        while True:
            kept.append(listener.accept())


def connect(address: str, port: int, count: int) -> None:
    """Connect so many times, and wait for ever."""
    kept = [socket.create_connection((address, port)) for _ in range(count)]
    print("ready", flush=True)
    signal.pause()
    kept.clear()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    match sys.argv[1:]:
        case ["listen", port]:
            listen(int(port))
        case ["connect", address, port, count]:
            connect(address, int(port), int(count))
