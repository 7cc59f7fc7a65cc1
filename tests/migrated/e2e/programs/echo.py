"""Send a number of bytes and get them back; an echo server for it.

Usage: echo.py connect ADDRESS PORT BYTES BYTES_PER_SECOND
       echo.py listen ADDRESS PORT

The client prints `connected`, now and then `received BYTES`, and at last `sent SHA256 received SHA256`.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time

BLOCK_BYTES = 64 * 1024
_REPORT_S = 0.05


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def listen(address: str, port: str) -> None:
    with socket.create_server((address, int(port))) as listener:
        say("listening")
        sock, _ = listener.accept()
        with sock:
            while data := sock.recv(BLOCK_BYTES):
                sock.sendall(data)


def connect(address: str, port: str, length: str, rate: str) -> None:
    total, sent = int(length), hashlib.sha256()
    received = hashlib.sha256()
    with socket.create_connection((address, int(port))) as sock:
        say("connected")
        sender = threading.Thread(target=_send, args=(sock, total, float(rate), sent))
        sender.start()
        count, reported = 0, 0.0
        while count < total:
            data = sock.recv(BLOCK_BYTES)
            if not data:
                break
            received.update(data)
            count += len(data)
            if time.monotonic() - reported > _REPORT_S:
                reported = time.monotonic()
                say(f"received {count}")
        sender.join()
    say(f"sent {sent.hexdigest()} received {received.hexdigest()}")


def _send(sock: socket.socket, total: int, rate: float, sent: hashlib._Hash) -> None:
    begun, count = time.monotonic(), 0
    while count < total:
        block = os.urandom(min(BLOCK_BYTES, total - count))
        sock.sendall(block)
        sent.update(block)
        count += len(block)
        time.sleep(max(0.0, begun + count / rate - time.monotonic()))


if __name__ == "__main__":
    (listen if sys.argv[1] == "listen" else connect)(*sys.argv[2:])
