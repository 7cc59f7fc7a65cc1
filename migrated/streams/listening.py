"""Sockets on which programs of this host are served: TCP ports, and Unix sockets for their owner alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from migrated.control.socketfile import identity, remove_if
from migrated.streams.addresses import Destination, Endpoint, UnixEndpoint
from migrated.streams.outcomes import Outcome, StreamProgramError
from migrated.streams.words import reason

BACKLOG: Final = 128
"""Connections that the kernel keeps while as many as are allowed are open; further ones have to wait."""

_PROBE_TIMEOUT_S: Final = 2.0


@contextmanager
def listening(places: Iterable[Destination]) -> Iterator[list[socket.socket]]:
    """Listen at all places, in their order, while the block lasts.

    Raises:
        StreamProgramError: one of them can't be listened on.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(_listening(place)) for place in places]


@contextmanager
def _listening(place: Destination) -> Iterator[socket.socket]:
    with _errors(place):
        sock = _tcp(place) if isinstance(place, Endpoint) else _unix(place)
    ours = identity(Path(place.path)) if isinstance(place, UnixEndpoint) else None
    try:
        yield sock
    finally:
        sock.close()
        if isinstance(place, UnixEndpoint):
            remove_if(Path(place.path), ours)


@contextmanager
def _errors(place: Destination) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot listen on {place}: {reason(error)}; choose another place, or end who has it"
        raise StreamProgramError(message, Outcome.BROKEN) from error


def _tcp(place: Endpoint) -> socket.socket:
    if not place.host:
        return _started(socket.create_server(("", place.port), family=socket.AF_INET6, dualstack_ipv6=True))
    family, _, _, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
    return _started(socket.create_server(address[:2], family=family))


def _unix(place: UnixEndpoint) -> socket.socket:
    _remove_stale(Path(place.path))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # from its first instant on, nobody else may connect
    try:
        sock.bind(place.path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return _started(sock)


def _started(sock: socket.socket) -> socket.socket:
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _remove_stale(path: Path) -> None:
    """Remove the socket that a dead program left.

    Raises:
        OSError: somebody listens there, or it is something else.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "there is a file of another kind")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(ConnectionRefusedError):
        probe.settimeout(_PROBE_TIMEOUT_S)
        probe.connect(str(path))
        raise FileExistsError(0, "another program listens there")
    path.unlink()
