"""What tests of monitors have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nobody wait for the disk: how long it takes for what others write is no monitor's fault.

    Waiting for it on the event loop is one, except in a task that was cancelled: it may save at its end.
    """
    held_up: list[object] = []

    def fsync(_: int) -> None:
        with suppress(RuntimeError):  # there is no event loop in this thread
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                held_up.append(task)

    monkeypatch.setattr("os.fsync", fsync)
    yield
    assert not held_up, "the event loop waited for the disk"
