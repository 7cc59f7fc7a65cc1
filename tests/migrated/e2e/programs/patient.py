"""A client that says of its session how it is: once every 0.2 s that all is well, until it is told otherwise.

Usage: patient.py ADDRESS PORT STYLE

STYLE is `threads` or `asyncio`. It reads what the server sends, and prints `session ID`. After SIGUSR1 it is
unwell, and says so once; after SIGUSR2 it says nothing any more; after SIGHUP it is well again.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time

import sessionlayer as migrate

PERIOD_S = 0.2
WAIT_S = 60.0


class Mood:
    """What the program says of itself."""

    def __init__(self) -> None:
        self.session: migrate.Session | None = None
        self.heard = 0
        self.talks = True

    def begin(self, session: migrate.Session) -> None:
        self.session = session
        sys.stdout.write(f"session {session.id.hex()[:8]}\n")
        sys.stdout.flush()

    def hear(self, number: int, _: object) -> None:
        # It is not acted upon here: this may be in the middle of a call of the library.
        self.heard = number

    def say(self) -> None:
        assert self.session is not None
        number, self.heard = self.heard, 0
        if number:
            self.talks = number == signal.SIGHUP
        if number == signal.SIGUSR1:
            self.session.report_health(False, "no picture")
        if self.talks:
            self.session.keep_alive()


def with_threads(address: str, port: str, mood: Mood) -> None:
    with socket.create_connection((address, int(port))) as sock:
        mood.begin(migrate.get_session(sock, wait_s=WAIT_S))
        threading.Thread(target=read, args=(sock,), daemon=True).start()
        while True:
            mood.say()
            time.sleep(PERIOD_S)


def read(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


async def with_asyncio(address: str, port: str, mood: Mood) -> None:
    reader, writer = await asyncio.open_connection(address, int(port))
    mood.begin(await migrate.aio_session(writer, wait_s=WAIT_S))
    reading = asyncio.create_task(reader.read(-1))
    while not reading.done():
        mood.say()
        await asyncio.sleep(PERIOD_S)


def main() -> None:
    address, port, style = sys.argv[1:]
    mood = Mood()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, mood.hear)
    if style == "asyncio":
        asyncio.run(with_asyncio(address, port, mood))
    else:
        with_threads(address, port, mood)


if __name__ == "__main__":
    main()
