"""What an editor asks about a policy that is being written: pure functions over texts and offsets.

``migrate policy lsp`` speaks to editors and asks these.
"""

from __future__ import annotations

from policylang.editing.completion import Completion, Kind, complete
from policylang.editing.fixes import Edit, correction, difference
from policylang.editing.hover import Hover, hover
from policylang.editing.outline import Symbol, SymbolKind, outline
from policylang.editing.surroundings import Surroundings
from policylang.editing.text import Encoding, Position, Text

__all__ = [
    "Completion",
    "Edit",
    "Encoding",
    "Hover",
    "Kind",
    "Position",
    "Surroundings",
    "Symbol",
    "SymbolKind",
    "Text",
    "complete",
    "correction",
    "difference",
    "hover",
    "outline",
]
