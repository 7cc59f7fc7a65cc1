"""Which sessions suspend and resume with which others.

A session that depends on a parent suspends when the parent does, and not the other way round (section IV-D).

The order of suspension is children first: the continuation of a parent may be a complete one, with which its
process ends, and then nobody is left to make those of the children that live in the same process. The order
of resumption is the reverse, parents first: a child finds what it leans on (the paper's forwarded connection
its shell session) in place. Parent first in both directions, the literal reading of the paper's
example, would lose the children of every program that ends.

Source: the Migrate paper, section IV-D and Fig. 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sessionlayer.continuations.errors import ContinuationError, DependencyCycleError
from sessionlayer.continuations.limits import PARENTS_MAX


class Dependencies:
    """Hold parents and children of sessions, named by their ids. There is never a cycle in it."""

    def __init__(self) -> None:
        self._parents: dict[bytes, dict[bytes, None]] = {}
        self._children: dict[bytes, dict[bytes, None]] = {}

    def add(self, child: bytes, parent: bytes) -> None:
        """Let ``child`` suspend and resume with ``parent``. Saying it twice is saying it once.

        Raises:
            DependencyCycleError: ``parent`` depends on ``child``, or is ``child``.
            ContinuationError: ``child`` has too many parents.
        """
        if (way := self._way(parent, child)) is not None:
            raise DependencyCycleError(tuple(session.hex() for session in (child, *way)))
        parents = self._parents.setdefault(child, {})
        if parent not in parents and len(parents) >= PARENTS_MAX:
            what = f"it depends on {PARENTS_MAX} sessions, no more are allowed"
            raise ContinuationError(
                f"session `{child.hex()}`", what, "let it depend on one that depends on the others"
            )
        parents[parent] = None
        self._children.setdefault(parent, {})[child] = None

    def forget(self, session: bytes) -> None:
        """Forget a session that has ended; its children depend on its other parents alone."""
        for parent in self._parents.pop(session, {}):
            _discard(self._children, parent, session)
        for child in self._children.pop(session, {}):
            _discard(self._parents, child, session)

    def parents(self, session: bytes) -> tuple[bytes, ...]:
        """Return the sessions that this one was said to depend on."""
        return tuple(self._parents.get(session, ()))

    def children(self, session: bytes) -> tuple[bytes, ...]:
        """Return the sessions that were said to depend on this one."""
        return tuple(self._children.get(session, ()))

    def suspension(self, sessions: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return these sessions and all that depend on them, every child before its parents."""
        return tuple(_after_all(sessions, self.children))

    def _way(self, start: bytes, end: bytes) -> tuple[bytes, ...] | None:
        """Return a way from ``start`` over parents to ``end``, both included."""
        came_from: dict[bytes, bytes | None] = {start: None}
        waiting = [start]
        while waiting:
            session = waiting.pop()
            if session == end:
                return tuple(_back(came_from, end))[::-1]
            for parent in self.parents(session):
                if parent not in came_from:
                    came_from[parent] = session
                    waiting.append(parent)
        return None


def _after_all(roots: Iterable[bytes], below: Callable[[bytes], tuple[bytes, ...]]) -> Iterator[bytes]:
    """Yield every session once, after everything below it; a chain may be longer than the stack is deep."""
    seen: set[bytes] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            session, expanded = stack.pop()
            if expanded:
                yield session
            elif session not in seen:
                seen.add(session)
                stack.append((session, True))
                stack.extend((child, False) for child in below(session))


def _back(came_from: dict[bytes, bytes | None], end: bytes) -> Iterator[bytes]:
    step: bytes | None = end
    while step is not None:
        yield step
        step = came_from[step]


def _discard(table: dict[bytes, dict[bytes, None]], key: bytes, value: bytes) -> None:
    table[key].pop(value, None)
    if not table[key]:
        del table[key]
