"""`migrate connect`: standard input and output as one connection through a gateway."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from migrated.streams.addresses import Destination, seen_from
from migrated.streams.choosing import first_that_answers
from migrated.streams.client import EXPIRE_S, Gateway, speaker, tell_outages
from migrated.streams.network import network_changes
from migrated.streams.outcomes import Outcome, StreamProgramError
from migrated.streams.relay import first_error, until_broken
from migrated.streams.stdio import Input, Output, nobody_there
from migrated.streams.words import reason
from sessionlayer.aio import StreamRefusedError, StreamSession

CHUNK: Final = 256 * 1024
"""Bytes that are taken from the stream at once, at most."""

LAST_WORDS_S: Final = 3.0
"""Seconds that a signal leaves for the end of both directions to arrive, where it is on its way."""


async def connect_stdio(gateways: Sequence[Gateway], destination: Destination, *, quiet: bool) -> int:
    """Connect standard input and output to a destination, until both directions have ended.

    Args:
        gateways: of which to go through the first that answers.
        destination: where to, as the user says.
        quiet: say nothing but errors.

    Returns:
        The exit status.

    Raises:
        StreamProgramError: there is no connection, or it broke.
    """
    say = speaker(quiet=quiet)
    # The end comes late rather than cut off.
    gateway, session = await first_that_answers(gateways, say, close_s=EXPIRE_S)
    target = seen_from(gateway.place, destination)
    tell_outages(session, speaker(quiet=quiet or not sys.stderr.isatty()))
    try:
        with network_changes(session.retry_now):
            await _to_its_end(asyncio.create_task(_carry_all(session, target)))
    except BaseException:
        session.abort()
        raise
    return Outcome.DONE


async def _to_its_end(work: asyncio.Task[None]) -> None:
    """Wait for ``work``, which a signal ends; but let the end arrive if that is all that is left to carry.

    ssh closes both pipes when its session is over, and sends its ProxyCommand SIGHUP at the same moment.
    """
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        if not work.done() and nobody_there():
            await asyncio.wait({work}, timeout=LAST_WORDS_S)
        if not work.done() or work.cancelled():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            raise
        work.result()


async def _carry_all(session: StreamSession, destination: Destination) -> None:
    await _converse(session, destination)
    await session.close()


async def _converse(session: StreamSession, destination: Destination) -> None:
    try:
        reader, writer = await session.open_connection(str(destination).encode())
        await _carry(reader, writer)
    except StreamRefusedError as error:
        raise StreamProgramError(error.reason, Outcome.REFUSED) from error
    except OSError as error:
        if session.state == "closed":
            advice = "what it carried can't be taken up by a new process; start the program that used it anew"
            raise StreamProgramError(f"{reason(error)}; {advice}", Outcome.LOST) from error
        message = f"the connection to {destination} broke: {reason(error)}"
        raise StreamProgramError(message, Outcome.BROKEN) from error


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send(Input(), writer))
            receiving = group.create_task(_receive(reader, Output()))
            watching = group.create_task(until_broken(writer, sending))
            await asyncio.wait([sending, receiving])
            watching.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    writer.close()


async def _send(source: Input, writer: asyncio.StreamWriter) -> None:
    while data := await source.read():
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _receive(reader: asyncio.StreamReader, target: Output) -> None:
    while data := await reader.read(CHUNK):
        await target.write(data)
    target.end()
