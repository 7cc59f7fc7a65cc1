"""A daemon's reloader without the rest of a daemon, and how long it takes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from engine import Engine
from migrated.config import Configuration
from migrated.core import Core
from migrated.journal import Journal
from migrated.policies import PolicyInForce
from migrated.reloading import Reloader
from monitors.testing.steps import delays
from policylang.loader import standard_facts

IN_FORCE_S = 0.5
"""A save takes effect within this time, in every style."""

WAIT_S = 60.0
"""How long is waited for what takes longer than it may, to say how long."""

LOOK_S = 0.002
"""Seconds between two looks."""

HELD_UP_S = 0.05
"""A thread that only has to be woken, and is so much later, could not run: nor could any other."""


class Pulse:
    """Adds up for how many seconds this process was not let run at all, whoever's fault that is."""

    def __init__(self) -> None:
        self.missed_s = 0.0
        self._ended = False

    @contextmanager
    def beating(self) -> Iterator[None]:
        thread = threading.Thread(target=self._beat)
        thread.start()
        try:
            yield
        finally:
            self._ended = True
            thread.join()

    def _beat(self) -> None:
        while not self._ended:
            begun = time.monotonic()
            time.sleep(LOOK_S)
            late_s = time.monotonic() - begun - LOOK_S
            self.missed_s += late_s if late_s > HELD_UP_S else 0.0


class Follower:
    """What a reloader made of the files."""

    def __init__(self, *patterns: Path) -> None:
        configuration = Configuration(
            policy=tuple(map(str, patterns)),
            user_policy=(),
            application_policy=(),
            state_folder=Path("/nowhere"),
            runtime_folder=Path("/nowhere"),
        )
        self.pulse = Pulse()
        self.policies = PolicyInForce(standard_facts)
        self.policies.take(self.policies.read(configuration.policy_files()))
        self.engine = Engine(self.policies.policy)
        self.decisions: list[object] = []
        core = SimpleNamespace(
            engine=self.engine,
            journal=Journal(),
            now=asyncio.get_running_loop().time,
            carry_out=self.decisions.extend,
        )
        self.reloader = Reloader(cast("Core", cast("Any", core)), self.policies, configuration, lambda: None)

    def texts(self) -> str:
        """Return what is in force beside the shipped defaults."""
        return "".join(source.text or "" for source in self.policies.sources[1:])

    async def until(self, holds: Callable[[], bool]) -> float:
        """Wait until something holds, and return for how many seconds it did not, as far as we could run.

        Reading is done in turns by several threads: what each of them waited for a processor adds up.
        """
        begun, worked = time.monotonic(), time.process_time()
        waited, missed = sum(delays().values()), self.pulse.missed_s
        while not holds() and time.monotonic() - begun < WAIT_S:  # noqa: ASYNC110 - it is the time that is measured
            await asyncio.sleep(LOOK_S)
        took, work = time.monotonic() - begun, time.process_time() - worked
        held_up = max(sum(delays().values()) - waited, self.pulse.missed_s - missed)
        return max(work, took - held_up)

    async def in_force_after(self, text: str, save: Callable[..., object], *arguments: object) -> float:
        """Save in a thread, and return how many seconds after its end this text was in force."""
        await asyncio.to_thread(save, *arguments)
        return await self.until(lambda: self.texts() == text)


@asynccontextmanager
async def following(*patterns: Path) -> AsyncIterator[Follower]:
    """Follow files, from when it has begun to listen."""
    follower = Follower(*patterns)
    running = asyncio.create_task(follower.reloader.run())
    watcher = follower.reloader._watcher
    await follower.until(lambda: watcher._seen is not None and not watcher.pending)
    await asyncio.sleep(0.05)
    try:
        with follower.pulse.beating():
            yield follower
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
