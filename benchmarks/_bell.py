"""The counter for very many clients: it sends all of them the next number at once, when SIGUSR1 comes.

Usage: _stamped.py _bell.py PORT

Like the counter it also sends a number when a session begins, and when it goes on.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import sessionlayer as migrate

WAIT_S = 300.0
"""Very many connections take a while to become sessions."""


class Bell:
    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self) -> None:
        await self._rung.wait()


bell = Bell()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int = 0) -> None:
    session = await migrate.aio_session(writer, wait_s=WAIT_S)
    session.register_handler(lambda _session: migrate.internal("count"))
    while True:
        writer.write(b"%d\n" % index)
        index += 1
        session.store("index", b"%d" % index)
        await writer.drain()
        await bell.wait()


@migrate.function("count")
async def count(session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await serve(reader, writer, int(session.retrieve("index")))


async def main(port: int) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, bell.ring)
    server = await asyncio.start_server(serve, port=port, backlog=4096)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
