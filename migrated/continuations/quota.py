"""How much of the store each user may fill."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one user may have in the store at once, root included.

    Attributes:
        count: continuations.
        size: bytes of all of them, as they are stored.
    """

    count: int = 10_000
    size: int = 256 * 1024 * 1024


@dataclass(slots=True)
class Usage:
    """What one user has in the store: how many continuations, and their bytes."""

    count: int = 0
    size: int = 0


class Ledger:
    """Count what each user has in the store."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._usage: defaultdict[int, Usage] = defaultdict(Usage)

    def usage(self, uid: int) -> Usage:
        """Return what a user has."""
        found = self._usage.get(uid, Usage())
        return Usage(found.count, found.size)

    def add(self, uid: int, size: int) -> None:
        """Count one more continuation, whether or not the quota allows it."""
        usage = self._usage[uid]
        usage.count += 1
        usage.size += size

    def remove(self, uid: int, size: int) -> None:
        """Count one less."""
        usage = self._usage[uid]
        usage.count -= 1
        usage.size -= size
        if not usage.count:
            del self._usage[uid]

    def refusal(self, uid: int, size: int) -> str:
        """Return why one more continuation of ``size`` bytes does not fit, or nothing where it does."""
        usage, quota = self.usage(uid), self._quota
        if usage.count + 1 > quota.count:
            return f"the quota of user {uid} is used up: {quota.count} continuations are stored already"
        if usage.size + size > quota.size:
            return (
                f"the quota of user {uid} is used up: with this continuation of {size} bytes, "
                f"{usage.size + size} would be stored, and {quota.size} are allowed"
            )
        return ""
