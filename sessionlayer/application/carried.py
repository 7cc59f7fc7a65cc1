"""What a continuation has of a virtual stream instead of a connection: its state and listening sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from sessionlayer.continuations.values import CONNECTION, RESERVED, Continuation

if TYPE_CHECKING:
    from sessionlayer.application.session import Session

STREAM: Final = f"{RESERVED}stream"
"""The attribute with the state of a session of virtual streams. It holds the session's key."""

LISTENER: Final = f"{RESERVED}listener-"
"""How the names of the listening sockets begin, by which a client comes back."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a process goes on with that was started for a session of virtual streams.

    Attributes:
        state: of the session, encoded.
        listeners: the descriptors of the sockets to listen on, ours.
    """

    state: bytes
    listeners: tuple[int, ...]


def entrusted(record: Continuation, state: bytes, listeners: Sequence[int]) -> Continuation:
    """Return a continuation with a stream's state, and with the names of listening sockets in front.

    Args:
        record: whose first descriptor is the connection that there is not.
        state: the session's state, encoded.
        listeners: the descriptors.
    """
    names = tuple(f"{LISTENER}{place}" for place in range(len(listeners)))
    others = tuple(name for name in record.descriptors if name != CONNECTION)
    return replace(record, descriptors=(*names, *others), attributes={**record.attributes, STREAM: state})


def take_carried(record: Continuation, session: Session) -> Carried | None:
    """Return what a continuation has of a stream, if it is one's; the program does not see the sockets."""
    state = record.attributes.get(STREAM)
    if state is None:
        return None
    names = [name for name in session.descriptors if name.startswith(LISTENER)]
    return Carried(state, tuple(session.descriptors.pop(name) for name in names))
