"""What a daemon does to one end of a connection, step by step, on orders that arrive as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from socket import socket
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from migrated.kernel.endpoint import EndPoint
from migrated.kernel.errors import RebindError
from migrated.kernel.ports import reserve_port
from migrated.kernel.rebind import (
    Connection,
    Frozen,
    Rebound,
    Target,
    freeze_connection,
    locate,
    open_window,
    park_connection,
    rebind_connection,
    thaw_connection,
)
from migrated.kernel.routing import prepare_frozen_route


@dataclass
class End:
    """One end of the connection. Each public method is an order."""

    connection: Connection = field(init=False)
    frozen: Frozen = field(init=False)
    rebound: Rebound = field(init=False)
    reservation: socket = field(init=False)

    def find(self, inode: int) -> None:
        """Prepare the host, find the connection, and park and thaw it once."""
        asyncio.run(prepare_frozen_route())
        self.connection = locate(inode)
        thaw_connection(self.connection, park_connection(self.connection))

    def freeze(self, address: str) -> list[int]:
        """Freeze the connection and reserve its port at another address."""
        self.frozen = freeze_connection(self.connection)
        self.reservation = reserve_port(address)
        return [self.reservation.getsockname()[1], self.frozen.received]

    def follow(self, address: str, port: int, received: int) -> list[Any]:
        """Rebind the end that stays."""
        remote = EndPoint(address=address, port=port)
        self.rebound = self._rebind(None, None, remote, received, first=True)
        return [self.rebound.local.address, self.rebound.local.port, self.rebound.received]

    def move(self, local: list[Any], device: str, remote: list[Any], received: int) -> None:
        """Rebind the end that moves."""
        self.reservation.close()
        here = EndPoint(address=local[0], port=local[1])
        there = EndPoint(address=remote[0], port=remote[1])
        self._rebind(here, device, there, received, first=False)

    def finish(self) -> None:
        """Let the end that stays announce its window again."""
        open_window(self.connection, self.rebound.sizing)

    def _rebind(
        self, local: EndPoint | None, device: str | None, remote: EndPoint, received: int, *, first: bool
    ) -> Rebound:
        target = Target(
            local=local, device=device, remote=remote, peer_received=received, first_in_place=first
        )
        return rebind_connection(self.connection, target, own=self.frozen.own if local else None)


def _obey(order: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    try:
        return [True, order(*arguments)]
    except (OSError, NetlinkError, RebindError) as error:
        return [False, f"{type(error).__name__}: {error}"]


def main() -> None:
    """Serve orders until the input ends."""
    end = End()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(_obey(getattr(end, name), arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
