"""What holds for every test: its privileges, its share of the machine, that a busy machine is no fault."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from migrated.lab import LabError, ensure_privileged


def pytest_configure() -> None:
    """Let every test that needs network namespaces have them, whoever runs the tests."""
    with suppress(LabError):
        ensure_privileged()
    # Both judge by the clock on the wall, which says how busy the machine is.
    settings.register_profile(
        "unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run alone at the end, where the workers have to wait for each other only once."""
    items.sort(key=_runs_alone)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test marked `alone` wait until the other workers of pytest-xdist run none, and them for it."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with _turn(Path(item.config.option.basetemp).parent / "turn", alone=_runs_alone(item)):
        return (yield)


def _runs_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@contextmanager
def _turn(path: Path, *, alone: bool) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
