"""The policy in force: loaded from files, kept when a new version of them is wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from migrated.control.messages import PolicyReport, PolicyText
from policylang import DEFAULT_POLICY_FILE, load_policy
from policylang.ast import Policy

_log = logging.getLogger(__name__)


class PolicyInForce:
    """The last good policy, and what is wrong with the files if they hold another one."""

    def __init__(self) -> None:
        result = load_policy([], with_defaults=True)
        assert result.policy is not None
        self.policy: Policy = result.policy
        self.generation = 0
        self.last_error = ""
        self._loaded_at = time.time()
        self._texts = _texts([])

    def load(self, files: Sequence[Path]) -> bool:
        """Read the files and put them in force if they are right; return whether they are.

        A mistake is logged in full, and the policy before it stays in force.
        """
        result = load_policy(files, with_defaults=True)
        for diagnostic in result.diagnostics:
            span, hint = diagnostic.span, f"; {diagnostic.hint}" if diagnostic.hint else ""
            _log.warning("%s:%d:%d: %s%s", span.file, span.line, span.column, diagnostic.message, hint)
        if result.policy is None:
            first = result.diagnostics[0]
            self.last_error = f"{first.span.file}:{first.span.line}:{first.span.column}: {first.message}"
            return False
        self.policy = result.policy
        self.generation += 1
        self.last_error = ""
        self._loaded_at = time.time()
        self._texts = _texts(files)
        return True

    def report(self) -> PolicyReport:
        """Return what is in force, for people."""
        return PolicyReport(
            files=self._texts,
            generation=self.generation,
            loaded_at=self._loaded_at,
            last_error=self.last_error,
        )


def _texts(files: Sequence[Path]) -> tuple[PolicyText, ...]:
    named = [DEFAULT_POLICY_FILE, *files]
    return tuple(PolicyText(file=str(file), text=file.read_text(encoding="utf-8")) for file in named)
