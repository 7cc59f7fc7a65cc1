"""Several parts of one monitor, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def together(*parts: Coroutine[None, None, None]) -> None:
    """Run parts side by side; when one fails, cancel the others and fail as it did.

    A task group alone would hide the error in a group, whose message says nothing.

    Raises:
        Exception: what the first part raised that failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
