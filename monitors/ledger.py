"""What a monitor has said, and when: it says nothing twice in a row unless its word would run out.

A value with a lifetime is said again after half of it. One without is said again now and then as well: a
link that went and came back between two looks has lost its facts, and nobody tells the monitor.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from monitors.events import FactMeasured
from monitors.facts import FactValue

Key = tuple[str, str]
"""The names of a fact and of the interface that it is about; the latter is empty for facts about the host."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How long a value counts (``None``: for ever), and after how long it is said again, in seconds."""

    lifetime_s: float | None
    again_s: float


def is_other(_key: Key, old: FactValue, new: FactValue) -> bool:
    """Return whether two values of a fact differ at all."""
    return old != new


class Ledger:
    """The values that were reported. Time is a parameter, in seconds.

    Args:
        standings: of every fact that the monitor measures, by name.
    """

    def __init__(self, standings: Mapping[str, Standing]) -> None:
        self._standings = standings
        self._said: dict[Key, tuple[FactValue, float]] = {}

    def value(self, key: Key) -> FactValue | None:
        """Return what was said last of a fact, or ``None`` if it is not known."""
        said = self._said.get(key)
        return said[0] if said else None

    def settle(
        self,
        known: Mapping[Key, FactValue],
        now: float,
        matters: Callable[[Key, FactValue, FactValue], bool] = is_other,
    ) -> Generator[FactMeasured, None, None]:
        """Yield what is to be reported, given all that is known now.

        An event counts as reported when the caller comes back for the next one.

        Args:
            known: the values now; what was known before and is not among them is known no longer.
            now: the time.
            matters: whether a fact, its old value and its new one are worth a report before it is due.
        """
        for key in [key for key in self._said if key not in known]:
            yield FactMeasured(fact=key[0], value=None, interface=key[1])
            del self._said[key]
        for key, value in known.items():
            standing = self._standings[key[0]]
            said = self._said.get(key)
            if said is None or now - said[1] >= standing.again_s or matters(key, said[0], value):
                fact, interface = key
                yield FactMeasured(
                    fact=fact, value=value, interface=interface, lifetime_s=standing.lifetime_s
                )
                self._said[key] = (value, now)
