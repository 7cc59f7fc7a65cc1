"""What the library holds of a program's connection: how to look into it, and how to take it away.

asyncio keeps bytes of its own: what was written and the kernel has not taken yet, and what has arrived and
the program has not read yet. Both belong to the rest of the session. asyncio has no public way to them, so
this is the one module that looks at its insides; what it does not recognise it refuses.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sessionlayer.application.errors import MigrateError

if TYPE_CHECKING:
    import asyncio

Connection: TypeAlias = Any
"""A socket, a descriptor, an `asyncio.StreamWriter` or a transport."""

Owner: TypeAlias = "asyncio.Task[Any] | None"
"""The task that serves a connection."""


@dataclass(frozen=True, slots=True)
class Buffered:
    """Bytes that are in the program's memory and nowhere else.

    Attributes:
        unsent: written by the program, not taken by the kernel.
        unread: taken from the kernel, not read by the program.
    """

    unsent: bytes = b""
    unread: bytes = b""


class Grip(Protocol):
    """The library's hold on one connection of the program."""

    def descriptor(self) -> int:
        """Return the connection's descriptor, which stays the program's; -1 where it is closed."""

    def buffered(self) -> Buffered:
        """Return what is in the program's memory.

        Raises:
            MigrateError: there is something that can't be given up.
        """

    def detach(self) -> int | None:
        """Take the connection out of the program's hands, if that can be done; return its new descriptor."""

    def drop(self) -> None:
        """Close the program's copy of a connection that has been given up."""


class SocketGrip:
    """A hold on a socket, or on a descriptor: nothing is buffered, and nothing can be taken away."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def descriptor(self) -> int:
        """Return the connection's descriptor; -1 where it is closed."""
        return self._connection if isinstance(self._connection, int) else int(self._connection.fileno())

    def buffered(self) -> Buffered:
        """Return nothing: a socket is as the kernel has it.

        Raises:
            MigrateError: it is an encrypted connection, whose keys are in the program's memory.
        """
        if hasattr(self._connection, "cipher"):
            raise _encrypted()
        return Buffered()

    def detach(self) -> int | None:
        """Return ``None``: whoever holds a socket can't be kept from using it."""
        return None

    def drop(self) -> None:
        """Close the socket."""
        if isinstance(self._connection, int):
            os.close(self._connection)
        else:
            self._connection.close()


class TransportGrip:
    """A hold on an asyncio transport, its reader and the task that serves it.

    Args:
        transport: of a TCP connection.
        reader: that is fed by it, if there is one.
        owner: the task that is cancelled when the connection is taken away.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        reader: asyncio.StreamReader | None,
        owner: Owner,
    ) -> None:
        self._transport = transport
        self._reader = reader
        self._owner = owner

    @classmethod
    def of(cls, connection: Connection, owner: Owner) -> TransportGrip:
        """Return the grip of an `asyncio.StreamWriter`, or of a transport, which has no owner."""
        transport = getattr(connection, "transport", None)
        if transport is None:
            return cls(connection, None, None)
        return cls(transport, getattr(connection, "_reader", None), owner)

    def descriptor(self) -> int:
        """Return the connection's descriptor; -1 where it is closed."""
        found = self._transport.get_extra_info("socket")
        return -1 if found is None else int(found.fileno())

    def buffered(self) -> Buffered:
        """Return what the transport and the reader hold.

        Raises:
            MigrateError: the connection is encrypted, or the event loop is not asyncio's own.
        """
        if self._transport.get_extra_info("sslcontext") is not None:
            raise _encrypted()
        return Buffered(self._unsent(), bytes(getattr(self._reader, "_buffer", b"")))

    def detach(self) -> int | None:
        """End the transport and the task, and return a descriptor of the connection, which lives on."""
        descriptor = os.dup(self.descriptor())
        if self._owner is not None:
            self._owner.cancel("its session has been suspended")
        self._transport.abort()
        return descriptor

    def drop(self) -> None:
        """Do nothing: the transport has been ended by `detach`, or the process ends."""

    def _unsent(self) -> bytes:
        expected = self._transport.get_write_buffer_size()
        if not expected:
            return b""
        buffer = getattr(self._transport, "_buffer", b"")
        unsent = bytes(buffer) if isinstance(buffer, bytes | bytearray) else b"".join(map(bytes, buffer))
        if len(unsent) != expected:
            raise MigrateError(
                f"{type(self._transport).__name__} has not sent {expected} bytes and does not give them out: "
                "use asyncio's own event loop, or drain before returning a continuation"
            )
        return unsent


def grip_of(connection: Connection, owner: Owner) -> Grip:
    """Return the right kind of grip of a socket, descriptor, writer or transport.

    Raises:
        TypeError: it is none of these.
    """
    if hasattr(connection, "get_extra_info"):
        return TransportGrip.of(connection, owner)
    if isinstance(connection, int) or hasattr(connection, "fileno"):
        return SocketGrip(connection)
    raise TypeError(
        "a session belongs to a connection: a socket, a descriptor, a writer or a transport, "
        f"not a {type(connection).__name__}"
    )


def _encrypted() -> MigrateError:
    return MigrateError(
        "the keys of a TLS connection can't be taken out of the program: let the handler return `None`, "
        "which keeps it, or encrypt by other means"
    )
