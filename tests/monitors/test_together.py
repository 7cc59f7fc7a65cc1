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


def test_whoever_saw_it_fail_is_not_taken_for_cancelled() -> None:
    """As a task group leaves its task in Python 3.11; a host would take it for its own end."""

    async def failing() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("by itself")

    async def story() -> int:
        with pytest.raises(RuntimeError, match="by itself"):
            await together(failing(), asyncio.sleep(30.0))
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert tell(story()) == 0


def test_all_parts_end_when_they_are_cancelled() -> None:
    ended: list[str] = []

    async def waiting(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def story() -> None:
        task = asyncio.create_task(together(waiting("one"), waiting("other")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    tell(story())
    assert ended == ["one", "other"]


def test_parts_may_come_to_an_end() -> None:
    tell(together(asyncio.sleep(0), asyncio.sleep(0)))
