"""Which of many `on`s may hold on a connection: dictionaries instead of a scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.conditions import SUBJECTS, Subject, Traits, text_of
from policylang.ast import Condition, Name, NumberRange, Prefix, Value

MAX_EXPANDED_PORTS = 64
"""A range of more ports than this is tested, not entered port by port."""

# The keys that an `on` can be found by, the most selective first.
_PREFERENCE = (
    "remote-ip",
    "remote-host",
    "local-ip",
    "port",
    "l-port",
    "any-port",
    "session",
    "app",
    "user",
    "proto",
    "role",
)
_ADDRESS_KEYS = ("remote-ip", "local-ip")

_Positions = dict[Subject, list[int]]
_NO_PREFIXES: dict[int, dict[int, list[int]]] = {}


class ConnectionIndex:
    """Find the positions of the `on`s that may hold on a connection.

    Every `on` is entered under one of its conditions, the most selective that a
    dictionary can serve, or else among those that are always tested.
    """

    def __init__(self) -> None:
        self._always: list[int] = []
        self._exact: dict[str, _Positions] = {}
        # By key and family, a dictionary for each prefix length: by how many bits a number is shifted.
        self._prefixes: dict[tuple[str, int], dict[int, dict[int, list[int]]]] = {}

    def add(self, position: int, conditions: Sequence[Condition]) -> None:
        """Enter the `on` at ``position``."""
        chosen = _most_selective(conditions)
        if chosen is None:
            self._always.append(position)
        elif chosen.key in _ADDRESS_KEYS:
            self._add_prefixes(position, chosen)
        else:
            bucket = self._exact.setdefault(chosen.key, {})
            for subject in dict.fromkeys(
                s for value in chosen.values for s in _subjects_of(chosen.key, value)
            ):
                bucket.setdefault(subject, []).append(position)

    def candidates(self, connections: Iterable[Traits]) -> list[int]:
        """Return the positions, ascending, of all `on`s that may hold on one of the connections."""
        found = set(self._always)
        for traits in connections:
            for key, bucket in self._exact.items():
                for subject in SUBJECTS[key](traits):
                    found.update(bucket.get(subject, ()))
            for key, (family, number) in (("remote-ip", traits.remote), ("local-ip", traits.local)):
                for shift, networks in self._prefixes.get((key, family), _NO_PREFIXES).items():
                    if positions := networks.get(number >> shift):
                        found.update(positions)
        return sorted(found)

    def _add_prefixes(self, position: int, condition: Condition) -> None:
        """Enter an `on` into the dictionary of each prefix length it names."""
        for value in condition.values:
            assert isinstance(value, Prefix)
            network = value.network
            shift = network.max_prefixlen - network.prefixlen
            lengths = self._prefixes.setdefault((condition.key, network.version), {})
            bucket = lengths.setdefault(shift, {})
            bucket.setdefault(int(network.network_address) >> shift, []).append(position)


def _most_selective(conditions: Sequence[Condition]) -> Condition | None:
    """Return the condition to enter an `on` under, if a dictionary can serve any of them."""
    usable = [c for c in conditions if not c.negated and c.key in _PREFERENCE and _enumerable(c)]
    return min(usable, key=lambda c: _PREFERENCE.index(c.key), default=None)


def _enumerable(condition: Condition) -> bool:
    """Return whether a condition's values can be written down one by one."""
    if condition.key in _ADDRESS_KEYS:
        return all(isinstance(value, Prefix) for value in condition.values)
    return all(
        isinstance(value, Name)
        or (isinstance(value, NumberRange) and value.high - value.low < MAX_EXPANDED_PORTS)
        for value in condition.values
    )


def _subjects_of(key: str, value: Value) -> tuple[Subject, ...]:
    """Return all that a value matches; a number may also be somebody's name."""
    if isinstance(value, Name):
        return (text_of(key, value.text),)
    assert isinstance(value, NumberRange)
    return (*range(value.low, value.high + 1), value.text)
