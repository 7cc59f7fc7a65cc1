"""A daemon's reloader without the rest of a daemon, and how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from engine import Engine
from migrated.config import Configuration
from migrated.core import Core
from migrated.journal import Journal
from migrated.policies import PolicyInForce
from migrated.reloading import Reloader
from policylang.loader import standard_facts

IN_FORCE_S = 0.5
"""A save takes effect within this time, in every style."""

WAIT_S = 60.0
"""How long is waited for what takes longer than it may, to say how long."""

LOOK_S = 0.002
"""Seconds between two looks."""

HELD_UP_S = 0.05
"""Seconds that count at most of a look that is late although this process did nothing: it could not run."""


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
        """Wait until something holds, and return for how many seconds it did not, as far as we could run."""
        begun, took = time.monotonic(), 0.0
        now, worked = begun, time.process_time()
        while not holds() and now - begun < WAIT_S:
            await asyncio.sleep(LOOK_S)
            before, worked_before = now, worked
            now, worked = time.monotonic(), time.process_time()
            took += min(now - before, max(worked - worked_before, HELD_UP_S))
        return took

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
        yield follower
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
