"""What is wrong with the policies that the open files belong to.

A file alone is seldom a policy: its sets may be defined in another file. So each open file is judged
as part of the policy that includes it or, in a folder of fragments such as ``policy.d``, with the others
of its folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from glob import glob
from itertools import islice
from pathlib import Path

from migrated.editor.documents import overlay, real_path
from policylang.diagnostics import Diagnostic
from policylang.editing.scan import include_patterns
from policylang.lint import lint_loaded
from policylang.loader import LoadResult, PolicySource, Reader, decode, load_policy
from policylang.measures import FactSource
from policylang.values import BadValueError

MAX_NEIGHBOURS = 64
"""How many files of a folder are asked whether they include the open one."""

MAX_LINTED = 50_000
"""Characters of a policy, all files together, up to which it is linted while it is being written.

Beyond, linting takes seconds; only mistakes are then shown, and `migrate policy lint` finds the rest.
"""

_SUFFIX = "*.policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found.

    Attributes:
        diagnostics: By file; of each file that was read, also if there is nothing to say about it.
        policies: The files of each policy, in the order of reading.
    """

    diagnostics: Mapping[Path, tuple[Diagnostic, ...]] = field(default_factory=dict)
    policies: tuple[tuple[PolicySource, ...], ...] = ()

    def policy_with(self, path: Path) -> tuple[PolicySource, ...]:
        """Return the files of the first policy that a file is part of, itself among them, if there is one."""
        for sources in self.policies:
            if any(real_path(source.file) == path for source in sources):
                return sources
        return ()


def analyse(texts: Mapping[Path, str], *, facts: FactSource, interfaces: frozenset[str]) -> Analysis:
    """Check every policy that an open file belongs to.

    Args:
        texts: What the editor shows, by file with all links resolved.
        facts: Tells the facts that a policy may speak of.
        interfaces: The names of the interfaces that are present.
    """
    read = overlay(texts)
    found: dict[Path, dict[Diagnostic, None]] = {}
    policies = []
    for files in dict.fromkeys(policy_of(path, texts, read) for path in texts):
        loaded = load_policy(files, facts=facts, read=read)
        policies.append(loaded.sources)
        for source in loaded.sources:
            found.setdefault(real_path(source.file), {})
        for diagnostic in _diagnostics(loaded, interfaces):
            found.setdefault(real_path(diagnostic.span.file), {})[diagnostic] = None
    return Analysis(
        diagnostics={path: tuple(listed) for path, listed in found.items()}, policies=tuple(policies)
    )


def _diagnostics(loaded: LoadResult, interfaces: frozenset[str]) -> Iterator[Diagnostic]:
    yield from loaded.diagnostics
    size = sum(len(source.text or "") for source in loaded.sources)
    if loaded.policy is not None and size <= MAX_LINTED:
        yield from lint_loaded(loaded, interfaces=interfaces)


def policy_of(path: Path, texts: Mapping[Path, str], read: Reader) -> tuple[Path, ...]:
    """Return the files of the policy that a file belongs to, without those that they include.

    Args:
        path: The file, all links resolved.
        texts: The files that are open: one of them may include it.
        read: Reads a file.
    """
    top, seen = path, {path}
    while above := next(_including(top, texts, read, seen), None):
        top = above
        seen.add(top)
    if top.parent.suffix != ".d":
        return (top,)
    fragments = sorted(top.parent.glob(_SUFFIX))
    return tuple(fragments) if top in map(real_path, fragments) else (*fragments, top)


def _including(path: Path, texts: Iterable[Path], read: Reader, seen: set[Path]) -> Iterator[Path]:
    """Yield the files, open or near, that include a file."""
    for candidate in dict.fromkeys([*texts, *_neighbours(path.parent), *_neighbours(path.parent.parent)]):
        if candidate not in seen and path in _included(candidate, read):
            yield candidate


def _neighbours(folder: Path) -> Iterator[Path]:
    return (real_path(path) for path in islice(folder.glob(_SUFFIX), MAX_NEIGHBOURS))


def _included(path: Path, read: Reader) -> Iterator[Path]:
    """Yield the files that a file includes; none if it can't be read."""
    try:
        text = decode(read(path))
    except (OSError, BadValueError):
        return
    if "include" not in text:
        return
    for pattern in include_patterns(text):
        named = str(path.parent / pattern)
        yield from (real_path(file) for file in {named, *glob(named)})  # noqa: PTH207 - it may be absolute
