"""Whether what is reported of links and addresses is what `monitors.events` says, field by field.

A plugin has no type checker at run time: an ``operstate="up"`` looks right, and fails whoever asks for its
value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple

from monitors.events import AddressGone, AddressPresent, LinkGone, LinkState, NetworkEvent, OperState
from monitors.texts import is_encodable

NAME_MAX: Final = 255
"""Characters of an interface's name or an address's label; the kernel's own limit is 15 (``IFNAMSIZ``)."""

INDEX_MAX: Final = 2**31 - 1
"""The kernel's interface indices are positive numbers of type ``int``."""

PREFIX_MAX: Final = 128


class _Expected(NamedTuple):
    words: str
    holds: Callable[[object], bool]


def network_fault_of(event: NetworkEvent) -> str:
    """Return what is wrong with an event about a link or an address; empty if nothing is."""
    for name, expected in _FIELDS[type(event)].items():
        value: object = getattr(event, name)
        if not expected.holds(value):
            return (
                f"it reported a `{type(event).__name__}` with {name}={value!r:.80}; expected {expected.words}"
            )
    if isinstance(event, AddressPresent | AddressGone) and ip_address(event.address).version != event.family:
        return f"it reported a `{type(event).__name__}` of {event.address} with family={event.family!r:.80}"
    return ""


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= NAME_MAX and is_encodable(value)


def _is_address(value: object) -> bool:
    try:
        return type(value) is str and str(ip_address(value)) == value
    except ValueError:
        return False


def _is_number(most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and 0 <= value <= most


_NAME = _Expected("a name", _is_name)
_INDEX = _Expected("the interface's index", _is_number(INDEX_MAX))
_FLAG = _Expected("`True` or `False`", lambda value: type(value) is bool)
_STATE = _Expected("an `OperState`", lambda value: type(value) is OperState)
_PREFIX = _Expected("a number of bits", _is_number(PREFIX_MAX))
_ADDRESS = _Expected("an address as `ipaddress` writes it", _is_address)
_FAMILY = _Expected("4 or 6", lambda value: type(value) is int and value in (4, 6))

_FIELDS: Final[Mapping[type, Mapping[str, _Expected]]] = {
    LinkState: {
        "interface": _NAME,
        "index": _INDEX,
        "up": _FLAG,
        "carrier": _FLAG,
        "operstate": _STATE,
        "loopback": _FLAG,
    },
    LinkGone: {"interface": _NAME, "index": _INDEX},
    AddressPresent: {
        "interface": _NAME,
        "index": _INDEX,
        "label": _NAME,
        "address": _ADDRESS,
        "prefix_length": _PREFIX,
        "family": _FAMILY,
        "usable": _FLAG,
    },
    AddressGone: {"interface": _NAME, "index": _INDEX, "address": _ADDRESS, "family": _FAMILY},
}
