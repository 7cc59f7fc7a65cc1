"""The plain programs whose connections are measured. They know nothing of Migrate.

    _traffic.py listen PORT WORK [mptcp]
    _traffic.py connect ADDRESS PORT WORK [mptcp]
    _traffic.py listen PORT crowd COUNT
    _traffic.py connect ADDRESS PORT crowd COUNT

A program prints `ready` when it listens or is connected, then what its work has to tell. Times are of the
monotonic clock, in seconds, which all hosts of a lab share.
"""

from __future__ import annotations

import os
import socket
import sys
import time

IPPROTO_MPTCP = 262
BLOCK = 1 << 16
DRIP_BYTES, DRIP_S = 8192, 0.002
BEAT_BYTES = 2048
BEAT_S = 0.1
SILENCE_S = 0.001
SIGN_OF_LIFE_S = 0.02
BLOCKED_S = 0.3


LISTENERS: list[socket.socket] = []
"""Kept open: the kernel takes MPTCP's further subflows at a listening socket only."""


def tell(*words: object) -> None:
    print(*words, flush=True)


def send(connection: socket.socket) -> None:
    """Send for ever."""
    block = os.urandom(BLOCK)
    while True:
        connection.sendall(block)


def drip(connection: socket.socket) -> None:
    """Send 8 KiB every 2 ms."""
    block = os.urandom(DRIP_BYTES)
    due = time.monotonic()
    while True:
        due += DRIP_S
        time.sleep(max(0.0, due - time.monotonic()))
        connection.sendall(block)


def receive(connection: socket.socket) -> None:
    """Tell of every silence: `silence BEGIN END`, and now and then that there is none: `alive NOW`."""
    last = told = time.monotonic()
    while connection.recv(BLOCK):
        now = time.monotonic()
        if now - last >= SILENCE_S:
            tell("silence", last, now)
        if now - told >= SIGN_OF_LIFE_S:
            tell("alive", now)
            told = now
        last = now


def beat(connection: socket.socket) -> None:
    """Send 2 KB every 100 ms, with the time."""
    due = time.monotonic()
    while True:
        due += BEAT_S
        time.sleep(max(0.0, due - time.monotonic()))
        connection.sendall(f"{time.monotonic():<{BEAT_BYTES}.6f}".encode())


def hear(connection: socket.socket) -> None:
    """Tell how long every message took: `silence SENT RECEIVED`."""
    stream = connection.makefile("rb")
    while message := stream.read(BEAT_BYTES):
        now = time.monotonic()
        tell("silence", float(message), now)
        tell("alive", now)


def idle(connection: socket.socket) -> None:
    """Neither send nor receive."""
    del connection
    time.sleep(3600)


def fill(connection: socket.socket) -> None:
    """Send until the kernel takes no more: `filled BYTES`."""
    block = bytes(BLOCK)
    connection.settimeout(BLOCKED_S)
    count = 0
    try:
        while True:
            count += connection.send(block)
    except TimeoutError:
        tell("filled", count)
    idle(connection)


def burst(connection: socket.socket) -> None:
    """Carry out each line `BLOCK COUNT`: send that many blocks, and tell how long it took: `took SECONDS`.

    Blocks are gathered as by default; only the end must not wait for an acknowledgement that is delayed.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for line in sys.stdin:
        size, count = map(int, line.split())
        block = bytes(size)
        connection.sendall((size * count).to_bytes(8, "big"))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        begun = time.perf_counter()
        for _ in range(count):
            connection.sendall(block)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1)
        tell("took", time.perf_counter() - begun)


def drain(connection: socket.socket) -> None:
    """Answer each burst with a byte, once it is there."""
    while head := connection.recv(8, socket.MSG_WAITALL):
        left = int.from_bytes(head, "big")
        while left:
            left -= len(connection.recv(min(left, BLOCK)))
        connection.sendall(b"k")


WORKS = {work.__name__: work for work in (send, drip, receive, beat, hear, idle, fill, burst, drain)}


def listened(port: str, protocol: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", int(port)))
    listener.listen()
    tell("ready")
    LISTENERS.append(listener)
    return listener.accept()[0]


def connected(address: str, port: str, protocol: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    connection.connect((address, int(port)))
    tell("ready")
    return connection


def crowd(words: list[str]) -> None:
    """Hold many connections that carry nothing."""
    count = int(words[-1])
    if words[0] == "listen":
        first = listened(words[1], socket.IPPROTO_TCP)
        held = [first, *(LISTENERS[0].accept()[0] for _ in range(count - 1))]
    else:
        held = [socket.create_connection((words[1], int(words[2]))) for _ in range(count)]
        tell("ready")
    idle(held[0])


def main() -> None:
    words = sys.argv[1:]
    if "crowd" in words:
        return crowd(words)
    protocol = IPPROTO_MPTCP if words[-1] == "mptcp" else socket.IPPROTO_TCP
    if words[0] == "listen":
        port, work = words[1:3]
        connection = listened(port, protocol)
    else:
        address, port, work = words[1:4]
        connection = connected(address, port, protocol)
    try:
        WORKS[work](connection)
    except ConnectionError as error:
        tell("ended", error)


if __name__ == "__main__":
    main()
