"""Policy files and service names: with `including` the only module here that reads anything."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from monitors.facts import STANDARD_FACTS, FactTable
from policylang import values
from policylang.ast import Include, Layer, Policy, Span, Statement
from policylang.checker import Context, check
from policylang.collecting import collector_paused
from policylang.diagnostics import Diagnostic, Report, quote, whole_file
from policylang.including import MAX_NAMES, absolute, files_of, is_nameable, is_special, real
from policylang.measures import FactSource
from policylang.parser import parse
from policylang.services import WELL_KNOWN_SERVICES

MAX_POLICY_BYTES = 1 << 20
"""Largest policy file: some 20,000 statements, which nobody writes by hand."""

MAX_FILES = 256
"""Most files in one policy, included ones counted as often as they are included."""

MAX_TOTAL_BYTES = 4 * MAX_POLICY_BYTES
"""Largest size of all files of one policy, included ones counted as often as they are included."""

MAX_INCLUDE_DEPTH = 16
"""Most files that are included one by the other."""

_ORDER = tuple(Layer)

DEFAULT_POLICY_FILE = Path(__file__).with_name("default.policy")
"""The policy that holds where no other says anything."""

_NOT_REGULAR = "it is not a regular file"

UNREADABLE = "unreadable"
"""The code of a diagnostic about a file that could not be read at all."""


def read_bytes(path: Path) -> bytes:
    """Return at most one byte more than a policy may have.

    Raises:
        OSError: The file cannot be opened or read, or is a folder.
    """
    # Opening a named pipe without a writer would wait for ever; reading one that has a writer may wait.
    # What claims to be a regular file may not: some in /proc would wait for ever, too.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        os.set_blocking(descriptor, not stat.S_ISREG(os.fstat(descriptor).st_mode))
        data: bytes | None = file.read(MAX_POLICY_BYTES + 1)
    if data is None:
        raise BlockingIOError(errno.EAGAIN, "there is nothing to read yet")
    return data


def read_regular(path: Path) -> bytes:
    """Return what `read_bytes` does, of a regular file only: for whoever must not wait, nor open a device.

    Raises:
        OSError: The file cannot be opened or read, or is none.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, _NOT_REGULAR)
    return read_bytes(path)


def standard_facts() -> FactTable:
    """Return the facts that every policy knows, as if a monitor for each were installed."""
    return FactTable.of(STANDARD_FACTS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A file to load, and whose policy it is."""

    path: Path
    layer: Layer = Layer.SYSTEM


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """A file that was read, or that could not be (``text`` is ``None``).

    Attributes:
        file: Its name in spans and messages.
        layer: Whose policy it is; an included file's is that of the file that includes it.
        text: What it says.
        included_by: Where the `include` stands; ``None`` for a file that was asked for.
    """

    file: str
    layer: Layer
    text: str | None
    included_by: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """A checked policy, or what is wrong with it.

    ``policy`` is ``None`` if and only if one of ``diagnostics`` is an error. ``sources`` are the
    files in the order in which they were read, included ones after those that include them.
    ``patterns`` are the absolute patterns of all `include` statements: what to watch for new files.
    """

    policy: Policy | None
    diagnostics: tuple[Diagnostic, ...]
    sources: tuple[PolicySource, ...] = ()
    patterns: tuple[str, ...] = ()


Reader = Callable[[Path], bytes]
"""Return a file's content, at most one byte more than `MAX_POLICY_BYTES`; raise ``OSError`` if it can't."""


def load_policy(
    files: Sequence[Path | PolicyFile],
    *,
    with_defaults: bool = False,
    facts: FactSource = standard_facts,
    read: Reader = read_bytes,
) -> LoadResult:
    """Read policy files in the order of their layers: system, user, application.

    Never raises for what a file contains or for one that cannot be read.

    Args:
        files: The files; a plain path is of the system's layer. Statements of later ones win over
            those of earlier ones, and those of later layers over those of earlier ones.
        with_defaults: Whether to put ``DEFAULT_POLICY_FILE`` first.
        facts: Tells the facts that a policy may speak of; asked only if one does, the shipped one apart.
        read: Reads a file; an editor gives what it shows in place of what is on the disk.

    Source: the Migrate paper, section V-E, on system, user and application policy.
    """
    every = [file if isinstance(file, PolicyFile) else PolicyFile(path=file) for file in files]
    every.sort(key=lambda file: _ORDER.index(file.layer))
    if with_defaults:
        every.insert(0, PolicyFile(path=DEFAULT_POLICY_FILE, layer=Layer.DEFAULT))
    loading = _Loading(facts, read)
    with collector_paused():
        return loading.result([loading.file(file) for file in every])


def parse_policy(
    text: str, file: str = "<policy>", *, folder: Path | None = None, facts: FactSource = standard_facts
) -> LoadResult:
    """Parse and check the text of one policy file.

    Args:
        text: The policy.
        file: Names it in spans and messages.
        folder: What its `include` statements are relative to; the working folder if not given.
        facts: Tells the facts that it may speak of.
    """
    loading = _Loading(facts, read_bytes)
    with collector_paused():
        return loading.result([loading.text(text, file, folder or Path())])


def parse_policy_bytes(
    data: bytes,
    file: str = "<policy>",
    *,
    folder: Path | None = None,
    facts: FactSource = standard_facts,
) -> LoadResult:
    """Parse and check the content of one policy file, which must be UTF-8 text; as `parse_policy`."""
    try:
        text = decode(data)
    except values.BadValueError as problem:
        report = Report(file=file, text="")
        report.error(whole_file(file), problem.code, problem.message, problem.hint)
        return LoadResult(policy=None, diagnostics=report.diagnostics())
    return parse_policy(text, file, folder=folder, facts=facts)


def decode(data: bytes) -> str:
    """Return the content of a policy file as text.

    Raises:
        BadValueError: It is too large, or not UTF-8 text.
    """
    if len(data) > MAX_POLICY_BYTES:
        hint = f"a policy has at most {MAX_POLICY_BYTES // 1024} KiB"
        raise values.BadValueError("too-large", "this file is too large to be a policy", hint)
    if b"\0" in data:
        raise values.BadValueError("not-text", "this is a binary file", "a policy is UTF-8 text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} has the byte 0x{data[error.start]:02x}, which is not UTF-8"
        raise values.BadValueError("not-text", message, "save the file as UTF-8 text") from None


class _Loading:
    """One load: the files read so far, and what they define for those after them."""

    def __init__(self, facts: FactSource, read: Reader) -> None:
        self._read = read
        self._facts = facts
        self._context = Context(service_port=service_port, facts=facts, include=self._include)
        self._sources: list[PolicySource] = []
        self._reports: list[Report] = []
        self._patterns: list[str] = []
        self._folders: list[Path] = []
        self._open: list[Path] = []
        self._bytes = 0

    def file(self, file: PolicyFile) -> tuple[Statement, ...]:
        """Return the checked statements of a file."""
        self._context.layer = file.layer
        # The shipped policy speaks of standard facts alone: no plugin is asked for it, and nobody warned.
        self._context.facts = standard_facts if file.layer is Layer.DEFAULT else self._facts
        return self._path(file.path, None, None)

    def text(self, text: str, file: str, folder: Path) -> tuple[Statement, ...]:
        """Return the checked statements of a text that stands in a folder."""
        report = self._begin(file, text, None)
        return self._checked(report, folder)

    def result(self, parts: Sequence[tuple[Statement, ...]]) -> LoadResult:
        """Return what was read as one policy."""
        policy = Policy(
            files=tuple(source.file for source in self._sources),
            statements=tuple(statement for part in parts for statement in part),
        )
        return LoadResult(
            policy=None if any(report.failed for report in self._reports) else policy,
            diagnostics=tuple(d for report in self._reports for d in report.diagnostics()),
            sources=tuple(self._sources),
            patterns=tuple(self._patterns),
        )

    def _path(self, path: Path, included_by: Span | None, includer: Report | None) -> tuple[Statement, ...]:
        file = str(path)
        try:
            text = self._text_of(path)
        except values.BadValueError as problem:
            own = self._begin(file, None, included_by)
            message = f"{quote(path.name)}: {problem.message}" if includer else problem.message
            place = included_by or whole_file(file)
            (includer or own).error(place, problem.code, message, problem.hint)
            return ()
        report = self._begin(file, text, included_by)
        self._open.append(real(path))
        checked = self._checked(report, path.parent)
        self._open.pop()
        return checked

    def _text_of(self, path: Path) -> str:
        if not is_nameable(str(path)):
            raise values.BadValueError(UNREADABLE, "no file can have this name")
        try:
            data = self._read(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            hint = "name the files in it" if isinstance(error, IsADirectoryError) else ""
            raise values.BadValueError(UNREADABLE, f"cannot read this file: {reason}", hint) from None
        text = decode(data)
        self._bytes += len(data)
        if self._bytes > MAX_TOTAL_BYTES:
            hint = f"they have at most {MAX_TOTAL_BYTES // 1024} KiB, each counted as often as it is included"
            raise values.BadValueError("too-large", "the files of this policy are too large together", hint)
        return text

    def _begin(self, file: str, text: str | None, included_by: Span | None) -> Report:
        report = Report(file=file, text=text or "")
        self._reports.append(report)
        layer = self._context.layer
        self._sources.append(PolicySource(file=file, layer=layer, text=text, included_by=included_by))
        return report

    def _checked(self, report: Report, folder: Path) -> tuple[Statement, ...]:
        self._folders.append(folder)
        checked = check(parse(report.text, report), report, self._context)
        self._folders.pop()
        return checked

    def _include(self, include: Include, report: Report) -> tuple[Statement, ...]:
        """Return the statements of the files that an `include` names, in the order of their names."""
        if not is_nameable(include.pattern):
            message = "no file can have this name"
            report.error(include.span, "bad-include", message, "write a path without control characters")
            return ()
        pattern = str(self._folders[-1] / include.pattern)
        self._patterns.append(absolute(pattern))
        found = files_of(pattern, most=MAX_FILES + 1)
        if found is None:
            message = f"this pattern leads past more than {MAX_NAMES} names"
            report.error(include.span, "bad-include", message, "name the folder")
            return ()
        return tuple(s for name in found for s in self._included(Path(name), include, report))

    def _included(self, path: Path, include: Include, report: Report) -> tuple[Statement, ...]:
        obstacle = self._obstacle(path)
        if obstacle:
            report.error(include.span, "bad-include", obstacle)
            return ()
        return self._path(path, include.span, report)

    def _obstacle(self, path: Path) -> str:
        """Say why a file can't be included; the empty text if it can."""
        file = real(path)
        if file in self._open:
            circle = " includes ".join(
                quote(one.name) for one in (*self._open[self._open.index(file) :], file)
            )
            return f"this goes in a circle: {circle}"
        if len(self._sources) >= MAX_FILES:
            return f"a policy consists of at most {MAX_FILES} files"
        if len(self._open) > MAX_INCLUDE_DEPTH:
            return f"files include each other more than {MAX_INCLUDE_DEPTH} deep"
        if is_special(path):
            return f"cannot include {quote(path.name)}: {_NOT_REGULAR}"
        return ""


@lru_cache(maxsize=1024)
def service_port(name: str) -> int | None:
    """Return the port of a service by the host's database, else by a table of well known ones."""
    import socket  # costs some 5 ms, and few policies name a service

    try:
        return socket.getservbyname(name)
    except OSError:
        # Minimal hosts have no /etc/services.
        return WELL_KNOWN_SERVICES.get(name)
