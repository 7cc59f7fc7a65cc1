"""The grammar of the policy language, as files."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["policy_grammar"]


def policy_grammar() -> str:
    """Return the text of ``policy.lark``."""
    return files(__name__).joinpath("policy.lark").read_text(encoding="utf-8")
