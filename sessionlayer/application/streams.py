"""asyncio streams over a connection that has come back, with what the program had not read or sent."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from sessionlayer.application.grip import Buffered, TransportGrip

if TYPE_CHECKING:
    from sessionlayer.application.session import Session

READER_LIMIT: Final = 65_536
"""Bytes that a reader takes ahead; asyncio's own default."""


async def open_session(session: Session) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the streams of a session whose connection is a socket; the calling task is its owner.

    Raises:
        OSError: the connection is not one.
    """
    buffered, session.giving.buffered = session.giving.buffered, Buffered()
    reader, writer = await open_streams(session.connection, buffered)
    session.hold(writer, TransportGrip.of(writer, asyncio.current_task()))
    return reader, writer


async def open_streams(
    connection: socket.socket, buffered: Buffered
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a reader and a writer that go on where those of the suspended program were.

    Raises:
        OSError: the connection is not one.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READER_LIMIT, loop=loop)
    if buffered.unread:
        reader.feed_data(buffered.unread)  # before the transport can feed what came after it
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    connection.setblocking(False)
    transport, _ = await loop.create_connection(lambda: protocol, sock=connection)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    if buffered.unsent:
        writer.write(buffered.unsent)
    return reader, writer
