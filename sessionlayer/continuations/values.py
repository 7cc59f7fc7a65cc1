"""What a continuation is made of. All values are frozen; nothing here does input or output.

Source: the Migrate paper, section III and Fig. 4.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

from msgspec import Meta, Struct

from sessionlayer.continuations.limits import (
    ARGUMENTS_MAX,
    ATTRIBUTES_MAX,
    DESCRIPTORS_MAX,
    GROUPS_MAX,
    SIGNALS_MAX,
    TAGS_MAX,
    VARIABLES_MAX,
)

CONNECTION: Final = "connection"
"""The name of the first descriptor of every continuation: the session's own connection."""

RESERVED: Final = "migrate:"
"""How the names of attributes begin that are the library's own, such as what a program had not sent yet. They
do not count as the program's; the size of the whole continuation bounds them."""


class Kind(Enum):
    """What is needed to go on from a continuation (the paper's C_sys, C_int and C_comp).

    * ``SYSTEM``: connections and descriptors; the program that returned it still runs and waits.
    * ``INTERNAL``: also attributes and the name of a function of a program that runs.
    * ``COMPLETE``: also a process, which is started anew.
    """

    SYSTEM = "system"
    INTERNAL = "internal"
    COMPLETE = "complete"


class Process(Struct, frozen=True, kw_only=True):
    """The process that a complete continuation starts: what execve(2) needs, and as whom.

    Attributes:
        argv: its command line; ``argv[0]`` is looked up in the ``PATH`` of ``environment``.
        environment: all its variables.
        directory: its working directory, absolute.
        uid: the real user id.
        euid: the effective user id.
        gid: the real group id.
        egid: the effective group id.
        groups: the supplementary group ids.
        umask: the file mode creation mask.
        nice: -20 to 19.
        blocked_signals: the numbers in its signal mask.
    """

    # The bounds keep a reader's memory small; `sessionlayer.continuations.validity` judges the rest.
    argv: Annotated[tuple[str, ...], Meta(max_length=ARGUMENTS_MAX)]
    environment: Annotated[dict[str, str], Meta(max_length=VARIABLES_MAX)]
    directory: str
    uid: int
    euid: int
    gid: int
    egid: int
    groups: Annotated[tuple[int, ...], Meta(max_length=GROUPS_MAX)]
    umask: int
    nice: int
    blocked_signals: Annotated[tuple[int, ...], Meta(max_length=SIGNALS_MAX)] = ()


class Tag(Struct, frozen=True, order=True):
    """A thing that a service depends on, as ``("lib", "libssl", "3.0.17")`` (section V-A).

    Attributes:
        id: the kind of property.
        name: which one of its kind.
        value: what it must be.
    """

    id: str
    name: str
    value: str


class Continuation(Struct, frozen=True, kw_only=True):
    """All that is needed to process the rest of a session.

    Attributes:
        descriptors: a name for each descriptor that travels with it, in order; the first is `CONNECTION`
            where the program gives its connection up.
        attributes: the session's attribute store.
        exported: the names of those attributes that the peer is told at resumption.
        function: of an internal continuation, the name under which the program knows it.
        process: of a complete continuation.
        compatibility: what must be as it is now when the session resumes.
        on_expiry: invoke it also when the session has expired, without a connection, to clean up.
    """

    descriptors: Annotated[tuple[str, ...], Meta(max_length=DESCRIPTORS_MAX)] = ()
    attributes: Annotated[dict[str, bytes], Meta(max_length=ATTRIBUTES_MAX)] = {}
    exported: Annotated[frozenset[str], Meta(max_length=ATTRIBUTES_MAX)] = frozenset()
    function: str = ""
    process: Process | None = None
    compatibility: Annotated[tuple[Tag, ...], Meta(max_length=TAGS_MAX)] = ()
    on_expiry: bool = False

    @property
    def kind(self) -> Kind:
        """Return what is needed to go on from it."""
        if self.process is not None:
            return Kind.COMPLETE
        return Kind.INTERNAL if self.function else Kind.SYSTEM
