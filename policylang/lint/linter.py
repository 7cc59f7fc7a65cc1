"""All rules over one policy: what they find, in the order of the text, without what comments allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from policylang.ast import Layer, Policy
from policylang.diagnostics import Diagnostic, Report, Severity, whole_file
from policylang.globs import TooComplexError
from policylang.lint.catalogue import RULES, UNKNOWN_CODE
from policylang.lint.layout import Layout
from policylang.lint.material import Finding, Material
from policylang.lint.reach import Reach
from policylang.lint.silence import Silence
from policylang.loader import (
    LoadResult,
    PolicyFile,
    PolicySource,
    Reader,
    load_policy,
    parse_policy,
    read_bytes,
    standard_facts,
)
from policylang.measures import FactSource
from policylang.parser import parse


def lint_policy(
    files: Sequence[Path | PolicyFile],
    *,
    interfaces: frozenset[str] | None = None,
    facts: FactSource = standard_facts,
    read: Reader = read_bytes,
) -> tuple[Diagnostic, ...]:
    """Return what is right in a policy and yet hardly meant; the errors instead, if it has any.

    Args:
        files: The files of one policy, as in `load_policy`.
        interfaces: The names of the interfaces that are present; without them no pattern is compared.
        facts: Tells the facts that the policy may speak of.
        read: Reads a file.
    """
    return lint_loaded(load_policy(files, facts=facts, read=read), interfaces=interfaces)


def lint_text(
    text: str,
    file: str = "<policy>",
    *,
    folder: Path | None = None,
    interfaces: frozenset[str] | None = None,
    facts: FactSource = standard_facts,
) -> tuple[Diagnostic, ...]:
    """Return what `lint_policy` does for the text of one file; ``folder`` as in `parse_policy`."""
    return lint_loaded(parse_policy(text, file, folder=folder, facts=facts), interfaces=interfaces)


def lint_loaded(loaded: LoadResult, *, interfaces: frozenset[str] | None = None) -> tuple[Diagnostic, ...]:
    """Return what `lint_policy` does for a policy that has been read already.

    The policy that is shipped with the program is not judged, if it was read with it.
    """
    if loaded.policy is None:
        return tuple(d for d in loaded.diagnostics if d.severity is Severity.ERROR)
    sources = {source.file: source for source in loaded.sources if source.text is not None}
    try:
        material = _material(loaded.policy, sources, interfaces)
    except TooComplexError as problem:
        return (_not_compared(loaded.policy, problem),)
    judged = [source for source in sources.values() if source.layer is not Layer.DEFAULT]
    silences = {source.file: _silence(source) for source in judged}
    times = Counter(source.file for source in loaded.sources)
    found = [
        _diagnostic(code, finding, material)
        for code, rule in RULES.items()
        for finding in _everywhere(rule.find(material), Counter() if rule.once else times)
        if finding.span.file in silences and not silences[finding.span.file].covers(finding.span.line, code)
    ]
    mistakes = [m for silence in silences.values() for m in silence.mistakes]
    found += [_diagnostic(UNKNOWN_CODE, mistake, material) for mistake in mistakes]
    order = {file: number for number, file in enumerate(sources)}
    return tuple(sorted(found, key=lambda d: (order[d.span.file], d.span, d.code)))


def _material(
    policy: Policy, sources: Mapping[str, PolicySource], interfaces: frozenset[str] | None
) -> Material:
    layout = Layout(policy)
    written = {file: parse(s.text or "", Report(file=file, text="")) for file, s in sources.items()}
    return Material(
        layout=layout, reach=Reach(layout), written=written, sources=sources, interfaces=interfaces
    )


def _not_compared(policy: Policy, problem: TooComplexError) -> Diagnostic:
    return Diagnostic(
        span=whole_file(policy.files[0]),
        code="too-complex",
        message=f"nothing was looked for: {problem}",
        hint="write simpler patterns",
        severity=Severity.WARNING,
    )


def _silence(source: PolicySource) -> Silence:
    return Silence(source.file, source.text or "", frozenset(RULES))


def _everywhere(findings: Iterable[Finding], times: Counter[str]) -> Iterator[Finding]:
    """Yield each finding once, and only if it holds wherever its file was included."""
    counted: dict[object, list[Finding]] = {}
    for finding in findings:
        counted.setdefault(finding.span, []).append(finding)
    for same in counted.values():
        if len(same) >= times[same[0].span.file]:
            yield same[0]


def _diagnostic(code: str, finding: Finding, material: Material) -> Diagnostic:
    return Diagnostic(
        span=finding.span,
        code=code,
        message=finding.message,
        hint=finding.hint,
        severity=Severity.WARNING,
        source_line=material.line(finding.span),
        replacement=finding.replacement,
    )
