"""Carry bytes between two connections: both ways, with back-pressure, half-closes and resets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from typing import Final

CHUNK: Final = 256 * 1024
"""Bytes that are read at once, at most; with what the two transports buffer, all that one relay holds."""

_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Closing drops what is unsent and sends a reset. Source: socket(7), SO_LINGER."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def relay(one: Ends, other: Ends) -> None:
    """Carry bytes until both directions have ended, and close both connections.

    An end of one side's output is passed on by itself, the other direction goes on. If either
    connection breaks, or the relay is cancelled, both are aborted: what was cut off must not look complete.

    Raises:
        OSError: one of them broke.
    """
    writers = one[1], other[1]
    try:
        async with asyncio.TaskGroup() as group:
            ways = (one[0], other[1]), (other[0], one[1])
            carrying = [group.create_task(_carry(*way)) for way in ways]
            into_other, into_one = carrying
            watching = [
                group.create_task(until_broken(one[1], into_one)),
                group.create_task(until_broken(other[1], into_other)),
            ]
            await asyncio.wait(carrying)
            for task in watching:
                task.cancel()
    except BaseExceptionGroup as errors:
        for writer in writers:
            give_up(writer)
        raise first_error(errors) from None
    except asyncio.CancelledError:
        for writer in writers:
            give_up(writer)
        raise
    for writer in writers:
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def until_broken(writer: asyncio.StreamWriter, sending: asyncio.Task[None]) -> None:
    """Wait until a connection is over, in case it breaks when nothing is read from it or written to it.

    Args:
        writer: of the connection.
        sending: what writes to it, and ends when it has written the end.

    Raises:
        OSError: it broke.
    """
    await writer.wait_closed()
    if not sending.done():  # whoever has ended its own output may still give the connection up
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def give_up(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, and such that the other end hears of a reset, where it can."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


def first_error(error: BaseException) -> BaseException:
    """Return the first error of a group: when one connection breaks, what follows says nothing new."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
