"""Several parts of one monitor, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def together(*parts: Coroutine[None, None, None]) -> None:
    """Run parts side by side; when one fails, cancel the others and fail as it did.

    A task group would hide the error in a group, whose message says nothing. In Python 3.11 it also leaves
    its task as one that is being cancelled (`asyncio.Task.cancelling`), although nobody has cancelled it.

    Raises:
        Exception: what the first part raised that failed.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    # Whoever fails because it is cancelled does so later.
    for task in sorted(tasks, key=lambda task: task not in done):
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
