"""What the protocol talks about: connections, paths and the tuples that move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from sessionlayer.protocol.limits import HOLD_S


class Role(Enum):
    """Which end of the TCP connection we are: ``CLIENT`` opened it."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A TCP connection as this end sees it now. Addresses are text in canonical form."""

    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    role: Role

    def with_local(self, address: str, port: int) -> Connection:
        """Return the connection after our end moved to ``address`` and ``port``."""
        return replace(self, local_address=address, local_port=port)

    def with_remote(self, address: str, port: int) -> Connection:
        """Return the connection after the peer's end moved to ``address`` and ``port``."""
        return replace(self, remote_address=address, remote_port=port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way of a datagram: our address (``None``: the kernel chooses) and where the peer's daemon is."""

    local_address: str | None
    remote_address: str
    remote_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A connection offered for adoption, with the 16-byte id that its session would have.

    ``connection`` is as the *receiving* end of the proposal sees it.
    """

    session_id: bytes
    connection: Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What the shell says of a connection that it froze and wants to move.

    Attributes:
        session_id: 16 bytes.
        address: our new local address.
        port: our new local port, reserved by the shell.
        received: the next TCP sequence number that we expect.
        sent: one past the last TCP sequence number that we may have sent.
        in_place: whether our socket is on the new tuple already, with its send window closed.
    """

    session_id: bytes
    address: str
    port: int
    received: int
    sent: int
    in_place: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebinding:
    """What the shell is to do with one connection whose peer moved.

    Attributes:
        session_id: 16 bytes.
        epoch: the number of this move, for the log.
        address: the peer's new address.
        port: the peer's new port.
        received: the next TCP sequence number that the peer expects; ours to send is this one.
        sent: one past the last TCP sequence number that the peer may have sent.
        in_place: the peer is on the new tuple already. If our own address and port stay as they are, leave
            the send window open: data may flow at once. Otherwise restore with the window closed: our end
            must be silent until it hears the peer.
        wanted: our own new address and port where we had asked to move at the same time and gave way.
    """

    session_id: bytes
    epoch: int
    address: str
    port: int
    received: int
    sent: int
    in_place: bool
    wanted: tuple[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What the shell needs to finish our own move: the peer's address, port and ``received``."""

    session_id: bytes
    epoch: int
    address: str
    port: int
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebound:
    """A connection was rebound for the peer; our own address, port and next expected sequence number.

    ``quiet_s`` says for how many seconds its kernel is sure to keep still without hearing the peer.
    """

    session_id: bytes
    address: str
    port: int
    received: int
    quiet_s: float = HOLD_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Our own move of a connection is finished: it is in place and live."""

    session_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The kernel work on a connection failed and was undone; ``reason`` goes to the log and to the peer.

    ``frozen``: our end is suspended and stays so; the peer is to keep its end frozen and to ask again later.
    """

    session_id: bytes
    reason: str
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The shell's answer to a proposal: adopted, or refused with a ``reason``."""

    session_id: bytes
    reason: str | None
