"""The grammar of the policy language, and what editors need to know of it, as files."""

from __future__ import annotations

from pathlib import Path

__all__ = ["editors", "policy_grammar"]


def policy_grammar() -> str:
    """Return the text of ``policy.lark``."""
    return Path(__file__).with_name("policy.lark").read_text(encoding="utf-8")


def editors() -> Path:
    """Return the folder with the files for VS Code and Vim; its README says how to install them."""
    return Path(__file__).with_name("editors")
