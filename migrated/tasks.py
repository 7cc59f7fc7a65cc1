"""Work that goes on until somebody says stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_until(stop: asyncio.Event, *work: Coroutine[Any, Any, None]) -> None:
    """Work until ``stop`` is set, or a part of the work fails.

    Raises:
        BaseException: what that part has raised.
    """
    parts = [asyncio.create_task(part) for part in work]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (*parts, stopping):
        task.cancel()
    for task in done:
        task.result()
