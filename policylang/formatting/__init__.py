"""Policy text to the one canonical form of it: the author's words and comments, laid out anew.

``docs/formatting.md`` describes the form.
"""

from __future__ import annotations

from dataclasses import dataclass

from policylang.collecting import collector_paused
from policylang.diagnostics import Diagnostic, Report
from policylang.formatting.printer import WIDTH, canonical
from policylang.parser import parse_with_tree

__all__ = ["WIDTH", "FormatResult", "format_policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatResult:
    """A policy in the canonical form, or the mistakes for which there is none.

    ``text`` is ``None`` if and only if one of ``diagnostics`` is an error.
    """

    text: str | None
    diagnostics: tuple[Diagnostic, ...] = ()


def format_policy(text: str, file: str = "<policy>") -> FormatResult:
    """Lay the text of one policy file out in the canonical form.

    The words keep their order and their meaning, and every comment is kept. Formatting what is
    canonical changes nothing. Mistakes of meaning (an unknown service, a set that another file
    defines) are no obstacle; those of form are.

    Args:
        text: The policy, as it is in the file but for a byte order mark.
        file: Names it in diagnostics.
    """
    report = Report(file=file, text=text)
    with collector_paused():
        _, tree = parse_with_tree(text, report)
        if report.failed or tree is None:
            return FormatResult(text=None, diagnostics=report.diagnostics())
        return FormatResult(text=canonical(tree, text), diagnostics=report.diagnostics())
