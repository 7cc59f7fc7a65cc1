"""The continuations that a program returns: what is to be known of them, and their open descriptors.

They become a `sessionlayer.continuations.values.Continuation`, with the session's attributes, at the moment
when they are given up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sessionlayer.continuations.values import CONNECTION, Kind, Process, Tag

if TYPE_CHECKING:
    from sessionlayer.application.session import Session

_NAME_MAX: Final = 255


class HasDescriptor(Protocol):
    """Anything with a descriptor: a file, a socket, a pipe."""

    def fileno(self) -> int:
        """Return the descriptor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """The rest of a session, as a handler returns it. Made by `complete`, `internal` and `system`.

    Attributes:
        descriptors: what is needed besides the connection, by name.
        function: of an internal continuation, the name of the function that goes on.
        process: of a complete continuation, what is started anew.
        compatibility: what has to be as it is now; ``None`` for what `Session.compat_store` has said.
        on_expiry: go on from it, without a connection, also when the session has expired.
    """

    descriptors: Mapping[str, int | HasDescriptor] = field(default_factory=dict)
    function: str = ""
    process: Process | None = None
    compatibility: tuple[Tag, ...] | None = None
    on_expiry: bool = False

    def __post_init__(self) -> None:
        for name in self.descriptors:
            if not 0 < len(name) <= _NAME_MAX or name == CONNECTION:
                raise ValueError(
                    f"`{name}` can't name a descriptor: take 1 to {_NAME_MAX} characters, and another word "
                    f"than `{CONNECTION}`, which is the session's own"
                )

    @property
    def kind(self) -> Kind:
        """Return what is needed to go on from it."""
        if self.process is not None:
            return Kind.COMPLETE
        return Kind.INTERNAL if self.function else Kind.SYSTEM

    def numbers(self) -> tuple[int, ...]:
        """Return the descriptors in the order of their names."""
        return tuple(item if isinstance(item, int) else item.fileno() for item in self.descriptors.values())


def complete(
    session: Session,
    *,
    descriptors: Mapping[str, int | HasDescriptor] | None = None,
    process: Process | None = None,
    compatibility: Sequence[Tag] | None = None,
    on_expiry: bool = False,
) -> Continuation:
    """Continue in a new process: this one ends as soon as the daemon has the continuation.

    It ends at once (`os._exit`, after its standard streams are flushed), so that nothing that is done at an
    orderly end, such as stopping child processes, disturbs what goes on. The new one is started with the
    same command line, and `continued` gives it the session.

    Args:
        session: which is to go on.
        descriptors: what the new process gets besides the connection, by name.
        process: what to start; by default this process as it is now.
        compatibility: tags that the host has to offer then (`migrate.register_compat_vector`); by default
            those of `Session.compat_store`.
        on_expiry: start it, without a connection, also when the session has expired, to clean up.

    Raises:
        SessionEndedError: there is nothing to go on with.
        FileNotFoundError: the working directory has been removed.
        ValueError: a descriptor's name is not allowed.

    Source: the Migrate paper, section III and V-C.2.
    """
    session.check_alive()
    if process is None:
        from sessionlayer.application.capture import this_process

        process = this_process()
    return Continuation(
        descriptors=descriptors or {},
        process=process,
        compatibility=None if compatibility is None else tuple(compatibility),
        on_expiry=on_expiry,
    )


def internal(
    function: str | Callable[..., Any],
    *,
    descriptors: Mapping[str, int | HasDescriptor] | None = None,
    on_expiry: bool = False,
) -> Continuation:
    """Continue in this program, which runs on: ``function`` is called when the connection is back.

    Args:
        function: the function or its name, registered with `migrate.function`.
        descriptors: what is kept besides the connection, by name. They are closed here, and in
            `Session.descriptors` again when ``function`` is called.
        on_expiry: tell the session's `on_end` callback with the attributes still there when it has expired.

    Raises:
        ValueError: a descriptor's name is not allowed, or the function is not registered.

    Source: the Migrate paper, section III.
    """
    from sessionlayer.application.functions import name_of

    return Continuation(descriptors=descriptors or {}, function=name_of(function), on_expiry=on_expiry)


def system(*, descriptors: Mapping[str, int | HasDescriptor] | None = None) -> Continuation:
    """Give up the connection and descriptors alone; the program waits for them with `Session.resumed`.

    Args:
        descriptors: what is kept besides the connection, by name.

    Raises:
        ValueError: a descriptor's name is not allowed.

    Source: the Migrate paper, section III.
    """
    return Continuation(descriptors=descriptors or {})
