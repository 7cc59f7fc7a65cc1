"""Move one established connection of unmodified programs: the procedure, from the outside.

Every function takes a `Connection` (a socket and its holders) and works in this order: stop all
holders, borrow the socket, act, let the holders go on. Whatever step fails, the connection
is put back where it was, frozen or live as it was, and the error says why.

A connection's two ends are rebound by two daemons. The end that is restored first must keep still
until it hears the other (``first_in_place``); the other leaves repair mode with a window probe.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from socket import IPPROTO_TCP, SO_BINDTODEVICE, SO_REUSEADDR, SOL_SOCKET, socket
from typing import Final

from migrated.kernel import options, tcp
from migrated.kernel.buffers import limit_send_buffer, send_again
from migrated.kernel.endpoint import EndPoint, local_end
from migrated.kernel.errors import ConnectionLostError, RebindError, SocketGoneError, UnsupportedSocketError
from migrated.kernel.freeze import (
    OwnOptions,
    check_no_own_filter,
    freeze,
    is_frozen,
    listen_again,
    read_own_options,
    restore_routing,
    unfreeze,
)
from migrated.kernel.holders import Holder, borrowed, find_holders
from migrated.kernel.ports import bind_keeping_port
from migrated.kernel.ptrace import held_still
from migrated.kernel.quiet import quiet_s
from migrated.kernel.repair import (
    Snapshot,
    WindowSizing,
    check_supported,
    connect_restored,
    disconnect,
    repair_mode,
    set_repair,
    take_snapshot,
)

_SEQUENCE: Final = tcp.SEQUENCE_SPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A socket, by its inode (which a move doesn't change), and those who hold it."""

    inode: int
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A frozen connection's numbers, modulo 2^32, which stay true until it is rebound or thawed.

    ``received`` is the next sequence number expected; ``acknowledged`` the oldest unacknowledged;
    ``sent`` the next to send at the moment of freezing. ``stopped_s`` is how long the programs stood still.
    """

    received: int
    acknowledged: int
    sent: int
    own: OwnOptions
    stopped_s: float

    @property
    def nothing_in_flight(self) -> bool:
        """Return whether the peer has acknowledged all that was sent."""
        return self.acknowledged == self.sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebound:
    """Where a connection is now.

    ``received`` is the next sequence number expected, modulo 2^32; ``sent_again`` counts the bytes that
    were sent before and are sent once more; ``sizing`` is for `open_window`; ``stopped_s`` is how long the
    programs stood still; ``quiet_s`` for how long an end that was first in place keeps still for sure.
    """

    local: EndPoint
    received: int
    sent_again: int
    sizing: WindowSizing
    own: OwnOptions
    stopped_s: float
    quiet_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an end is to be.

    ``local`` is ``None`` for an end that stays where it is; ``device`` binds the socket to an
    interface, and ``None`` leaves that as it is. ``peer_received`` is modulo 2^32.
    """

    local: EndPoint | None
    device: str | None
    remote: EndPoint
    peer_received: int
    first_in_place: bool


def locate(inode: int) -> Connection:
    """Find a socket's holders now; holders come and go.

    Raises:
        SocketGoneError: nobody holds it.
    """
    holders = find_holders([inode]).get(inode, ())
    if not holders:
        raise SocketGoneError("no program holds the connection any more")
    return Connection(inode=inode, holders=holders)


def check_movable(connection: Connection) -> OwnOptions:
    """Check that a live connection could be moved, and read the options its program has set.

    Raises:
        UnsupportedSocketError: it can't; the message says why.
        RebindError: its programs can't be reached.
    """
    _check_holders(connection)
    with _socket_of(connection) as sock, _kernel_errors("look at"):
        check_supported(sock)
        check_no_own_filter(sock)
        return read_own_options(sock)


def make_room(connection: Connection) -> None:
    """See to it that what a connection has on the way can be queued once more in a move.

    Raises:
        RebindError: it can't be done.
    """
    with _socket_of(connection) as sock, _kernel_errors("make room for"):
        limit_send_buffer(sock)


def freeze_connection(connection: Connection, own: OwnOptions | None = None) -> Frozen:
    """Freeze a connection and read its numbers.

    Args:
        connection: live, or frozen already.
        own: the program's own options; needed when the connection is frozen already.

    Raises:
        RebindError: it can't be done, and the connection is as it was.
    """
    with _stopped(connection) as (sock, clock):
        check_supported(sock)
        was_frozen = is_frozen(sock)
        own = _own_options(sock, own, was_frozen=was_frozen)
        try:
            freeze(sock)
            received, acknowledged, sent = _read_numbers(sock)
        except OSError as error:
            if not was_frozen:
                unfreeze(sock, own)
            raise RebindError(f"can't freeze the connection: {error}") from error
        return Frozen(
            received=received, acknowledged=acknowledged, sent=sent, own=own, stopped_s=clock.elapsed_s()
        )


def park_connection(connection: Connection) -> OwnOptions:
    """Freeze a connection without stopping its programs; its numbers can be read later.

    Raises:
        RebindError: it can't be done.
    """
    with _socket_of(connection) as sock, _kernel_errors("park"):
        own = read_own_options(sock)
        try:
            freeze(sock)
        except OSError:
            unfreeze(sock, own)
            raise
        return own


def recover_connection(connection: Connection) -> bool:
    """Look after a connection whose daemon died, perhaps at work on it; return whether it is frozen.

    A socket that was left in repair mode is taken out of it: its programs can use it again.

    Raises:
        RebindError: it can't be reached.
    """
    with _socket_of(connection) as sock, _kernel_errors("look after"):
        if sock.getsockopt(IPPROTO_TCP, options.TCP_REPAIR):
            set_repair(sock, options.REPAIR_OFF_SILENT)
        return is_frozen(sock)


def thaw_connection(connection: Connection, own: OwnOptions) -> None:
    """Let a frozen connection go on where it is: nobody has moved, and the path works.

    Raises:
        RebindError: it can't be done.
    """
    with _socket_of(connection) as sock, _kernel_errors("thaw"):
        if is_frozen(sock):
            unfreeze(sock, own)


def rebind_connection(
    connection: Connection,
    target: Target,
    own: OwnOptions | None = None,
    reservation: socket | None = None,
) -> Rebound:
    """Take a connection to other addresses, both ends' daemons having agreed on the numbers.

    Args:
        connection: live or frozen.
        target: the addresses, and what the peer has received.
        own: the program's own options; needed when the connection is frozen.
        reservation: what keeps ``target.local`` free and quiet (`repair.reserve_port`); closed right before
            the socket takes the place.

    Returns:
        Where it is now. Data that the peer had not received are sent again at once.

    Raises:
        UnsupportedSocketError: this socket can't go there; it is where it was.
        RebindError: a step failed; the connection is where it was, frozen or live as it was.
        ConnectionLostError: putting it back failed too, or the peer has reset it at once.
    """
    with _stopped(connection) as (sock, clock):
        was_frozen = is_frozen(sock)
        own = _own_options(sock, own, was_frozen=was_frozen)
        try:
            freeze(sock)
            set_repair(sock, options.REPAIR_ON)
            snapshot = _checked_snapshot(sock, target)
        except (OSError, RebindError) as error:
            set_repair(sock, options.REPAIR_OFF_SILENT)
            if not was_frozen:
                unfreeze(sock, own)
            raise error if isinstance(error, RebindError) else RebindError(str(error)) from error
        own_there = own if target.device is None else replace(own, device=target.device)
        try:
            sizing = _connect_at(sock, snapshot, target, own_there, reservation)
        except (OSError, RebindError) as error:
            _put_back(sock, snapshot, own, was_frozen=was_frozen)
            raise error if isinstance(error, RebindError) else RebindError(str(error)) from error
        silence_s = quiet_s(sock)
        try:
            lacking = _go_on(sock, snapshot, target)
        except OSError as error:
            raise ConnectionLostError(f"the connection ended at its new place: {error}") from error
        return Rebound(
            local=local_end(sock),
            received=snapshot.rcv_nxt,
            sent_again=lacking,
            sizing=sizing,
            own=own_there,
            stopped_s=clock.elapsed_s(),
            quiet_s=silence_s,
        )


def probe_connection(connection: Connection) -> None:
    """Send a segment that the peer's kernel answers at once, whatever the two programs do.

    Args:
        connection: live.

    Raises:
        RebindError: it can't be done.

    Source: ``tcp_send_window_probe`` in ``net/ipv4/tcp_output.c``.
    """
    with _kernel_errors("probe"), _stopped(connection) as (sock, _):
        set_repair(sock, options.REPAIR_ON)
        set_repair(sock, options.REPAIR_OFF_WITH_PROBE)


def open_window(connection: Connection, sizing: WindowSizing) -> None:
    """Let an end that was first in place announce its window again: the other end is in place too.

    Args:
        connection: rebound with ``first_in_place``.
        sizing: `Rebound.sizing`.

    Raises:
        RebindError: it can't be done.
    """
    with _socket_of(connection) as sock, _kernel_errors("open"):
        sizing.apply(sock)


class _Clock:
    def __init__(self) -> None:
        self._start = time.perf_counter()

    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start


@contextmanager
def _stopped(connection: Connection) -> Iterator[tuple[socket, _Clock]]:
    _check_holders(connection)
    pids = {holder.pid for holder in connection.holders} - {os.getpid()}
    with _socket_of(connection) as sock:
        clock = _Clock()
        with (
            held_still(pids, lambda children: _holding(connection.inode, children)),
            _address_reuse_kept(sock),
        ):
            yield sock, clock


@contextmanager
def _address_reuse_kept(sock: socket) -> Iterator[None]:
    """Give ``SO_REUSEADDR`` back, which leaving repair mode takes: a server could not be started anew."""
    reuse = sock.getsockopt(SOL_SOCKET, SO_REUSEADDR)
    try:
        yield
    finally:
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, reuse)


@contextmanager
def _socket_of(connection: Connection) -> Iterator[socket]:
    """Borrow the socket from whichever holder still has it."""
    for holder in connection.holders:
        with suppress(SocketGoneError), borrowed(holder) as sock:
            # The number of a closed descriptor may be another file's by now.
            if os.fstat(sock.fileno()).st_ino == connection.inode:
                yield sock
                return
    raise SocketGoneError("no program holds the connection any more")


def _holding(inode: int, pids: frozenset[int]) -> set[int]:
    return {holder.pid for holder in find_holders([inode], pids).get(inode, ())}


@contextmanager
def _kernel_errors(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RebindError(f"can't {verb} the connection: {error}") from error


def _check_holders(connection: Connection) -> None:
    for holder in connection.holders:
        if holder.uses_io_uring:
            raise UnsupportedSocketError(
                f"{holder.program} ({holder.pid}) uses io_uring, which goes on while the program stands still"
            )


def _own_options(sock: socket, own: OwnOptions | None, *, was_frozen: bool) -> OwnOptions:
    if own is not None:
        return own
    if was_frozen:
        raise RebindError("the connection is frozen and its program's own options are not known")
    check_no_own_filter(sock)
    return read_own_options(sock)


def _read_numbers(sock: socket) -> tuple[int, int, int]:
    with repair_mode(sock):
        write_seq = tcp.sequence(sock, options.SEND_QUEUE)
        received = tcp.sequence(sock, options.RECEIVE_QUEUE)
        acknowledged = write_seq - tcp.queue_length(sock, options.SIOCOUTQ)
        sent = write_seq - tcp.queue_length(sock, options.SIOCOUTQNSD)
    return received, acknowledged % _SEQUENCE, sent % _SEQUENCE


def _checked_snapshot(sock: socket, target: Target) -> Snapshot:
    snapshot = take_snapshot(sock)
    received_of_ours = (target.peer_received - snapshot.snd_una) % _SEQUENCE
    if received_of_ours > (snapshot.snd_nxt - snapshot.snd_una) % _SEQUENCE:
        # The reason goes to the peer too, and the right numbers are nothing for one who asks with wrong ones.
        raise RebindError("what the peer says that it has received can't be right")
    return snapshot


def _connect_at(
    sock: socket, snapshot: Snapshot, target: Target, own: OwnOptions, reservation: socket | None
) -> WindowSizing:
    disconnect(sock)
    restore_routing(sock, own)
    sock.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, own.device.encode())
    local = target.local or snapshot.local
    if reservation is not None:
        reservation.close()
    bind_keeping_port(sock, local, same_address=local.address == snapshot.local.address)
    sizing = connect_restored(
        sock,
        snapshot,
        target.remote,
        send_from=target.peer_received,
        first_in_place=target.first_in_place,
    )
    if target.local not in (None, local_end(sock)):
        raise RebindError(f"port {local.port} on {local.address} was taken by another program")
    return sizing


def _go_on(sock: socket, snapshot: Snapshot, target: Target) -> int:
    """Leave repair mode and queue what the peer lacks; return how many bytes of it had been sent before."""
    listen_again(sock)
    set_repair(sock, options.REPAIR_OFF_SILENT if target.first_in_place else options.REPAIR_OFF_WITH_PROBE)
    received_of_ours = (target.peer_received - snapshot.snd_una) % _SEQUENCE
    send_again(sock, snapshot.outgoing[received_of_ours:])
    return (snapshot.snd_nxt - target.peer_received) % _SEQUENCE


def _put_back(sock: socket, snapshot: Snapshot, own: OwnOptions, *, was_frozen: bool) -> None:
    """Restore the connection where it was. It is frozen meanwhile, so its old address may be gone."""
    try:
        disconnect(sock)
        freeze(sock)
        bind_keeping_port(sock, snapshot.local, same_address=True)
        connect_restored(sock, snapshot, snapshot.remote, send_from=snapshot.snd_una, first_in_place=False)
        set_repair(sock, options.REPAIR_OFF_SILENT)
        if not was_frozen:
            unfreeze(sock, own)
        send_again(sock, snapshot.outgoing)
    except OSError as error:
        raise ConnectionLostError(f"the connection could not be put back: {error}") from error
