"""Policies for tests: every fact counts as measured, for a test can measure what this host can't."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from migrated.facts import known_facts
from monitors.facts import FactTable
from policylang import Diagnostic, Severity, load_policy, render_text
from policylang.ast import Policy
from policylang.loader import PolicyFile


class BadPolicyError(ValueError):
    """A policy has mistakes; the message shows each of them."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        errors = [d for d in diagnostics if d.severity is Severity.ERROR]
        super().__init__("\n".join(map(render_text, errors)))


def every_fact() -> FactTable:
    """Return the facts that are known on this host, as if monitors for all of them were installed."""
    known = known_facts().known
    return FactTable(known, frozenset(known))


def read_policy(files: Sequence[Path | PolicyFile], *, with_defaults: bool) -> Policy:
    """Return the policy that these files make.

    Raises:
        BadPolicyError: it has mistakes, or a file can't be read.
    """
    result = load_policy(files, with_defaults=with_defaults, facts=every_fact)
    if result.policy is None:
        raise BadPolicyError(result.diagnostics)
    return result.policy
