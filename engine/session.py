"""What a session is to the engine: a frozen description of its connections."""

from __future__ import annotations

from dataclasses import dataclass

from engine.attachment import address_number, canonical_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One transport connection, as it was when its session was created.

    Addresses are in text form, ports are numbers. ``user`` and ``app`` (the program's
    path or name) are ``None`` where nobody knows them. ``role`` is ``client`` for the
    end that opened the connection, else ``server``. ``remote_hosts`` are the names by which
    the other end is known, empty where it has none that anybody knows.
    """

    proto: str
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    user: str | None = None
    app: str | None = None
    role: str = "client"
    remote_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """A session's name and connections; policy is judged on these for its whole life.

    Ports and addresses may be others after a move: a statement under
    ``on l-port 3001-3010`` must not cease to apply because of that.

    Raises:
        ValueError: there is no connection, or an address is not one.
    """

    id: str
    connections: tuple[Connection, ...]

    def __post_init__(self) -> None:
        if not self.connections:
            raise ValueError(f"session `{self.id}` has no connection")
        for connection in self.connections:
            address_number(connection.local_address)
            address_number(connection.remote_address)

    @property
    def peer(self) -> str:
        """Return the address of the other end in canonical form."""
        return canonical_address(self.connections[0].remote_address)

    @property
    def family(self) -> int:
        """Return 4 or 6: the family that the peer is reached by."""
        return address_number(self.connections[0].remote_address)[0]
