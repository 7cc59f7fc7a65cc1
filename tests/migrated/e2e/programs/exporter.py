"""A program at either end of a connection that exports how often it was suspended.

Usage: exporter.py STYLE listen|connect ADDRESS PORT

STYLE is what its handler does: `keep` runs on, `internal` and `complete` return such a continuation; `watch`
has no handler, and exports 1 at once. It says `listening`, `session ID`, `suspended`, then how it goes on
(`resumed`, `invoked` or `continued`) and what its peer has exported at that moment; then `imported` with what
that has become if it changes.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from typing import Any

from talker import reached  # type: ignore[import-not-found]

import sessionlayer as migrate

PERIOD_S = 0.01

listeners: list[socket.socket] = []


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def words(session: migrate.Session) -> str:
    return ",".join(f"{name}={value.decode()}" for name, value in sorted(session.imported.items())) or "-"


def connected(role: str, address: str, port: str) -> socket.socket:
    if role == "connect":
        there: socket.socket = reached(address, int(port))
        return there
    listener = socket.create_server((address, int(port)))
    say("listening")
    sock, _ = listener.accept()
    listeners.append(listener)  # the daemon tells by it which end opened the connection
    return sock


def suspended(session: migrate.Session) -> Any:
    times = int(session.retrieve("times")) + 1
    session.store("times", str(times).encode())
    waiting.set()
    say("suspended")
    match sys.argv[1]:
        case "internal":
            return migrate.internal("go on")
        case "complete":
            return migrate.complete(session, descriptors={"stdout": 1})
    return None


@migrate.function("go on")
def go_on(session: migrate.Session, connection: socket.socket) -> None:
    said("invoked", session)


last = ["-"]
waiting = threading.Event()
"""Set until it has said how the session goes on: what has been imported by then is told with that."""


def said(how: str, session: migrate.Session) -> None:
    last[0] = words(session)
    say(how, last[0])
    waiting.clear()


def main() -> None:
    style = sys.argv[1]
    session = migrate.continued()
    if session is None:
        sock = connected(*sys.argv[2:])
        session = migrate.get_session(sock, wait_s=30.0)
        session.store("times", b"1" if style == "watch" else b"0")
        session.export("times")
        say("session", session.id.hex()[:8])
    else:
        said("continued", session)
    session.on_end(lambda session: os._exit(0))
    if style != "watch":
        session.on_resume(lambda session: said("resumed", session))
        session.register_handler(suspended)
    while True:
        time.sleep(PERIOD_S)
        if not waiting.is_set() and words(session) != last[0]:
            said("imported", session)


if __name__ == "__main__":
    main()
