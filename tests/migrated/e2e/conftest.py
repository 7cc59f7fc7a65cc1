"""What the end-to-end tests share: one network with two daemons for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from migrated.lab import is_privileged
from tests.migrated.e2e.arena import Arena, heal

_WITH_LINKS = ("arena", "far", "stage")
"""Fixtures that share a network among the tests of a module."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    unprivileged = pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.netns)
            item.add_marker(unprivileged)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("arena")) as arena:
        yield arena
    for daemon in (arena.here, arena.there):
        assert daemon.complaints() == []


@pytest.fixture(autouse=True)
def whole_links(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep a test that fails halfway from leaving the next one without links."""
    shared = [request.getfixturevalue(name) for name in _WITH_LINKS if name in request.fixturenames]
    yield
    for one in shared:
        heal(one.net)
