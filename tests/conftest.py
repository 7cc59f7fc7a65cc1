"""Let every test that needs network namespaces have them, whoever runs the tests."""

from __future__ import annotations

from contextlib import suppress

from migrated.lab import LabError, ensure_privileged


def pytest_configure() -> None:
    with suppress(LabError):
        ensure_privileged()
