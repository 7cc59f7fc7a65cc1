"""A program that knows nothing of us: it sends numbered words and checks those that it receives.

Usage: talker.py STYLE connect|listen ADDRESS PORT BYTES_PER_SECOND

Both ends send 64-bit words that count up, each end from a start of its own, so that a byte that is lost,
repeated, changed or swapped with another is noticed where it is. SIGUSR1 makes an end send a last word; it
ends when it has sent and heard that word, and the other end answers the last word with its own. The
connection is never half closed.

It prints `listening PORT`, `connected`, now and then `received BYTES`, and at last `right BYTES`,
or `wrong ...` and status 1.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from array import array
from collections.abc import Callable
from types import FrameType

BLOCK_BYTES = 16 * 1024
LAST_WORD = b"\xff" * 8
_REPORT_S = 0.05


class WrongDataError(Exception):
    """Say where the received data are not what was sent."""


class Outgoing:
    """Words to be sent, in blocks of one length; ``done`` once the last word is among them."""

    def __init__(self, start: int, bytes_per_s: float) -> None:
        self._next = start
        self._bytes_per_s = bytes_per_s
        self._begun = time.monotonic()
        self._blocks = 0
        self.done = False
        self.stop = False

    def block(self) -> bytes:
        """Return the next block; with the last word at its end if it is to be the last."""
        count = BLOCK_BYTES // 8
        words = array("Q", range(self._next, self._next + count)).tobytes()
        self._next += count
        self._blocks += 1
        if not self.stop:
            return words
        self.done = True
        return words[:-8] + LAST_WORD

    def wait_s(self) -> float:
        """Return for how many seconds the rate forbids another block."""
        if not self._bytes_per_s or self.stop:
            return 0.0
        due = self._begun + self._blocks * BLOCK_BYTES / self._bytes_per_s
        return max(0.0, due - time.monotonic())


class Incoming:
    """Words received, checked one by one; ``done`` once the last word has come."""

    def __init__(self, start: int) -> None:
        self._next = start
        self._rest = b""
        self._reported = 0.0
        self.bytes = 0
        self.done = False

    def feed(self, data: bytes) -> None:
        """Check data as they come."""
        if not data:
            raise WrongDataError(f"the connection ended after {self.bytes} bytes")
        self.bytes += len(data)
        data = self._rest + data
        whole = len(data) // 8
        self._rest = data[whole * 8 :]
        self._check(data[: whole * 8], whole)
        now = time.monotonic()
        if now - self._reported > _REPORT_S:
            self._reported = now
            say(f"received {self.bytes}")

    def _check(self, data: bytes, whole: int) -> None:
        expected = array("Q", range(self._next, self._next + whole)).tobytes()
        self._next += whole
        if data == expected:
            return
        if data[-8:] == LAST_WORD and data[:-8] == expected[:-8] and not self._rest:
            self.done = True
            return
        at = next(i for i in range(0, len(data), 8) if data[i : i + 8] != expected[i : i + 8])
        found, wanted = (int.from_bytes(x[at : at + 8], sys.byteorder) for x in (data, expected))
        raise WrongDataError(f"after {self.bytes} bytes, {len(data) - at} back: {found:#x} not {wanted:#x}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def blocking(sock: socket.socket, outgoing: Outgoing, incoming: Incoming) -> None:
    """One thread that sends a block and then blocks in recv until one has come."""
    while not incoming.done:
        if not outgoing.done:
            sock.sendall(outgoing.block())
        lacking = BLOCK_BYTES
        while lacking:
            data = sock.recv(lacking)
            incoming.feed(data)
            lacking -= len(data)
        outgoing.stop = outgoing.stop or incoming.done
        time.sleep(outgoing.wait_s())
    if not outgoing.done:
        sock.sendall(outgoing.block())


def threads(sock: socket.socket, outgoing: Outgoing, incoming: Incoming) -> None:
    """A thread that writes and one that reads, on one socket."""
    writer = threading.Thread(target=_write_all, args=(sock, outgoing), daemon=True)
    writer.start()
    _read_all(sock, incoming)
    outgoing.stop = True
    writer.join()


def forked(sock: socket.socket, outgoing: Outgoing, incoming: Incoming) -> None:
    """A child that writes and a parent that reads; both hold the socket."""
    child = os.fork()
    if child == 0:
        _write_all(sock, outgoing)
        os._exit(0)
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(child, signal.SIGUSR1))
    _read_all(sock, incoming)
    os.kill(child, signal.SIGUSR1)
    _, status = os.waitpid(child, 0)
    if status:
        raise WrongDataError(f"the child ended with {status}")


def epoll_level(sock: socket.socket, outgoing: Outgoing, incoming: Incoming) -> None:
    """One thread with a level-triggered epoll."""
    _with_epoll(sock, outgoing, incoming, 0)


def epoll_edge(sock: socket.socket, outgoing: Outgoing, incoming: Incoming) -> None:
    """One thread with an edge-triggered epoll: an edge that a move swallows leaves it waiting for ever."""
    _with_epoll(sock, outgoing, incoming, select.EPOLLET)


def _write_all(sock: socket.socket, outgoing: Outgoing) -> None:
    while not outgoing.done:
        sock.sendall(outgoing.block())
        time.sleep(outgoing.wait_s())


def _read_all(sock: socket.socket, incoming: Incoming) -> None:
    while not incoming.done:
        incoming.feed(sock.recv(1 << 16))


def _with_epoll(sock: socket.socket, outgoing: Outgoing, incoming: Incoming, mode: int) -> None:
    sock.setblocking(False)
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN | select.EPOLLOUT | mode)
    waiting = memoryview(b"")
    readable = writable = True
    while not (incoming.done and outgoing.done and not waiting):
        if readable and not incoming.done:
            readable = _read_some(sock, incoming)
            outgoing.stop = outgoing.stop or incoming.done
        if not waiting and not outgoing.done and outgoing.wait_s() == 0:
            waiting = memoryview(outgoing.block())
        if waiting and writable:
            waiting, writable = _write_some(sock, waiting)
        pause = (
            0.0 if readable or (waiting and writable) else outgoing.wait_s() or (5.0 if waiting else 0.001)
        )
        if not mode:
            poll.modify(sock, select.EPOLLIN | (select.EPOLLOUT if waiting else 0))
        for _, events in poll.poll(pause):
            readable = readable or bool(events & select.EPOLLIN)
            writable = writable or bool(events & select.EPOLLOUT)


def _read_some(sock: socket.socket, incoming: Incoming) -> bool:
    try:
        incoming.feed(sock.recv(1 << 16))
    except BlockingIOError:
        return False
    return True


def _write_some(sock: socket.socket, waiting: memoryview) -> tuple[memoryview, bool]:
    try:
        return waiting[sock.send(waiting) :], True
    except BlockingIOError:
        return waiting, False


STYLES: dict[str, Callable[[socket.socket, Outgoing, Incoming], None]] = {
    "blocking": blocking,
    "threads": threads,
    "forked": forked,
    "epoll-level": epoll_level,
    "epoll-edge": epoll_edge,
}


def reached(address: str, port: int) -> socket.socket:
    """Return a connection; neighbours may have to be found again after the test before."""
    for _ in range(100):
        try:
            return socket.create_connection((address, port))
        except OSError:
            time.sleep(0.1)
    raise SystemExit("there is no way to the server")


def _connection(role: str, address: str, port: int) -> socket.socket:
    if role == "connect":
        return reached(address, port)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, dualstack_ipv6=address == "::")
    say(f"listening {listener.getsockname()[1]}")
    sock, _ = listener.accept()
    globals()["_kept_open"] = listener  # a server goes on listening
    return sock


def main() -> int:
    style, role, address, port, rate = sys.argv[1:]
    sock = _connection(role, address, int(port))
    starts = (1 << 60, 2 << 60)
    ours, theirs = starts if role == "connect" else starts[::-1]
    outgoing, incoming = Outgoing(ours, float(rate)), Incoming(theirs)

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        outgoing.stop = True

    signal.signal(signal.SIGUSR1, stop)
    say("connected")
    try:
        STYLES[style](sock, outgoing, incoming)
    except (WrongDataError, OSError) as error:
        say(f"wrong {type(error).__name__}: {error}")
        return 1
    sock.close()
    say(f"right {incoming.bytes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
