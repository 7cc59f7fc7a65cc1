"""What a resource handler is, and the hook by which a plugin offers its handlers.

A handler knows one kind of descriptor. It says what is needed to make such a descriptor again, and makes it.
As with monitors, pluggy only *finds* handlers; everything after that is the typed `ResourceHandler`.

Source: the Migrate paper, section V-B, "resource continuations".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, runtime_checkable

import pluggy

from migrated.kernel.freeze import OwnOptions

PROJECT: Final = "migrate"
ENTRY_POINT_GROUP: Final = "migrate.resources"

_hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ResourceError(Exception):
    """A descriptor can't be suspended or made again; nothing has changed, and the message says why."""


class ResourceLostError(ResourceError):
    """A descriptor can never be made again: what it led to is gone or has become something else."""


class Keep(IntEnum):
    """What must stay open so that a descriptor can be made again."""

    NOTHING = 0
    ITSELF = 1
    SAME_FILE = 2
    """Another descriptor of the same file, which is kept in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The user whose descriptors they are: files are opened again with these rights."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """An open descriptor that a handler is asked about. It must not be closed or used up.

    Attributes:
        number: of this process.
        name: by which the program calls it.
        status: what fstat(2) says.
        owner: whose it is.
        same_file: another descriptor of the same device and inode, which is kept; or ``None``.
        own: of the frozen connection of a session, the program's own socket options; else ``None``.
    """

    number: int
    name: str
    status: os.stat_result
    owner: Owner
    same_file: int | None = None
    own: OwnOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """A descriptor as it goes on record: what its handler will need, and what stays open meanwhile."""

    state: bytes
    keep: Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A descriptor that is open again. ``reports`` tells people what has changed meanwhile."""

    descriptor: int
    reports: tuple[str, ...] = ()


@runtime_checkable
class ResourceHandler(Protocol):
    """Know one kind of descriptor."""

    @property
    def kind(self) -> str:
        """Return the name of this kind: lower case, unique, and stored, so that it must not change."""
        ...

    def suspend(self, descriptor: Descriptor) -> Suspended | None:
        """Say what is needed to make a descriptor again; change nothing that its program could notice.

        Returns:
            ``None`` if it is not of this kind, or can't be given up; it is then offered to other handlers.

        Raises:
            Exception: whatever went wrong; the descriptor is offered to other handlers.
        """
        ...

    def give_up(self, descriptor: int) -> None:
        """Give up what a descriptor holds beyond itself; its state is on record. The caller closes it.

        Raises:
            ResourceError: it can't be done, and nothing was.
        """
        ...

    def resume(self, state: bytes, keep: Keep, kept: int | None, owner: Owner) -> Resumed:
        """Make a descriptor again.

        Args:
            state: of `Suspended`.
            keep: likewise.
            kept: what stayed open: itself, which is to be returned, or another one of the same file. ``None``
                if nothing did, or if it was lost when the daemon ended.
            owner: whose it is.

        Raises:
            ResourceLostError: it can never be made again.
            ResourceError: it can't be made now; nothing was.
        """
        ...

    def forget(self, state: bytes) -> None:
        """Undo what `suspend` has prepared beside the descriptor: it was made again, or will never be.

        Raises:
            ResourceError: it can't be done.
        """
        ...


@_hookspec
def migrate_resources() -> Iterable[ResourceHandler]:
    """Return the resource handlers that this plugin offers."""
    raise NotImplementedError
