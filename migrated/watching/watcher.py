"""Tell when files may have changed: at once by the kernel's hints, a little later by looking.

A hint says no more than *maybe*. It is acted on when there was quiet for a moment and no program has a
file half written; what it is worth is for whoever is told to find out. Hints can fail to come (the
kernel's queue overflows, a file system is on another host), so there is a look from time to time as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from migrated.watching.folders import FolderWatch, Hint
from migrated.watching.survey import MAX_FOLDERS, MAX_NAMES, Survey, survey

_log = logging.getLogger(__name__)

QUIET_S: Final = 0.12
"""Seconds without a hint after which a save is taken to be over."""

RESTLESS_S: Final = 0.3
"""Most seconds that hints which keep coming can put off a look."""

OPEN_S: Final = 5.0
"""Most seconds that a file is waited for which a program has changed and not closed."""

POLL_S: Final = 2.0
"""Seconds between two looks where the kernel tells of changes."""

BLIND_POLL_S: Final = 0.25
"""Seconds between two looks where it does not."""

_SETTLE_TRIES: Final = 3
"""How often a look is repeated because what it sees still changes."""

_ARM_TRIES: Final = 4
"""How often the way to the files is looked at anew because it changed while it was begun to be watched."""


class Watcher:
    """Watches what patterns lead to.

    Args:
        patterns: returns the absolute patterns; asked before each look, in a thread.
        changed: called on the loop when something may have changed, and once at first.
    """

    def __init__(
        self, patterns: Callable[[], Collection[str]], changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._patterns, self._changed = patterns, changed
        self._loop = asyncio.get_running_loop()
        self._maybe = asyncio.Event()
        self._maybe.set()
        self._last_hint = 0.0
        self._half_written: dict[str, float] = {}
        self._seen: Survey | None = None
        self._folders: FolderWatch | None = None
        self._blind = False
        self._told_incomplete = False

    @property
    def pending(self) -> bool:
        """Return whether something may have changed since the last call of ``changed``."""
        return self._maybe.is_set()

    def look(self) -> None:
        """Have ``changed`` called soon, whether or not anything has changed."""
        self._maybe.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        await asyncio.to_thread(self._open)
        try:
            while True:
                hinted = await self._quiet()
                # What `changed` has read may lead to further files, so there is another look after it.
                while hinted or await self._settled():
                    if hinted:
                        await self._differs()
                    hinted = False
                    await self._changed()
        finally:
            if self._folders is not None:
                self._folders.close()

    # On the loop.

    async def _quiet(self) -> bool:
        """Wait for a hint and the quiet after it, or for the time of a look; return whether hinted."""
        try:
            async with asyncio.timeout(BLIND_POLL_S if self._blind else POLL_S):
                await self._maybe.wait()
        except TimeoutError:
            return False
        begun = self._loop.time()
        while (wait_s := self._unrest(begun)) > 0:  # noqa: ASYNC110 - for quiet, not for an event
            await asyncio.sleep(wait_s)
        self._maybe.clear()
        return True

    def _unrest(self, begun: float) -> float:
        """Return how many seconds to wait before it can be told whether a save is over; 0 if it is."""
        now = self._loop.time()
        self._half_written = {path: at for path, at in self._half_written.items() if now - at < OPEN_S}
        if self._half_written:
            return QUIET_S  # its end is a hint
        return min(self._last_hint + QUIET_S, begun + RESTLESS_S) - now

    async def _settled(self) -> bool:
        """Return whether there is another state than before, having waited a moment for it to be whole."""
        if not await self._differs():
            return False
        for _ in range(_SETTLE_TRIES):
            await asyncio.sleep(QUIET_S)
            if not await self._differs():
                break
        return True

    async def _differs(self) -> bool:
        """Look, have the kernel watch what is there, and return whether it is not what was there before."""
        before = self._seen
        self._seen = await asyncio.to_thread(self._look)
        return before is None or self._seen.files != before.files

    def _hear(self, hint: Hint) -> None:
        if hint.being_written:
            self._half_written.setdefault(hint.path, self._loop.time())
        else:  # the end of a file, or of the folder that it was in
            below = f"{hint.path}/"
            self._half_written = {
                path: at
                for path, at in self._half_written.items()
                if path != hint.path and not path.startswith(below)
            }
        self._last_hint = self._loop.time()
        self._maybe.set()

    # In other threads, never two at a time.

    def _tell(self, hint: Hint) -> None:
        self._loop.call_soon_threadsafe(self._hear, hint)

    def _open(self) -> None:
        try:
            self._folders = FolderWatch(self._tell)
        except OSError as error:
            self._go_blind(error)

    def _look(self) -> Survey:
        """Look until nothing has changed between the look and the kernel's watching what was seen."""
        seen = survey(self._patterns())
        for _ in range(_ARM_TRIES):
            self._listen(seen)
            again = survey(self._patterns())
            if again == seen:
                break
            seen = again
        if not seen.complete and not self._told_incomplete:
            self._told_incomplete = True
            _log.warning(
                "changes are noticed in %d folders and of %d names only; patterns lead to more",
                MAX_FOLDERS,
                MAX_NAMES,
            )
        return seen

    def _listen(self, seen: Survey) -> None:
        if self._folders is None:
            return
        try:
            self._folders.listen(seen.folders)
        except OSError as error:
            self._go_blind(error)

    def _go_blind(self, error: OSError) -> None:
        if not self._blind:
            self._blind = True
            reason = (error.strerror or str(error)).lower()
            _log.warning("looking for changed files every %g s, because %s", BLIND_POLL_S, reason)
