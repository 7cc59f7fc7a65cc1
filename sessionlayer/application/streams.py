"""asyncio streams and protocols over a connection that has come back, with what was not read or sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sessionlayer.application.grip import Buffered, TransportGrip
from sessionlayer.delivery import hand_out

if TYPE_CHECKING:
    from sessionlayer.application.session import Session

READER_LIMIT: Final = 65_536
"""Bytes that a reader takes ahead; asyncio's own default."""


async def open_session(session: Session) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the streams of a session whose connection is a socket; the calling task is its owner.

    Raises:
        OSError: the connection is not one.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READER_LIMIT, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = await connect_protocol(session.connection, _taken(session), protocol)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    session.hold(writer, TransportGrip.of(writer, asyncio.current_task()))
    return reader, writer


async def create_connection(
    session: Session, factory: Callable[[], asyncio.BaseProtocol]
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Return the transport and a new protocol of a session whose connection is a socket; it has no owner.

    Raises:
        OSError: the connection is not one.
    """
    protocol = factory()
    transport = await connect_protocol(session.connection, _taken(session), protocol)
    session.hold(transport, TransportGrip.of(transport, None))
    return transport, protocol


async def connect_protocol(
    connection: socket.socket, buffered: Buffered, protocol: asyncio.BaseProtocol
) -> asyncio.Transport:
    """Return a transport that goes on, for ``protocol``, where that of the suspended program was.

    Raises:
        OSError: the connection is not one.
    """
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, arriving = await loop.create_connection(_Arriving, sock=connection)
    if buffered.unsent:
        transport.write(buffered.unsent)  # before the protocol can write anything
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if arriving.full:
        protocol.pause_writing()
    if buffered.unread:
        hand_out(protocol, buffered.unread)  # before the transport can hand out what came after it
    transport.resume_reading()
    return transport


class _Arriving(asyncio.Protocol):
    """Holds a transport still until the program's own protocol has been told what came before."""

    def __init__(self) -> None:
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let nothing in before what the suspended program had not read."""
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    def pause_writing(self) -> None:
        """Remember that the kernel does not take at once what the suspended program had not sent."""
        self.full = True


def _taken(session: Session) -> Buffered:
    buffered, session.giving.buffered = session.giving.buffered, Buffered()
    return buffered
