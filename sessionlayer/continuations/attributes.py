"""The attribute store of a session: small values by name, bounded, never partly changed.

Source: the Migrate paper, section V-A and Table I (store, retrieve, store_size, export).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from sessionlayer.continuations.errors import (
    AttributeStoreFullError,
    ContinuationError,
    UnknownAttributeError,
)
from sessionlayer.continuations.limits import (
    ATTRIBUTE_MAX,
    ATTRIBUTES_MAX,
    ATTRIBUTES_TOTAL_MAX,
    EXPORTED_TOTAL_MAX,
    NAME_MAX,
)

_LESS: Final = "delete attributes that are not needed, or keep the data in a file"


class AttributeStore:
    """Hold the attributes of one session. A call that raises has changed nothing.

    Args:
        attributes: what is in it from the start, as a continuation brings it back.
        exported: the names of those that the peer is told.

    Raises:
        ContinuationError: these break a bound, or ``exported`` names something else.
    """

    def __init__(self, attributes: Mapping[str, bytes] = {}, exported: Iterable[str] = ()) -> None:
        self._values: dict[str, bytes] = {}
        self._exported: set[str] = set()
        self._total = 0
        self._exported_total = 0
        for name, value in attributes.items():
            self.store(name, value)
        for name in exported:
            self.export(name)

    @property
    def attributes(self) -> dict[str, bytes]:
        """Return a copy of all attributes, as a continuation takes them."""
        return dict(self._values)

    @property
    def exported(self) -> frozenset[str]:
        """Return the names of those that the peer is told."""
        return frozenset(self._exported)

    @property
    def total(self) -> int:
        """Return the bytes of all names and values."""
        return self._total

    def store(self, name: str, value: bytes) -> None:
        """Keep a value, in place of any other of this name (Table I, store).

        Args:
            name: 1 to 255 characters.
            value: at most 256 KiB.

        Raises:
            ContinuationError: the name or the value can't be one.
            AttributeStoreFullError: there is no room for it.
            TypeError: the value is not bytes.
        """
        if not isinstance(value, bytes):
            raise TypeError(f"the value of attribute `{name}` must be bytes, not {type(value).__name__}")
        size = _name_size(name) + len(value)
        if len(value) > ATTRIBUTE_MAX:
            what = f"its value has {len(value)} bytes, at most {ATTRIBUTE_MAX} are allowed"
            raise AttributeStoreFullError(_where(name), what, "keep the data in a file")
        grows = size - self._size(name)
        self._check_room(name, grows)
        if name in self._exported:
            self._check_exported(name, grows)
            self._exported_total += grows
        self._values[name] = value
        self._total += grows

    def retrieve(self, name: str) -> bytes:
        """Return the value of an attribute (Table I, retrieve).

        Raises:
            UnknownAttributeError: there is none of this name.
        """
        self._check_known(name)
        return self._values[name]

    def store_size(self, name: str) -> int:
        """Return how many bytes the value of an attribute has (Table I, store_size).

        Raises:
            UnknownAttributeError: there is none of this name.
        """
        return len(self.retrieve(name))

    def export(self, name: str) -> None:
        """Let the peer be told this attribute at the next resumption (Table I, export).

        Raises:
            UnknownAttributeError: there is none of this name.
            AttributeStoreFullError: the exported ones would be too large together.
        """
        self._check_known(name)
        if name in self._exported:
            return
        self._check_exported(name, self._size(name))
        self._exported.add(name)
        self._exported_total += self._size(name)

    def delete(self, name: str) -> None:
        """Forget an attribute.

        Raises:
            UnknownAttributeError: there is none of this name.
        """
        self._check_known(name)
        size = self._size(name)
        if name in self._exported:
            self._exported.discard(name)
            self._exported_total -= size
        del self._values[name]
        self._total -= size

    def _size(self, name: str) -> int:
        """Return what an attribute counts; nothing where there is none."""
        return _name_size(name) + len(self._values[name]) if name in self._values else 0

    def _check_known(self, name: str) -> None:
        if name in self._values:
            return
        close = get_close_matches(name, self._values, n=1)
        advice = f"did you mean `{close[0]}`?" if close else "store it first"
        raise UnknownAttributeError(_where(name), "there is none of this name", advice)

    def _check_room(self, name: str, grows: int) -> None:
        if name not in self._values and len(self._values) >= ATTRIBUTES_MAX:
            what = f"the attribute store is full: it has {ATTRIBUTES_MAX} attributes"
            raise AttributeStoreFullError(_where(name), what, _LESS)
        if self._total + grows > ATTRIBUTES_TOTAL_MAX:
            what = (
                f"the attribute store is full: with it, it would have {self._total + grows} bytes, "
                f"at most {ATTRIBUTES_TOTAL_MAX} are allowed"
            )
            raise AttributeStoreFullError(_where(name), what, _LESS)

    def _check_exported(self, name: str, grows: int) -> None:
        if self._exported_total + grows > EXPORTED_TOTAL_MAX:
            what = (
                f"with it, the exported attributes would have {self._exported_total + grows} bytes, "
                f"at most {EXPORTED_TOTAL_MAX} are allowed"
            )
            raise AttributeStoreFullError(_where(name), what, "export less; the connection carries the rest")


def _where(name: str) -> str:
    return f"attribute `{name[:NAME_MAX]}`"


def _name_size(name: str) -> int:
    """Return the bytes of a name.

    Raises:
        ContinuationError: it is empty, too long, or no text.
    """
    if not 1 <= len(name) <= NAME_MAX:
        what = f"a name has 1 to {NAME_MAX} characters, this one has {len(name)}"
        raise ContinuationError(_where(name), what, "choose another name")
    try:
        return len(name.encode())
    except UnicodeEncodeError as error:
        raise ContinuationError(
            f"attribute {name!a}", "its name is no valid text", "choose another name"
        ) from error
