"""Check that the locks serve pyproject.toml: every direct dependency is in them, within its range."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


LOCKS = {"requirements.lock": "dev", "requirements-bench.lock": "bench"}
"""The locks, and the extra that each of them serves besides the project's own dependencies."""


def mismatches(pyproject: str, extra: str, name: str, lock: str) -> Iterator[str]:
    """Yield one line for each direct dependency that a lock does not serve.

    Args:
        pyproject: the text of ``pyproject.toml``.
        extra: whose dependencies count besides the project's own.
        name: how the lock is called.
        lock: its text.
    """
    pins = {canonicalize_name(name): Version(version) for name, version in _PIN.findall(lock)}
    project = tomllib.loads(pyproject)["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"][extra]]:
        yield from _mismatch(Requirement(text), name, pins)


def _mismatch(wanted: Requirement, name: str, pins: Mapping[NormalizedName, Version]) -> Iterator[str]:
    pinned = pins.get(canonicalize_name(wanted.name))
    if pinned is None:
        yield f"`{wanted}` is not in {name}"
    elif not wanted.specifier.contains(pinned, prereleases=True):
        yield f"`{wanted}` is pinned to {pinned} in {name}"


def main() -> None:
    """End with status 1 and the list of mismatches, if there are any.

    Raises:
        SystemExit: a lock does not serve the project.
    """
    pyproject = Path("pyproject.toml").read_text()
    found = [
        line
        for name, extra in LOCKS.items()
        for line in mismatches(pyproject, extra, name, Path(name).read_text())
    ]
    if found:
        sys.exit("\n".join([*found, "run `make lock` and commit the result"]))


if __name__ == "__main__":
    main()
