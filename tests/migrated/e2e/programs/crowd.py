"""Many conversations of `talker.py` in one program with one thread.

Usage: crowd.py COUNT connect|listen ADDRESS PORT BYTES_PER_SECOND

It prints `listening`, `connected`, and at last `right BYTES`, or `wrong ...` and status 1.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from talker import Incoming, Outgoing, WrongDataError, say  # type: ignore[import-not-found]

_TURN_S = 0.01


class Talk:
    """One of the conversations; ``over`` once both ends have said their last word."""

    def __init__(self, sock: socket.socket, outgoing: Outgoing, incoming: Incoming) -> None:
        self.sock = sock
        self.outgoing = outgoing
        self.incoming = incoming
        self._waiting = b""

    @property
    def over(self) -> bool:
        return self.incoming.done and self.outgoing.done and not self._waiting

    def read(self) -> None:
        """Take what has come."""
        try:
            if not self.incoming.done:
                self.incoming.feed(self.sock.recv(1 << 16))
        except BlockingIOError:  # woken for nothing, as select(2) says that one may be
            return
        self.outgoing.stop = self.outgoing.stop or self.incoming.done

    def write(self) -> None:
        """Send what is due and fits."""
        if not self._waiting and not self.outgoing.done and self.outgoing.wait_s() == 0:
            self._waiting = self.outgoing.block()
        if self._waiting:
            try:
                self._waiting = self._waiting[self.sock.send(self._waiting) :]
            except BlockingIOError:
                return


def main() -> int:
    count, role, address, port, rate = sys.argv[1:]
    mine, theirs = (1 << 60, 2 << 60) if role == "connect" else (2 << 60, 1 << 60)
    socks = _connections(role, address, int(port), int(count))
    talks = [Talk(sock, Outgoing(mine, float(rate)), Incoming(theirs)) for sock in socks]

    def stop(*_: object) -> None:
        for talk in talks:
            talk.outgoing.stop = True

    signal.signal(signal.SIGUSR1, stop)
    say("connected")
    try:
        _run(talks)
    except (WrongDataError, OSError) as error:
        say(f"wrong {type(error).__name__}: {error}")
        return 1
    say(f"right {sum(talk.incoming.bytes for talk in talks)}")
    return 0


def _run(talks: list[Talk]) -> None:
    with selectors.DefaultSelector() as selector:
        for talk in talks:
            talk.sock.setblocking(False)
            selector.register(talk.sock, selectors.EVENT_READ, talk)
        while selector.get_map():
            for key, _ in selector.select(_TURN_S):
                key.data.read()
            for key in list(selector.get_map().values()):
                key.data.write()
                if key.data.over:
                    selector.unregister(key.fileobj)
                    key.data.sock.close()


def _connections(role: str, address: str, port: int, count: int) -> list[socket.socket]:
    if role == "connect":
        return [socket.create_connection((address, port)) for _ in range(count)]
    with socket.create_server((address, port), backlog=count) as listener:
        say("listening")
        return [listener.accept()[0] for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main())
