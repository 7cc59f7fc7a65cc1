"""Where a monitor comes from, which decides where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Who brought a monitor: Migrate itself, an installed package, or a file in a folder."""

    BUILT_IN = "built-in"
    PLUGIN = "plugin"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a monitor comes from. ``where`` is a module, a distribution with its version, or a path."""

    kind: Kind = Kind.BUILT_IN
    where: str = ""
