"""Check that requirements.lock serves pyproject.toml: every direct dependency is in it, within its range."""

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


def mismatches(pyproject: str, lock: str) -> Iterator[str]:
    """Yield one line for each direct dependency that the lock does not serve.

    Args:
        pyproject: the text of ``pyproject.toml``.
        lock: the text of ``requirements.lock``.
    """
    pins = {canonicalize_name(name): Version(version) for name, version in _PIN.findall(lock)}
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {}).values()
    for text in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        yield from _mismatch(Requirement(text), pins)


def _mismatch(wanted: Requirement, pins: Mapping[NormalizedName, Version]) -> Iterator[str]:
    pinned = pins.get(canonicalize_name(wanted.name))
    if pinned is None:
        yield f"`{wanted}` is not in requirements.lock"
    elif not wanted.specifier.contains(pinned, prereleases=True):
        yield f"`{wanted}` is pinned to {pinned} in requirements.lock"


def main() -> None:
    """End with status 1 and the list of mismatches, if there are any.

    Raises:
        SystemExit: the lock does not serve the project.
    """
    found = list(mismatches(Path("pyproject.toml").read_text(), Path("requirements.lock").read_text()))
    if found:
        sys.exit("\n".join([*found, "run `make lock` and commit the result"]))


if __name__ == "__main__":
    main()
