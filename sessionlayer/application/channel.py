"""The socket to the local daemon: where it is, and messages with descriptors through it."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

import msgspec

from sessionlayer.application.errors import DaemonGoneError, UnavailableError
from sessionlayer.application.messages import (
    DESCRIPTORS_MAX,
    MESSAGE_MAX,
    SOCKET_NAME,
    Answer,
    Request,
    decode_answer,
    encode,
)

VARIABLE: Final = "MIGRATE_APPLICATION_SOCKET"
"""The environment variable that names the daemon's socket where it is in an unusual place."""

_SYSTEM: Final = f"/run/migrate/{SOCKET_NAME}"

_HELP: Final = (
    "start the daemon with `migrated`, name its socket in the environment variable "
    f"`{VARIABLE}`, or use a virtual stream of `sessionlayer.aio`, which needs no daemon"
)


def find_socket() -> str | None:
    """Return the path of the daemon's socket, or ``None`` where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    user = os.environ.get("XDG_RUNTIME_DIR")
    places = [_SYSTEM, *([f"{user}/migrate/{SOCKET_NAME}"] if user else [])]
    return next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110 - pathlib is slow to import


def connect(path: str | None = None) -> socket.socket:
    """Return a connection to the daemon.

    Raises:
        UnavailableError: there is no daemon, or it lets nobody in.
    """
    place = path or find_socket()
    if place is None:
        raise UnavailableError(f"no Migrate daemon is running here: {_HELP}")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connection.connect(place)
    except OSError as error:
        connection.close()
        raise UnavailableError(
            f"no Migrate daemon answers at `{place}`: {error.strerror}; {_HELP}"
        ) from error
    return connection


def send(connection: socket.socket, message: Request, descriptors: Sequence[int] = ()) -> None:
    """Send one message. The descriptors remain the caller's.

    Raises:
        ValueError: the message is too long, or has too many descriptors.
        DaemonGoneError: the daemon is not there any more.
    """
    data = encode(message)
    if len(data) > MESSAGE_MAX or len(descriptors) > DESCRIPTORS_MAX:
        raise ValueError(
            f"a message of {len(data)} bytes and {len(descriptors)} descriptors is too large: "
            f"at most {MESSAGE_MAX} and {DESCRIPTORS_MAX}"
        )
    try:
        socket.send_fds(connection, [data], list(descriptors))
    except (BrokenPipeError, ConnectionError) as error:
        raise DaemonGoneError("the Migrate daemon has gone away") from error


def send_or_drop(connection: socket.socket, message: Request) -> bool:
    """Send one message if that can be done at once, and return whether it was sent.

    Raises:
        DaemonGoneError: the daemon is not there any more.
    """
    try:
        connection.send(encode(message), socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (BrokenPipeError, ConnectionError) as error:
        raise DaemonGoneError("the Migrate daemon has gone away") from error
    return True


def receive(connection: socket.socket) -> tuple[Answer, list[int]]:
    """Return the next message and its descriptors, which are the caller's now.

    Raises:
        DaemonGoneError: the daemon is gone, or talks what we don't understand.
    """
    try:
        data, descriptors, flags, _ = socket.recv_fds(
            connection, MESSAGE_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC
        )
    except OSError as error:
        raise DaemonGoneError(f"the Migrate daemon has gone away: {error}") from error
    try:
        return _decoded(data, flags), descriptors
    except DaemonGoneError:
        close_all(descriptors)
        raise


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)


def _decoded(data: bytes, flags: int) -> Answer:
    if not data:
        raise DaemonGoneError("the Migrate daemon has gone away")
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise DaemonGoneError(
            "a message of the Migrate daemon was cut off: is the limit of open files too low?"
        )
    try:
        return decode_answer(data)
    except msgspec.DecodeError as error:
        raise DaemonGoneError(
            f"the Migrate daemon talks another language: {error}; is it another version?"
        ) from error
