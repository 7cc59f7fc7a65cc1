"""The first exchange of two ends without a session, over what becomes the control transport.

Both sides read exactly one message at a time, so that nothing of what follows is taken by mistake.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

from sessionlayer.aio.session import Judge
from sessionlayer.aio.sockets import read_exactly
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.handshake import Established, Handshake
from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.limits import HANDSHAKE_MESSAGE_MAX
from sessionlayer.protocol.messages import Hello
from sessionlayer.streams.channel import ControlChannel
from sessionlayer.streams.errors import StreamError, StreamRefusedError, UntrustedPeerError
from sessionlayer.streams.limits import STATEMENT_MAX, STREAMS_VERSION
from sessionlayer.streams.secrets import control_keys, session_key
from sessionlayer.streams.statements import Statement, decode, encode

PROLOGUE = b"streams %d\n" % STREAMS_VERSION
_NO_HELLO = Hello(index=bytes(8), port=1)  # streams have neither datagrams nor addresses of their own


@dataclass(frozen=True, slots=True)
class Greeted:
    """What the handshake leaves: the session's key and the peer's, and the control transport."""

    key: bytes
    peer_key: bytes
    channel: ControlChannel


def new_handshake(identity: HostKey, judge: Judge, *, initiator: bool) -> Handshake:
    """Return a handshake that can't be confused with one of two daemons."""
    return Handshake(
        initiator=initiator,
        host_key=identity,
        hello=_NO_HELLO,
        judge=lambda key: judge(key) or None,
        entropy=os.urandom,
        now=asyncio.get_running_loop().time(),
        prologue=PROLOGUE,
    )


async def shake_hands_as_client(sock: socket.socket, identity: HostKey, judge: Judge) -> Greeted:
    """Shake hands over a transport that we opened.

    Raises:
        UntrustedPeerError: ``judge`` does not trust the server's key.
        StreamRefusedError: the server does not trust ours.
        StreamError: it speaks another protocol.
        ConnectionError: the transport died.
    """
    verdicts: list[str] = []

    def judged(key: bytes) -> str:
        verdicts.append(judge(key))
        return verdicts[-1]

    handshake = new_handshake(identity, judged, initiator=True)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, handshake.start())
    try:
        while handshake.established is None and handshake.refusal is None:
            frame = await _read_frame(sock, HANDSHAKE_MESSAGE_MAX)
            await loop.sock_sendall(sock, handshake.receive(frame, loop.time()))
    except RemoteProtocolError as error:
        raise StreamError(f"the handshake failed: {error}") from error
    if handshake.established is None:
        raise _refusal(handshake, verdicts)
    return greeted(handshake.established)


def _refusal(handshake: Handshake, verdicts: list[str]) -> StreamError:
    if any(verdicts):
        return UntrustedPeerError(verdicts[-1])
    return StreamRefusedError((handshake.refusal or "").removeprefix("the peer refuses: "))


async def shake_hands_as_server(
    sock: socket.socket, first: bytes, identity: HostKey, judge: Judge
) -> Greeted | None:
    """Answer a handshake whose ``first`` bytes were read already; ``None`` if we don't trust the client.

    Raises:
        RemoteProtocolError: it is no handshake, or a wrong one.
        ConnectionError: the transport died.
    """
    handshake = new_handshake(identity, judge, initiator=False)
    loop = asyncio.get_running_loop()
    while handshake.established is None and handshake.refusal is None:
        frame = await _read_frame(sock, HANDSHAKE_MESSAGE_MAX, first)
        first = b""
        await loop.sock_sendall(sock, handshake.receive(frame, loop.time()))
    return greeted(handshake.established) if handshake.established else None


def greeted(established: Established) -> Greeted:
    """Return the keys and the control channel that a handshake leaves."""
    key = session_key(established)
    channel = ControlChannel(*control_keys(key, client=established.initiator))
    return Greeted(key=key, peer_key=established.peer_key, channel=channel)


async def say(sock: socket.socket, greeted: Greeted, statement: Statement) -> None:
    """Send a statement.

    Raises:
        ConnectionError: the transport died.
    """
    await asyncio.get_running_loop().sock_sendall(sock, greeted.channel.seal(encode(statement)))


async def hear(sock: socket.socket, greeted: Greeted) -> Statement:
    """Return the peer's next statement.

    Raises:
        RemoteProtocolError: it is not authentic, or malformed.
        ConnectionError: the transport died.
    """
    frame = await _read_frame(sock, STATEMENT_MAX)
    (message,) = greeted.channel.open(frame)
    return decode(message)


async def _read_frame(sock: socket.socket, longest: int, first: bytes = b"") -> bytes:
    head = first + (await read_exactly(sock, 2 - len(first)) if len(first) < 2 else b"")
    length = int.from_bytes(head[:2], "big")
    if length > longest or length + 2 < len(head):
        raise RemoteProtocolError(f"a message of {length} bytes, at most {longest}")
    return head + await read_exactly(sock, length + 2 - len(head))
