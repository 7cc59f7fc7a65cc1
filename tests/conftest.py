"""What holds for every test: its privileges, its share of the machine, that a busy machine is no fault."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from migrated.lab import LabError, ensure_privileged


def pytest_configure(config: pytest.Config) -> None:
    """Let every test that needs network namespaces have them, whoever runs the tests, and however."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell begins what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the programs of tests are interrupted
    with suppress(LabError):
        ensure_privileged()
    # Both judge by the clock on the wall, which says how busy the machine is.
    settings.register_profile(
        "unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")
    if hasattr(config, "workerinput"):
        config.stash[_ROOM] = Room(Path(config.option.basetemp).parent)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run alone first, so that the workers have to wait for each other only once."""
    items.sort(key=_runs_alone, reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Let a test marked `alone` wait until the other workers of pytest-xdist run none, and them for it."""
    room = item.config.stash.get(_ROOM, None)
    if room is None:
        return (yield)
    room.enter(alone=_runs_alone(item))
    try:
        return (yield)
    finally:
        if not (_runs_alone(item) and nextitem is not None and _runs_alone(nextitem)):
            room.leave()


def _runs_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


class Room:
    """Where many workers are at once, or one alone; whoever wants to be alone lets nobody in any more.

    Source: flock(2).
    """

    def __init__(self, folder: Path) -> None:
        self._door, self._inside = (
            os.open(folder / name, os.O_CREAT | os.O_RDWR) for name in ("door", "inside")
        )
        self._alone = False

    def enter(self, *, alone: bool) -> None:
        if self._alone:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        self._alone = alone

    def leave(self) -> None:
        fcntl.flock(self._inside, fcntl.LOCK_UN)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._alone = False


_ROOM = pytest.StashKey[Room]()
