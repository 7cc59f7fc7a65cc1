from __future__ import annotations

import asyncio

import pytest

from monitors.together import together
from tests.monitors.test_dbus import tell


def test_the_first_part_that_fails_ends_all_as_it_failed() -> None:
    ended: list[str] = []

    async def failing() -> None:
        raise RuntimeError("by itself")

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("too")

    with pytest.raises(RuntimeError, match="by itself"):
        tell(together(waiting(), failing()))
    assert ended == ["too"]
