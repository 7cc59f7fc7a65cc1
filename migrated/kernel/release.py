"""Give a frozen TCP connection up entirely, and make it again later: a suspended session costs no descriptor.

1. `read_released` reads all that the kernel knows of the connection, and changes nothing.
2. Segments for it are dropped (``migrated.kernel.guard``), and what was read goes on record.
3. `give_up` forgets the connection without a packet, for everybody who holds the socket.
4. `remake` makes a new socket with the same connection, frozen where it was. Its address may be
   gone from the host. From there ``migrated.kernel.rebind`` goes on as with any frozen connection.
5. Segments for it are let in again.

A step that fails leaves what the steps before it have made.

Source: the Migrate paper, section V-B, "resource continuations".
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from migrated.kernel import options, tcp
from migrated.kernel.buffers import send_again
from migrated.kernel.endpoint import EndPoint, local_end, socket_address
from migrated.kernel.errors import ConnectionLostError, RebindError
from migrated.kernel.freeze import OwnOptions, freeze, is_frozen
from migrated.kernel.owner import acting_as
from migrated.kernel.ports import bind_keeping_port
from migrated.kernel.program_options import (
    ProgramOptions,
    apply_before_connecting,
    apply_when_connected,
    read_program_options,
)
from migrated.kernel.repair import (
    Snapshot,
    connect_restored,
    disconnect,
    repair_mode,
    set_repair,
    take_snapshot,
)

_SEQUENCE: Final = tcp.SEQUENCE_SPACE


class ReleasedConnection(Struct, frozen=True, kw_only=True):
    """A frozen connection without a socket.

    Attributes:
        snapshot: what the kernel knew of it, unread and outgoing bytes among it.
        own: the program's own values of the options that freezing changes.
        options: the program's other socket options.
        family: ``AF_INET`` or ``AF_INET6``; the latter may carry IPv4.
        uid: whose socket it was.
    """

    snapshot: Snapshot
    own: OwnOptions
    options: ProgramOptions
    family: int
    uid: int

    def __bytes__(self) -> bytes:
        """Return it as it is stored."""
        return _encoder.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ReleasedConnection:
        """Read what was stored.

        Raises:
            msgspec.DecodeError: it is something else.
            UnicodeDecodeError: likewise.
        """
        return _decoder.decode(data)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(ReleasedConnection)


def read_released(sock: socket.socket, own: OwnOptions) -> ReleasedConnection:
    """Read a frozen connection out of its socket, which stays as it is.

    Its programs must not use it meanwhile: their calls would fail.

    Args:
        sock: any descriptor of the connection.
        own: the program's own options, as they were before freezing.

    Raises:
        UnsupportedSocketError: it can't be made again: half closed, MPTCP, a filter of the program's.
        RebindError: it is not frozen, its user is one that we can't make sockets for, or the kernel refuses.
    """
    try:
        if not is_frozen(sock):
            raise RebindError("the connection is not frozen")
        uid = os.fstat(sock.fileno()).st_uid
        with acting_as(uid):
            pass  # what can't be made again as the same user's must not be given up
        program_options = read_program_options(sock)
        try:
            with repair_mode(sock):
                snapshot = take_snapshot(sock)
        finally:  # leaving repair mode takes it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, program_options.reuse_address)
        return ReleasedConnection(
            snapshot=snapshot,
            own=own,
            options=program_options,
            family=int(sock.family),
            uid=uid,
        )
    except OSError as error:
        raise RebindError(f"can't read the connection: {error}") from error


def give_up(sock: socket.socket) -> None:
    """Forget a connection without a packet, whoever else holds its socket; every descriptor stays open.

    Raises:
        RebindError: the kernel refuses.

    Source: ``tcp_disconnect`` in ``net/ipv4/tcp.c`` of Linux.
    """
    try:
        with repair_mode(sock):
            disconnect(sock)
    except OSError as error:
        raise RebindError(f"can't give the connection up: {error}") from error


def remake(released: ReleasedConnection) -> socket.socket:
    """Make a connection again, frozen where it was.

    Raises:
        RebindError: something else has its place now, or the kernel refuses; nothing was made.
    """
    try:
        sock = _made(released, _bind_mobile)
        if local_end(sock) == released.snapshot.local:
            return sock
        # Another connection shares the port. It can be had, but only locked to the socket.
        _close_silently(sock)
        return _made(released, _bind_locked)
    except OSError as error:
        raise RebindError(f"can't make the connection again: {error}") from error


def _made(released: ReleasedConnection, bind: Callable[[socket.socket, EndPoint], None]) -> socket.socket:
    with acting_as(released.uid):
        sock = socket.socket(released.family, socket.SOCK_STREAM)
    try:
        _restore(sock, released, bind)
    except BaseException:
        _close_silently(sock)
        raise
    return sock


def _restore(
    sock: socket.socket, released: ReleasedConnection, bind: Callable[[socket.socket, EndPoint], None]
) -> None:
    snapshot = released.snapshot
    apply_before_connecting(sock, released.options)
    freeze(sock)  # first, because a mark and IP_TRANSPARENT make an address that is gone no error
    set_repair(sock, options.REPAIR_ON)
    bind(sock, snapshot.local)
    connect_restored(sock, snapshot, snapshot.remote, send_from=snapshot.snd_una, first_in_place=False)
    in_flight = (snapshot.snd_nxt - snapshot.snd_una) % _SEQUENCE
    _queue_as_sent(sock, snapshot.outgoing[:in_flight])
    set_repair(sock, options.REPAIR_OFF_SILENT)
    send_again(sock, snapshot.outgoing[in_flight:])
    apply_when_connected(sock, released.options)


def _queue_as_sent(sock: socket.socket, data: bytes) -> None:
    """Queue bytes that the peer may have: what it says to have received is checked against them."""
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.SEND_QUEUE)
    send_again(sock, data)
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.NO_QUEUE)


def _bind_mobile(sock: socket.socket, local: EndPoint) -> None:
    bind_keeping_port(sock, local, same_address=True)


def _bind_locked(sock: socket.socket, local: EndPoint) -> None:
    sock.bind(socket_address(sock, local))


def _close_silently(sock: socket.socket) -> None:
    """Close a socket of which the peer must not hear: the kernel sends nothing in repair mode."""
    try:
        set_repair(sock, options.REPAIR_ON)
    except OSError as error:
        raise ConnectionLostError(f"a failed attempt can't be undone silently: {error}") from error
    finally:
        sock.close()
