"""The grammar of the policy language, as files."""

from __future__ import annotations

from pathlib import Path

__all__ = ["policy_grammar"]


def policy_grammar() -> str:
    """Return the text of ``policy.lark``."""
    return Path(__file__).with_name("policy.lark").read_text(encoding="utf-8")
