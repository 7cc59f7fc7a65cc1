"""The functions that internal continuations name, and what takes up sessions of other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_functions: Final[dict[str, Callable[..., Any]]] = {}
_attached: Final[dict[str, Callable[..., Any]]] = {}


def function(name: str) -> Callable[[F], F]:
    """Register a function under the name by which internal continuations know it.

    It is called with the session and its connection: ``(session, reader, writer)`` in an asyncio program,
    ``(session, connection)`` with threads, in a thread of its own. Other processes and later versions of the
    program find it by its name, so the name should stay.

    Raises:
        ValueError: the name is taken by another function.
    """

    def register(found: F) -> F:
        if _functions.setdefault(name, found) is not found:
            raise ValueError(f"there is another function under the name `{name}`: take another name")
        return found

    return register


def name_of(found: str | Callable[..., Any]) -> str:
    """Return the name of a registered function.

    Raises:
        ValueError: it is not registered.
    """
    for name, candidate in _functions.items():
        if found in (name, candidate):
            return name
    shown = found if isinstance(found, str) else getattr(found, "__name__", repr(found))
    raise ValueError(
        f'`{shown}` is not registered: write `@migrate.function("{shown}")` above it{_hint(shown)}'
    )


def find(name: str) -> Callable[..., Any] | None:
    """Return the function of a name, or ``None``."""
    return _functions.get(name)


def attach(program: str, handler: Callable[..., Any]) -> None:
    """Remember who takes up sessions that nobody else goes on with."""
    _attached[program] = handler


def attached() -> Callable[..., Any] | None:
    """Return the attach handler of this program, the first one, or ``None``."""
    return next(iter(_attached.values()), None)


def _hint(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, _functions, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""
