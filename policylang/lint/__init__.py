"""What is right in a policy and yet hardly meant: rules with a code, each with a page in ``docs/lint``."""

from __future__ import annotations

from policylang.lint.catalogue import RULES, UNKNOWN_CODE, ListedRule
from policylang.lint.linter import lint_loaded, lint_policy, lint_text

__all__ = ["RULES", "UNKNOWN_CODE", "ListedRule", "lint_loaded", "lint_policy", "lint_text"]
