"""The demonstration: an unmodified program keeps its connection while its links come and go."""

from __future__ import annotations

__all__: list[str] = []
