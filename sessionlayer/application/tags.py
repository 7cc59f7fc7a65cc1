"""Compatibility tags of what Python programs usually depend on.

Source: the Migrate paper, sections IV-E and V-A.
"""

from __future__ import annotations

import platform

from sessionlayer.continuations.values import Tag


def python_tag() -> Tag:
    """Return the tag of this Python: ``("interpreter", "CPython", "3.13")``; patches are compatible."""
    major, minor, _ = platform.python_version_tuple()
    return Tag("interpreter", platform.python_implementation(), f"{major}.{minor}")


def package_tags(*names: str) -> tuple[Tag, ...]:
    """Return the tags of installed distributions, each as ``("package", name, version)``.

    Raises:
        ValueError: one is not installed.
    """
    return tuple(_package_tag(name) for name in names)


def _package_tag(name: str) -> Tag:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Tag("package", name, version(name))
    except PackageNotFoundError:
        raise ValueError(
            f"the package `{name}` is not installed; name the distribution, as `pip list` does"
        ) from None
