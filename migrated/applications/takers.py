"""Who takes up the sessions that others gave up, and what this host offers to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from migrated.applications.client import Client
from migrated.applications.holding import Holding
from migrated.applications.refusal import RefusedError
from migrated.continuations.vectors import StoredVectors
from migrated.control.permission import may_access
from migrated.database import StoreError
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import NAME_MAX
from sessionlayer.continuations.values import Kind, Tag

ATTACH_HANDLERS_MAX: Final = 1024
"""Attach handlers that one program may register."""


class Takers:
    """The attach handlers and compatibility vectors of all programs, each user's apart.

    Args:
        vectors: what was registered, on disk.
    """

    def __init__(self, vectors: StoredVectors) -> None:
        self._vectors = vectors
        self._handlers: defaultdict[tuple[int, str], list[Client]] = defaultdict(list)

    def register(self, client: Client, program: str) -> None:
        """Let a client take up internal continuations of its user's program of this name.

        Raises:
            RefusedError: it has registered too many, or the name is too long.
        """
        if len(program) > NAME_MAX:
            raise RefusedError("bad-request", f"a program's name has at most {NAME_MAX} characters")
        found = self._handlers[client.who.uid, program]
        if client in found:
            return
        if sum(client in clients for clients in self._handlers.values()) >= ATTACH_HANDLERS_MAX:
            raise RefusedError("busy", f"{ATTACH_HANDLERS_MAX} attach handlers are registered already")
        found.append(client)

    def offer(self, client: Client, program: str, tags: Sequence[Tag]) -> None:
        """Take in what this host offers to a program; it stays until it is said anew.

        Raises:
            RefusedError: a bound is broken.
        """
        try:
            self._vectors.register(client.who.uid, program, tags)
        except ContinuationError as error:
            raise RefusedError("bad-request", str(error)) from error
        except StoreError as error:
            raise RefusedError("store", str(error)) from error

    def offered(self, holding: Holding) -> tuple[Tag, ...]:
        """Return what this host offers to the program that a session needs."""
        return self._vectors.offered(holding.uid, holding.program)

    def gone(self, client: Client) -> None:
        """Forget a program that went away."""
        for key in [key for key, clients in self._handlers.items() if client in clients]:
            self._handlers[key].remove(client)
            if not self._handlers[key]:
                del self._handlers[key]

    def taker(self, holding: Holding) -> Client | None:
        """Return who goes on with a session: the program that returned it or, if it is gone, another."""
        if holding.client is not None and holding.client.open:
            return holding.client
        if holding.kind is not Kind.INTERNAL:
            return None
        offered = self._handlers.get((holding.uid, holding.program), ())
        return next((client for client in offered if may_access(client.who, holding.uid)), None)
