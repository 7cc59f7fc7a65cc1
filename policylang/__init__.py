"""Policy text to a checked syntax tree, with diagnostics that name line and column."""

from __future__ import annotations

from policylang.diagnostics import Diagnostic, Severity
from policylang.loader import (
    DEFAULT_POLICY_FILE,
    UNREADABLE,
    LoadResult,
    load_policy,
    parse_policy,
    parse_policy_bytes,
)
from policylang.parser import forget_grammar
from policylang.render import render_text, to_github, to_json

__all__ = [
    "DEFAULT_POLICY_FILE",
    "UNREADABLE",
    "Diagnostic",
    "LoadResult",
    "Severity",
    "forget_grammar",
    "load_policy",
    "parse_policy",
    "parse_policy_bytes",
    "render_text",
    "to_github",
    "to_json",
]
