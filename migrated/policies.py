"""The policy in force: loaded from files, kept when a new version of them is wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from engine import CompiledPolicy
from migrated.control.messages import PolicyReport, PolicyText
from migrated.hosts import names_in
from policylang import load_policy
from policylang.diagnostics import Diagnostic, Severity
from policylang.loader import LoadResult, PolicyFile, PolicySource, read_regular
from policylang.measures import FactSource

_log = logging.getLogger(__name__)


class Outcome(Enum):
    """What came of files that were read."""

    UNCHANGED = "unchanged"
    """They say what they said when they were read last."""

    REFUSED = "refused"
    """They have a mistake; the policy before them stays in force."""

    RESTORED = "restored"
    """They had a mistake, and say again what is in force."""

    LOADED = "loaded"
    """They are in force, in place of the policy before them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What files say, ready to be put in force; ``compiled`` is ``None`` if they have a mistake.

    ``remote_hosts`` are the names of hosts that it compares with.
    """

    result: LoadResult
    compiled: CompiledPolicy | None
    remote_hosts: frozenset[str] = frozenset()


class PolicyInForce:
    """The last good policy, and what is wrong with the files if they hold another one.

    Args:
        facts: tells the facts that a policy may speak of; may be called in another thread.
    """

    def __init__(self, facts: FactSource) -> None:
        self._facts = facts
        shipped = self.read([])
        assert shipped.compiled is not None
        self.policy: CompiledPolicy = shipped.compiled
        self.sources: tuple[PolicySource, ...] = shipped.result.sources
        self.remote_hosts = shipped.remote_hosts
        self.generation = 0
        self.last_error = ""
        self._last_error_at = 0.0
        self._loaded_at = time.time()
        self._read_last = shipped.result
        self._told: frozenset[tuple[str, ...]] = frozenset()
        self._patterns_in_force: frozenset[str] = frozenset()

    @property
    def patterns(self) -> frozenset[str]:
        """Return the absolute patterns that `include` statements name, in force or read last."""
        return frozenset(self._read_last.patterns) | self._patterns_in_force

    def read(self, files: Sequence[PolicyFile]) -> Reading:
        """Read files with the shipped defaults before them. Changes nothing, so any thread may do it."""
        # A device or a pipe in a folder of policies must not hold the daemon up.
        result = load_policy(files, with_defaults=True, facts=self._facts, read=read_regular)
        if result.policy is None:
            return Reading(result, None)
        return Reading(result, CompiledPolicy(result.policy), names_in(result.policy))

    def take(self, reading: Reading, *, forced: bool = False) -> Outcome:
        """Put what was read in force if it is right and new.

        A mistake is logged in full, and the policy before it stays in force. A warning is logged when it is
        new, and again after it was gone.

        Args:
            reading: what `read` returned.
            forced: whether to take it for new whatever it says.
        """
        result = reading.result
        if result.sources == self._read_last.sources and not forced:
            return Outcome.UNCHANGED
        self._read_last = result
        self._tell_news(result.diagnostics)
        if reading.compiled is None:
            self._refuse(result)
            return Outcome.REFUSED
        self.last_error = ""
        if result.sources == self.sources and not forced:
            return Outcome.RESTORED
        self.policy, self.sources = reading.compiled, result.sources
        self.remote_hosts = reading.remote_hosts
        self._patterns_in_force = frozenset(result.patterns)
        self.generation += 1
        self._loaded_at = time.time()
        return Outcome.LOADED

    def report(self) -> PolicyReport:
        """Return what is in force, for people."""
        return PolicyReport(
            files=tuple(_text(source) for source in self.sources),
            generation=self.generation,
            loaded_at=self._loaded_at,
            last_error=self.last_error,
            last_error_at=self._last_error_at if self.last_error else None,
        )

    def _tell_news(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Log all errors, and the warnings that were not there before, wherever in its file each stands."""
        warnings = {_gist(d) for d in diagnostics if d.severity is Severity.WARNING}
        for diagnostic in diagnostics:
            if diagnostic.severity is Severity.ERROR or _gist(diagnostic) not in self._told:
                _tell(diagnostic)
        # Behind an error there may be warnings that were not come to.
        refused = any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
        self._told = self._told.union(warnings) if refused else frozenset(warnings)

    def _refuse(self, result: LoadResult) -> None:
        first = next(d for d in result.diagnostics if d.severity is Severity.ERROR)
        self.last_error = f"{_place(first)}: {first.message}"
        self._last_error_at = time.time()


def _text(source: PolicySource) -> PolicyText:
    assert source.text is not None, "a policy with a file that could not be read is not in force"
    included_by = "" if source.included_by is None else str(source.included_by)
    return PolicyText(file=source.file, text=source.text, layer=source.layer.value, included_by=included_by)


def _gist(diagnostic: Diagnostic) -> tuple[str, ...]:
    """Return what a warning says of which file: an edit elsewhere in the file moves its place."""
    return diagnostic.span.file, diagnostic.code, diagnostic.message, diagnostic.hint


def _tell(diagnostic: Diagnostic) -> None:
    hint = f"; {diagnostic.hint}" if diagnostic.hint else ""
    _log.warning("%s: %s%s", _place(diagnostic), diagnostic.message, hint)


def _place(diagnostic: Diagnostic) -> str:
    """Return ``file:line:column``, or the file alone if all of it is meant."""
    span = diagnostic.span
    return f"{span.file}:{span.line}:{span.column}" if span.line else span.file
