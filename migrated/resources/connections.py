"""TCP connections of sessions: given up entirely, and made again frozen where they were."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from migrated.kernel.endpoint import local_end, remote_end
from migrated.kernel.errors import RebindError
from migrated.kernel.guard import Ends, guard, unguard
from migrated.kernel.release import ReleasedConnection, give_up, read_released, remake
from migrated.resources.spec import Descriptor, Keep, Owner, ResourceError, Resumed, Suspended


class ConnectionHandler:
    """Release the frozen connections of sessions; every other socket is left to other handlers."""

    kind = "connection"

    def suspend(self, descriptor: Descriptor) -> Suspended | None:
        """Read a connection and let no segment provoke an answer from now on.

        Returns:
            ``None`` for anything but the frozen connection of a session.

        Raises:
            RebindError: it can't be made again (half closed, say), or the kernel can't be kept silent.
        """
        if descriptor.own is None or not stat.S_ISSOCK(descriptor.status.st_mode):
            return None
        with _socket(descriptor.number) as sock:
            released = read_released(sock, descriptor.own)
            guard([ends_of(released)])
            return Suspended(state=bytes(released), keep=Keep.NOTHING)

    def give_up(self, descriptor: int) -> None:
        """Forget the connection without a packet, whoever else holds it.

        Raises:
            ResourceError: the kernel refuses.
        """
        try:
            with _socket(descriptor) as sock:
                guard([Ends(local=local_end(sock), remote=remote_end(sock))])
                give_up(sock)
        except (OSError, RebindError) as error:
            raise ResourceError(f"the connection can't be given up: {error}") from error

    def resume(self, state: bytes, keep: Keep, kept: int | None, owner: Owner) -> Resumed:
        """Make the connection again, frozen.

        Raises:
            ResourceError: something else has its place, or the kernel refuses.
        """
        try:
            return Resumed(descriptor=remake(_decoded(state)).detach())
        except RebindError as error:
            raise ResourceError(str(error)) from error

    def forget(self, state: bytes) -> None:
        """Let segments in again.

        Raises:
            ResourceError: the kernel refuses.
        """
        try:
            unguard([ends_of(_decoded(state))])
        except RebindError as error:
            raise ResourceError(str(error)) from error


def ends_of(released: ReleasedConnection) -> Ends:
    """Return where a released connection is."""
    return Ends(local=released.snapshot.local, remote=released.snapshot.remote)


def ends_in(state: bytes) -> Ends:
    """Return where the connection of a handler's state is.

    Raises:
        ResourceError: the state is damaged.
    """
    return ends_of(_decoded(state))


def _decoded(state: bytes) -> ReleasedConnection:
    try:
        return ReleasedConnection.from_bytes(state)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResourceError(f"what is on record of the connection is damaged: {error}") from error


@contextmanager
def _socket(descriptor: int) -> Iterator[socket.socket]:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        yield sock
