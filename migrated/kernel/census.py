"""Know who holds which socket without looking at every process again.

A look at all processes takes 2 to 7 ms, most of what a move takes otherwise. Between two such looks, only
those are looked at that held the socket and those that are new; children of holders are held still with them
in any case (`migrated.kernel.ptrace`). What this misses is an old process, no child of a holder, to which a
socket was handed over after the last look.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

from migrated.kernel.holders import Holder, find_holders, processes

MAX_AGE_S: Final = 5.0
"""Seconds after which all processes are looked at again, at the earliest."""

SHARE: Final = 0.0005
"""The part of a core that these looks may take: where one takes 10 ms there are 20 s between two."""

LONGEST_S: Final = 60.0
"""Seconds after which all processes are looked at again at the latest, whatever it takes."""


class Census:
    """Who holds the sockets that are asked for, as of the last look at all processes."""

    def __init__(self) -> None:
        self._holders: Mapping[int, tuple[Holder, ...]] = {}
        self._seen: frozenset[int] = frozenset()
        self._inodes: frozenset[int] = frozenset()
        self._taken_at = 0.0
        self._max_age_s = MAX_AGE_S

    def is_old(self, now: float) -> bool:
        """Return whether the last look at all processes is too old."""
        return now - self._taken_at >= self._max_age_s

    def keep(self, inodes: Collection[int], now: float) -> None:
        """Look at all processes if the last look is too old, or did not look for all of these sockets.

        Args:
            inodes: the sockets that may be asked for.
            now: a monotonic time in seconds.
        """
        if not inodes:
            self._holders, self._inodes, self._taken_at = {}, frozenset(), now
        elif self.is_old(now) or not self._inodes.issuperset(inodes):
            begun = time.thread_time()
            self._take(frozenset(inodes))
            self._taken_at = now
            self._max_age_s = min(max((time.thread_time() - begun) / SHARE, MAX_AGE_S), LONGEST_S)

    def find(self, inodes: Collection[int]) -> Mapping[int, tuple[Holder, ...]]:
        """Find the holders of sockets; see `migrated.kernel.holders.find_holders`."""
        wanted = frozenset(inodes)
        if not wanted <= self._holders.keys():
            self._take(wanted | self._inodes)
        suspects = {holder.pid for inode in wanted for holder in self._holders.get(inode, ())}
        found = find_holders(wanted, suspects | (processes() - self._seen))
        # Whoever held it may have handed it on and gone.
        return found if wanted <= found.keys() else find_holders(wanted)

    def _take(self, inodes: frozenset[int]) -> None:
        self._seen = processes()
        self._inodes = inodes
        self._holders = find_holders(inodes)
