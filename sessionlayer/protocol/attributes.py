"""Sets of exported attributes: what is told of one session, cut into parts and put together again.

A *set* is all that a program has exported, as one piece of content. Its name is made of the content, so that
both ends know a set again after a restart and no number has to outlive anything.

Source: the Migrate paper, section V-A and Table I (export).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.limits import (
    EXPORT_NAME_MAX,
    EXPORT_PART_BYTES,
    EXPORT_PARTS_MAX,
    EXPORT_TIMEOUT_S,
)
from sessionlayer.protocol.retry import Backoff

SET_NAME_BYTES: Final = 8

_Names = Annotated[str, Meta(max_length=EXPORT_NAME_MAX)]

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[dict[str, bytes]]] = msgspec.msgpack.Decoder(dict[_Names, bytes])


class Outgoing:
    """A set of ours, and how much of it the peer is known to have.

    Args:
        content: what `pack` made.
    """

    def __init__(self, content: bytes) -> None:
        self.name = name_of(content)
        self.parts = tuple(
            content[start : start + EXPORT_PART_BYTES] for start in range(0, len(content), EXPORT_PART_BYTES)
        )
        self.missing: tuple[int, ...] = ()
        self.due = 0.0
        self.give_up_at = 0.0
        self._backoff: Backoff | None = None
        self._was_known = False
        self._asking = False

    def begin(self, now: float) -> None:
        """Tell it now: all of it, or its first part to ask whether a peer that had it all still does."""
        self._asking = self._was_known
        self.missing = (0,) if self._was_known else tuple(range(len(self.parts)))
        self.due, self.give_up_at, self._backoff = now, now + EXPORT_TIMEOUT_S, None

    def sent(self, now: float) -> None:
        """Note that what is missing was sent, and when that is to be repeated."""
        if self._backoff is None:
            self._backoff = Backoff(now)
        else:
            self._backoff.again(now)
        self.due = self._backoff.due

    @property
    def attempt(self) -> int:
        """Return how often it was repeated."""
        return 0 if self._backoff is None else self._backoff.attempt + 1

    def acknowledged(self, have: int, now: float) -> None:
        """Take in which parts the peer has, a bit for each."""
        self.missing = tuple(number for number in range(len(self.parts)) if not have >> number & 1)
        if self._asking:
            self._asking, self.due = False, now
        self._was_known = not self.missing


@dataclass(slots=True)
class _Collection:
    name: bytes
    count: int
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Incoming:
    """The peer's set: the last one that is complete, and the one that is on its way.

    Attributes:
        name: of the complete one.
        values: the attributes in it; ``None`` until there is one.
        announced: the name of the set that the peer said is coming.
    """

    name: bytes = b""
    values: Mapping[str, bytes] | None = None
    announced: bytes = b""
    _collection: _Collection | None = None

    @property
    def pending(self) -> bool:
        """Return whether the peer has announced something that is not there yet."""
        return self.announced not in (b"", self.name)

    def take(self, name: bytes, number: int, count: int, data: bytes, *, newest: bool) -> bool:
        """Take a part; return whether that has made the set complete.

        Only the newest datagram of all may begin another set: one that was overtaken may speak of a set that
        is no more. It is repeated if it does not.

        Raises:
            RemoteProtocolError: what was put together is no set, or is not what its name says.
        """
        if name == self.name:
            if newest:
                self._collection = None  # what is left of it on its way is older than this
            return False
        if self._collection is None or (self._collection.name, self._collection.count) != (name, count):
            if not newest:
                return False
            self._collection = _Collection(name, count)
        self._collection.parts[number] = data
        return len(self._collection.parts) == count and self._finish(self._collection)

    def have(self, name: bytes, count: int) -> int:
        """Return which parts of a set are there, a bit for each."""
        if name == self.name:
            return (1 << count) - 1
        if self._collection is None or self._collection.name != name:
            return 0
        return sum(1 << number for number in self._collection.parts)

    def _finish(self, collection: _Collection) -> bool:
        self._collection = None
        content = b"".join(collection.parts[number] for number in range(collection.count))
        if name_of(content) != collection.name:
            raise RemoteProtocolError("a set of attributes whose content is not what its name says")
        self.values, self.name = unpack(content), collection.name
        self.announced = b""  # also where it was another one: this is what came of that
        return True


@dataclass(slots=True)
class Exchange:
    """What the two programs of one session let each other know."""

    outgoing: Outgoing | None = None
    incoming: Incoming = field(default_factory=Incoming)

    @property
    def offered(self) -> bytes:
        """Return the name of our set, as we announce it; empty if there is none."""
        return self.outgoing.name if self.outgoing else b""


def name_of(content: bytes) -> bytes:
    """Return the 8-byte name of a set."""
    return hashlib.blake2b(content, digest_size=SET_NAME_BYTES).digest()


def pack(values: Mapping[str, bytes]) -> bytes:
    """Return the content of a set.

    Raises:
        LocalProtocolError: it is too large, or a name too long.
    """
    content = _encoder.encode(dict(sorted(values.items())))
    most = EXPORT_PART_BYTES * EXPORT_PARTS_MAX
    if len(content) > most or any(len(name) > EXPORT_NAME_MAX for name in values):
        raise LocalProtocolError(
            f"attributes of {len(content)} bytes, at most {most}, with names of at most {EXPORT_NAME_MAX}"
        )
    return content


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the attributes of a set.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        return _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a malformed set of attributes: {error}") from error
