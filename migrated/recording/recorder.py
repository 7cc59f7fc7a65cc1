"""Write down what happens, off the way of what happens.

On the loop an entry is taken in and put into a buffer, nothing else. A thread turns what is in the buffer
into lines and writes them, each second or when there is much. What can't be written is lost and told of;
then another file is begun, with a snapshot, so that no file lies about what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final, Literal, NamedTuple

from engine.attachment import PointKey
from engine.decision import Decision
from engine.session import SessionDescription
from migrated.config import Recording
from migrated.recording.entries import (
    Entry,
    MoveFailed,
    PolicyLoaded,
    PolicyText,
    SessionAdded,
    SessionMoved,
    SessionRemoved,
    SessionSuspended,
    decision_entry,
    encode_line,
    event_entry,
)
from migrated.recording.files import LogFiles
from migrated.recording.known import Known
from monitors.events import Event, FactMeasured
from policylang.loader import PolicySource

FLUSH_S: Final = 1.0
"""Seconds after which what happened is on the disk."""

FLUSH_ENTRIES: Final = 256
"""Entries that are written without waiting: some 64 KiB."""

MAX_WAITING: Final = 200_000
"""Most entries that wait for the disk; further ones are lost."""

AGAIN_S: Final = 60.0
"""Seconds after which a disk that could not be written to is tried again."""


class _Given(NamedTuple):
    """A decision; it is made into an entry only when it is written."""

    decision: Decision
    wall: float
    clock: float


class Recorder:
    """Writes an event log.

    Args:
        folder: where its files are.
        limits: how many files there are, and how large they become.
        clock: the engine's clock, in seconds.
        trouble: called on the loop, once for each time that the disk begins to fail, with the reason.
    """

    def __init__(
        self, folder: Path, limits: Recording, clock: Callable[[], float], trouble: Callable[[str], None]
    ) -> None:
        self._files = LogFiles(folder, limits.files)
        self._file_size, self._clock, self._trouble = limits.file_size, clock, trouble
        self._program = version("migrate-sessions")
        self._known = Known()
        self._measured: Callable[[], Iterable[FactMeasured]] = tuple
        self._waiting: list[Entry | _Given] = []
        self._any, self._much = asyncio.Event(), asyncio.Event()
        self._beginning = self._snapshot("started", clock())
        self._begun = self._lost = self._failing = False
        self._next_try = 0.0
        self._writing = Lock()

    def know(self, measured: Callable[[], Iterable[FactMeasured]]) -> None:
        """Begin each further file with these facts, too.

        Args:
            measured: returns all that is known, each with when it was measured; see `Engine.measured`.
        """
        self._measured = measured

    # What has happened; the times are those of the engine's clock, in seconds.

    def event(self, event: Event, now: float) -> None:
        """Write down what a monitor reports."""
        self._put(event_entry(event, wall=time.time(), clock=now))

    def policy(self, generation: int, sources: Sequence[PolicySource]) -> None:
        """Write down that a policy is in force."""
        files = tuple(
            PolicyText(file=one.file, layer=one.layer, text=one.text or "", included_by=one.included_by)
            for one in sources
        )
        self._put(PolicyLoaded(wall=time.time(), clock=self._clock(), generation=generation, files=files))

    def added(
        self, description: SessionDescription, attachment: PointKey, now: float, *, suspended: bool
    ) -> None:
        """Write down that there is a session."""
        self._put(
            SessionAdded(
                wall=time.time(),
                clock=now,
                description=description,
                attachment=attachment,
                suspended=suspended,
            )
        )

    def removed(self, session: str) -> None:
        """Write down that a session has ended."""
        self._put(SessionRemoved(wall=time.time(), clock=self._clock(), session=session))

    def moved(self, session: str, attachment: PointKey, now: float) -> None:
        """Write down that a session is live at a point."""
        self._put(SessionMoved(wall=time.time(), clock=now, session=session, attachment=attachment))

    def suspended(self, session: str, now: float) -> None:
        """Write down that a session is suspended."""
        self._put(SessionSuspended(wall=time.time(), clock=now, session=session))

    def failed(self, session: str, attachment: PointKey, now: float) -> None:
        """Write down that a session could not be moved to a point."""
        self._put(MoveFailed(wall=time.time(), clock=now, session=session, attachment=attachment))

    def decided(self, decisions: Iterable[Decision], now: float) -> None:
        """Write down what the engine has decided."""
        wall = time.time()
        for decision in decisions:
            self._buffer(_Given(decision, wall, now))

    # The way to the disk.

    async def run(self) -> None:
        """Write until cancelled; nothing is done while nothing happens."""
        while True:
            await self._any.wait()
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._much.wait()
            except TimeoutError:
                pass
            await self._flush()

    async def close(self) -> None:
        """Write what waits, and no more."""
        self._next_try = 0.0
        await self._flush()
        self._files.close()

    def _put(self, entry: Entry) -> None:
        self._known.take_in(entry)
        self._buffer(entry)

    def _buffer(self, entry: Entry | _Given) -> None:
        if self._lost:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._lose()
            return
        self._waiting.append(entry)
        self._any.set()
        if len(self._waiting) >= FLUSH_ENTRIES:
            self._much.set()

    def _lose(self) -> None:
        """Drop what waits. As lines are missing then, another file is to tell how things are."""
        self._lost = True
        self._waiting.clear()
        self._any.set()

    async def _flush(self) -> None:
        """Hand over what waits, with the snapshot that another file begins with if it is time for one."""
        self._much.clear()
        now = self._clock()
        if not (self._waiting or self._lost) or now < self._next_try:
            return
        before, after = self._snapshots(now)
        batch, self._waiting = self._waiting, []
        self._lost = False
        self._any.clear()
        try:
            await asyncio.to_thread(self._write, before, batch, after)
        except OSError as error:
            self._fail(error, now)
        else:
            self._begun, self._failing = True, False

    def _snapshots(self, now: float) -> tuple[Sequence[Entry], Sequence[Entry]]:
        """Return what is to be written, in files of their own, before what waits and after it."""
        if self._lost:
            return self._snapshot("rotated" if self._begun else "started", now), ()
        if not self._begun:
            return self._beginning, ()
        return (), self._snapshot("rotated", now) if self._files.size >= self._file_size else ()

    def _snapshot(self, cause: Literal["started", "rotated"], now: float) -> tuple[Entry, ...]:
        return self._known.snapshot(
            cause, program=self._program, wall=time.time(), clock=now, measured=self._measured()
        )

    def _write(
        self, before: Sequence[Entry], batch: Sequence[Entry | _Given], after: Sequence[Entry]
    ) -> None:
        """Write lines, in a thread."""
        with self._writing:
            for beginning, lines in ((before, batch), (after, ())):
                if beginning:
                    self._files.begin()
                if beginning or lines:
                    self._files.write(map(_line, (*beginning, *lines)))

    def _fail(self, error: OSError, now: float) -> None:
        self._lose()
        self._next_try = now + AGAIN_S
        if not self._failing:
            self._failing = True
            self._trouble((error.strerror or str(error)).lower())


def _line(entry: Entry | _Given) -> bytes:
    if isinstance(entry, _Given):
        return encode_line(decision_entry(entry.decision, wall=entry.wall, clock=entry.clock))
    return encode_line(entry)
