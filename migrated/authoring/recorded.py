"""The policy that a log recorded, made again from its texts alone.

Files may have changed since, or belong to another host. So nothing is read from the disk: each
`include` is replaced by those files that it stood for when the policy was loaded.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from migrated.authoring.policies import BadPolicyError, every_fact
from migrated.recording.entries import PolicyLoaded, PolicyText
from policylang import load_policy
from policylang.ast import Include, On, Policy, Span, Statement, When
from policylang.diagnostics import Report
from policylang.loader import PolicyFile, Reader
from policylang.parser import parse


def recorded_policy(entry: PolicyLoaded) -> Policy:
    """Return the policy that was loaded; reasons name its files as they were called then.

    Raises:
        BadPolicyError: this version of the program can't read it.
    """
    included: dict[Span, list[PolicyText]] = {}
    for file in entry.files:
        if file.included_by is not None:
            included.setdefault(file.included_by, []).append(file)
    texts = {file.file: _plain(file, included) for file in entry.files}
    roots = [PolicyFile(path=Path(f.file), layer=f.layer) for f in entry.files if f.included_by is None]
    result = load_policy(roots, facts=every_fact, read=_reader(texts))
    if result.policy is None:
        raise BadPolicyError(result.diagnostics)
    return result.policy


def _reader(texts: Mapping[str, str]) -> Reader:
    def read(path: Path) -> bytes:
        if str(path) not in texts:
            raise FileNotFoundError(errno.ENOENT, "the log does not hold it")
        return texts[str(path)].encode()

    return read


def _plain(file: PolicyText, included: Mapping[Span, Sequence[PolicyText]]) -> str:
    """Return a file's text with every `include` naming the files that it stood for, on the same lines."""
    text = file.text
    statements = parse(text, Report(file=file.file, text=text))
    for span in sorted((include.span for include in _includes(statements)), reverse=True):
        start, end = _offset(text, span.line, span.column), _offset(text, span.end_line, span.end_column)
        # A file that is included twice includes others twice, from the same place.
        children = dict.fromkeys(child.file for child in included.get(span, ()))
        names = [_relative(child, file.file) for child in children]
        line_ends = "\n" * (span.end_line - span.line)
        text = text[:start] + " ".join(f'include "{name}"' for name in names) + line_ends + text[end:]
    return text


def _includes(statements: Iterable[Statement]) -> Iterator[Include]:
    for statement in statements:
        if isinstance(statement, Include):
            yield statement
        elif isinstance(statement, On | When):
            yield from _includes(statement.body)
            yield from _includes(statement.otherwise)


def _offset(text: str, line: int, column: int) -> int:
    """Return where a line and column, both from 1, are in a text."""
    return sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column - 1


def _relative(file: str, includer: str) -> str:
    """Return how one file includes another, so that the names of both stay as they are."""
    return file if Path(file).is_absolute() else os.path.relpath(file, Path(includer).parent)
