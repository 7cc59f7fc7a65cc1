"""A server of two sessions that uses the library: a parent, and a child that depends on it.

Usage: relatives.py PORT

The parent counts all the time; the child says 1 and goes on when it was resumed. The child's handler is lazy:
once both are suspended its continuation is demanded with `freeze`, and it goes on from there. It says
`listening`, both ids, `denied CODE` of what is to be refused, `suspended WHO`, why the child is, `resumed
WHO`, `invoked`.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

import sessionlayer as migrate

PERIOD_S = 0.02


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def denied(call: Callable[[], object]) -> None:
    try:
        call()
    except migrate.RefusedError as error:
        say("denied", error.code)


def count(connection: socket.socket, session: migrate.Session, number: int) -> None:
    while True:
        if not session.suspended:
            connection.sendall(f"{number}\n".encode())
            number += 1
        time.sleep(PERIOD_S)


@migrate.function("go on")
def go_on(session: migrate.Session, connection: socket.socket) -> None:
    say("invoked")
    count(connection, session, int(session.retrieve("next")))


def suspended_parent(session: migrate.Session) -> None:
    say("suspended parent")


def suspended_child(session: migrate.Session) -> migrate.Continuation:
    say("suspended child")
    session.store("next", b"2")
    return migrate.internal("go on")


def main() -> None:
    with socket.create_server(("", int(sys.argv[1]))) as listener:
        say("listening")
        sockets = [listener.accept()[0] for _ in range(2)]
    parent, child = (migrate.get_session(sock, wait_s=30.0) for sock in sockets)
    sockets[1].sendall(b"1\n")
    say(child.id.hex()[:8], parent.id.hex()[:8])
    child.depend_on(parent)
    denied(lambda: parent.depend_on(child))
    denied(lambda: child.return_cont(migrate.system()))
    denied(child.freeze)
    parent.on_resume(lambda session: say("resumed parent"))
    parent.register_handler(suspended_parent)
    child.register_handler(suspended_child, lazy=True)
    number = 1
    while not parent.suspended:
        sockets[0].sendall(f"{number}\n".encode())
        number += 1
        time.sleep(PERIOD_S)
    while not child.suspended:
        time.sleep(PERIOD_S)
    say(*child.because)
    child.freeze()
    count(sockets[0], parent, number)


if __name__ == "__main__":
    main()
