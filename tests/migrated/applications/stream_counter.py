"""Count for one client over a virtual stream; no process is there while the client is gone.

Arguments: the server's key, and a folder where ``port`` and ``pids`` are written.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import sessionlayer as migrate
from sessionlayer.aio import HostKey, StreamOptions, StreamSession

OPTIONS = StreamOptions(silence_s=60, expire_s=600)  # nobody counts as away who is only slow


async def serve(stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await count(await migrate.aio_session(writer), writer, 0)


async def count(session: migrate.Session, writer: asyncio.StreamWriter, index: int) -> None:
    session.register_handler(migrate.complete)
    while True:
        writer.write(b"%d\n" % index)
        index += 1
        session.store("index", b"%d" % index)
        await writer.drain()
        await asyncio.sleep(0.005)


async def main(key: str, folder: Path) -> None:
    session = migrate.continued()
    identity = HostKey.from_text(key)
    server = await migrate.start_server(
        serve, "127.0.0.1", 0, identity=identity, judge=lambda key: "", options=OPTIONS
    )
    with (folder / "pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    (folder / "port.new").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / "port.new").rename(folder / "port")
    if session is not None:
        _, writer = await session.open()
        await count(session, writer, int(session.retrieve("index")))
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
