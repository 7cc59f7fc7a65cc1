"""Bind sockets to the ports that they had, or to ones that are free, without locking them there."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from pathlib import Path
from typing import Final

from migrated.kernel import options
from migrated.kernel.endpoint import EndPoint, socket_address
from migrated.kernel.errors import UnsupportedSocketError
from migrated.kernel.freeze import attach_drop_filter

SPARE_SHARE: Final = 16
"""One descriptor in so many is left to the rest of the daemon, which could do nothing without any."""

_EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def reserve_port(address: str) -> socket.socket:
    """Reserve an ephemeral port on an address that a connection will move to.

    The moving end must name its new port before its socket can have it. Close the reservation right
    before the socket is rebound: a port that is asked for by a range must be free.

    It is a new port each time. A connection that comes back to a place where it was before could meet
    segments there that were held up on the way; it would answer them, and its answer would meet nobody and
    be taken for the end of the connection (RFC 9293, section 3.4.3, "quiet time").

    Args:
        address: a local address.

    Returns:
        A socket that holds the port until it is closed.

    Raises:
        OSError: the address is not there, no port is free, or too few descriptors would be left.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reservation = socket.socket(family, socket.SOCK_STREAM)
    try:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The kernel gives the lowest number that is free.
        if reservation.fileno() >= most - most // SPARE_SHARE:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(socket_address(reservation, EndPoint(address=address, port=0)))
        # What the peer sends there too early must not be answered with a reset.
        attach_drop_filter(reservation)
        reservation.listen(0)
    except BaseException:
        reservation.close()
        raise
    return reservation


def bind_keeping_port(sock: socket.socket, local: EndPoint, *, same_address: bool) -> None:
    """Bind a disconnected socket, to the same port if that can be had without losing mobility.

    A bind with an explicit port locks the port for the socket's life, and with it the address. So an
    ephemeral port is asked for by a range of one. A port outside the ephemeral range (a server's) is
    bound explicitly where the address stays, because firewalls know that port, and given up elsewhere.

    Args:
        sock: disconnected and in repair mode (which lets it share the port with a listener).
        local: the wanted address, and the port it had.
        same_address: whether the socket had this address before.

    Raises:
        UnsupportedSocketError: the socket's port is locked and the address is another one.
        OSError: the address is not there.

    Source: ip(7), ``IP_LOCAL_PORT_RANGE``; ``__inet_bind`` in ``net/ipv4/af_inet.c``.
    """
    lowest, highest = map(int, _EPHEMERAL_RANGE.read_text().split())
    any_port = socket_address(sock, EndPoint(address=local.address, port=0))
    try:
        if lowest <= local.port <= highest:
            _bind_ephemeral(sock, any_port, local.port)
        elif same_address:
            sock.bind(socket_address(sock, local))
        else:
            sock.bind(any_port)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        if not same_address:
            raise UnsupportedSocketError(
                "its local port is bound for good, so its address can't change"
            ) from error
        # Locked on this very address and port: the socket never lost them.


def _bind_ephemeral(
    sock: socket.socket, any_port: tuple[str, int] | tuple[str, int, int, int], port: int
) -> None:
    sock.setsockopt(socket.IPPROTO_IP, options.IP_LOCAL_PORT_RANGE, struct.pack("=HH", port, port))
    try:
        sock.bind(any_port)
        return
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    finally:
        sock.setsockopt(socket.IPPROTO_IP, options.IP_LOCAL_PORT_RANGE, 0)
    sock.bind(any_port)
