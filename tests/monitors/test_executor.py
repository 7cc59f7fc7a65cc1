from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from monitors.executor import CALLS_LIMIT, UnjoinedExecutor


def refuse() -> None:
    raise ValueError("no")


def test_a_loop_makes_its_calls_in_it() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(UnjoinedExecutor("helper"))
        assert await asyncio.to_thread(lambda: threading.current_thread().name) == "helper"
        assert await asyncio.gather(*(asyncio.to_thread(pow, 2, n) for n in range(20))) == [
            2**n for n in range(20)
        ]
        with pytest.raises(ValueError, match="no"):
            await asyncio.to_thread(refuse)

    asyncio.run(play())


def test_calls_that_never_end_are_bounded() -> None:
    release = threading.Event()
    executor = UnjoinedExecutor("helper")
    waiting = [executor.submit(release.wait, 60.0) for _ in range(CALLS_LIMIT)]
    with pytest.raises(RuntimeError, match="32 calls are in threads already"):
        executor.submit(release.wait, 30.0)
    release.set()
    assert all(future.result(60.0) for future in waiting)


def test_a_process_ends_without_waiting_for_a_call() -> None:
    program = (
        "import time; from monitors.executor import UnjoinedExecutor\n"
        "UnjoinedExecutor('helper').submit(time.sleep, 3600)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
