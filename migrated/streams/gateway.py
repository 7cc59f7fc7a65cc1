"""`migrate gateway`: connect clients that are let in to the destinations that they are allowed."""

from __future__ import annotations

import asyncio
import logging

from migrated.log import event
from migrated.streams.addresses import AddressError, Endpoint, read_destination
from migrated.streams.admission import Admission
from migrated.streams.dial import DialError, dial
from migrated.streams.outcomes import Outcome, StreamProgramError
from migrated.streams.relay import Ends, give_up, relay
from migrated.streams.words import reason
from sessionlayer.aio import (
    Closed,
    Resumed,
    StreamEvent,
    StreamOptions,
    StreamServer,
    StreamSession,
    Suspended,
    start_server,
)
from sessionlayer.protocol.keys import HostKey, fingerprint

_log = logging.getLogger(__name__)


class Gateway:
    """The gateway's side of all sessions.

    Args:
        admission: who is let in, and where to.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._sessions: set[bytes] = set()
        self._dialled: dict[asyncio.Task[object], Ends] = {}
        self.connections = 0

    def judge(self, key: bytes) -> str:
        """Return why a client's key (32 bytes) is refused, or nothing."""
        refusal = self._admission.refusal(key)
        if refusal:
            event(_log, logging.WARNING, "client-refused", key=fingerprint(key))
        return refusal

    async def admit(self, session: StreamSession, purpose: bytes) -> str:
        """Connect to the destination that a connection is for; return why not, or nothing."""
        self._follow(session)
        client = self._admission.name(session.peer_key)
        try:
            destination = read_destination(purpose.decode())
            ends = await dial(destination, self._admission.rules(session.peer_key))
        except (UnicodeDecodeError, AddressError, DialError) as error:
            asked = purpose.decode("utf-8", "backslashreplace")
            event(_log, logging.WARNING, "refused", client=client, destination=asked, reason=str(error))
            return str(error)
        task = _task()
        self._dialled[task] = ends
        task.add_done_callback(self._hang_up)
        return ""

    async def connected(
        self, session: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry bytes between a client's connection and its destination.

        A server calls this in the task that has asked `admit`.
        """
        purpose: bytes = writer.get_extra_info("purpose")
        ends = self._dialled.pop(_task())
        told = {"client": self._admission.name(session.peer_key), "destination": purpose.decode()}
        event(_log, logging.INFO, "connected", **told)
        self.connections += 1
        try:
            await relay((reader, writer), ends)
        except OSError as error:
            event(_log, logging.INFO, "broken", **told, reason=reason(error))
        else:
            event(_log, logging.INFO, "ended", **told)
        finally:
            self.connections -= 1

    def _hang_up(self, task: asyncio.Task[object]) -> None:
        """Give up the destination of a client that went away before it was told that there is one."""
        ends = self._dialled.pop(task, None)
        if ends:
            give_up(ends[1])

    def _follow(self, session: StreamSession) -> None:
        """Log what happens to a session from its first connection on."""
        if session.id in self._sessions:
            return
        self._sessions.add(session.id)
        told = {"client": self._admission.name(session.peer_key), "session": session.id.hex()[:8]}
        event(_log, logging.INFO, "session", **told, peer=session.peer)

        def heard(what: StreamEvent) -> None:
            match what:
                case Suspended(why):
                    event(_log, logging.INFO, "suspended", **told, reason=why)
                case Resumed(after_s):
                    event(_log, logging.INFO, "resumed", **told, after_s=round(after_s, 3), peer=session.peer)
                    if refusal := self.judge(session.peer_key):  # the key was taken away meanwhile
                        session.over("refused", refusal)
                case Closed(code, why):
                    self._sessions.discard(session.id)
                    event(_log, logging.INFO, "session-ended", **told, code=code, reason=why)

        session.on_event(heard)


def _task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def serve(
    place: Endpoint, key: HostKey, admission: Admission, options: StreamOptions | None = None
) -> int:
    """Serve clients until cancelled.

    Args:
        place: where to listen; an empty host is all addresses, port 0 any free one.
        key: the gateway's own.
        admission: who is let in, and where to.
        options: bounds and times.

    Returns:
        The exit status, after it was cancelled.

    Raises:
        StreamProgramError: it can't listen there.
    """
    gateway = Gateway(admission)
    server = await _started(gateway, place, key, options or StreamOptions())
    for sock in server.sockets:
        host, port = sock.getsockname()[:2]
        where = str(Endpoint(host, port))
        event(_log, logging.INFO, "listening", on=where, key=fingerprint(key.public_bytes))
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        advice = "clients notice when they next reach this port; raw connections can't be taken up again"
        lost = {"sessions": len(server.sessions), "connections": gateway.connections}
        event(_log, logging.INFO, "stopping", **lost, advice=advice)
    server.close()
    await server.wait_closed()
    return Outcome.DONE


async def _started(gateway: Gateway, place: Endpoint, key: HostKey, options: StreamOptions) -> StreamServer:
    try:
        return await start_server(
            gateway.connected,
            place.host or None,
            place.port,
            identity=key,
            judge=gateway.judge,
            options=options,
            admit=gateway.admit,
        )
    except OSError as error:
        message = f"cannot listen on {place.host or '*'}:{place.port}: {reason(error)}; see `--listen`"
        raise StreamProgramError(message, Outcome.BROKEN) from error
