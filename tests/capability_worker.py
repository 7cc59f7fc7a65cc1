"""What a daemon does to one end of a connection, step by step, on orders that arrive as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from socket import socket
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from migrated.continuations.bounds import Sender, StartRefusedError
from migrated.continuations.spawn import start
from migrated.kernel.endpoint import EndPoint
from migrated.kernel.errors import RebindError
from migrated.kernel.guard import Ends, guard, remove_if_empty, unguard
from migrated.kernel.holders import duplicate
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
from migrated.kernel.release import give_up, read_released, remake
from migrated.kernel.routing import prepare_frozen_route
from sessionlayer.continuations.values import Process


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

    def suspend(self) -> int:
        """Release the connection and make it again; return whose it is then."""
        frozen = freeze_connection(self.connection)
        with duplicate(self.connection.holders[0]) as sock:
            released = read_released(sock, frozen.own)
            ends = [Ends(local=released.snapshot.local, remote=released.snapshot.remote)]
            guard(ends)
            give_up(sock)
        with remake(released) as sock:
            unguard(ends)
            remove_if_empty()
            return os.fstat(sock.fileno()).st_uid

    def start(self, uid: int) -> str:
        """Start a program of another user's; return its user and groups as it tells them."""
        process = Process(
            argv=("/bin/sh", "-c", "echo $(id -u) $(id -G)"),
            environment={"PATH": "/usr/bin:/bin"},
            directory="/",
            uid=uid,
            euid=uid,
            gid=uid,
            egid=uid,
            groups=(100,),
            umask=0o22,
            nice=0,
        )
        return asyncio.run(_told(process))

    def _rebind(
        self, local: EndPoint | None, device: str | None, remote: EndPoint, received: int, *, first: bool
    ) -> Rebound:
        target = Target(
            local=local, device=device, remote=remote, peer_received=received, first_in_place=first
        )
        return rebind_connection(self.connection, target, own=self.frozen.own if local else None)


async def _told(process: Process) -> str:
    sender = Sender(pid=1, uid=process.uid, gid=process.gid, groups=frozenset(process.groups))
    reader, writer = os.pipe()
    started = await start(process, sender, writer, standard={"stdout": writer})
    os.close(writer)
    with os.fdopen(reader) as output:
        await started.wait()
        return output.read().strip()


def _obey(order: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    try:
        return [True, order(*arguments)]
    except (OSError, NetlinkError, RebindError, StartRefusedError) as error:
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
