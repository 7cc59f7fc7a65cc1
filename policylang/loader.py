"""Policy files and service names: the only module here that reads anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from policylang.ast import Policy
from policylang.checker import check
from policylang.diagnostics import Diagnostic, Report, Severity, whole_file
from policylang.parser import parse
from policylang.services import WELL_KNOWN_SERVICES

MAX_POLICY_BYTES = 1 << 20
"""Largest policy file: some 20,000 statements, which nobody writes by hand."""

DEFAULT_POLICY_FILE = Path(__file__).with_name("default.policy")
"""The policy that holds where no other says anything."""

UNREADABLE = "unreadable"
"""The code of a diagnostic about a file that could not be read at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """A checked policy, or what is wrong with it.

    ``policy`` is ``None`` if and only if one of ``diagnostics`` is an error.
    """

    policy: Policy | None
    diagnostics: tuple[Diagnostic, ...]


def load_policy(paths: Sequence[Path], *, with_defaults: bool = False) -> LoadResult:
    """Read policy files in the order given: system, user, application.

    Never raises for what a file contains or for one that cannot be read.

    Args:
        paths: The files. Statements of later ones win over those of earlier ones.
        with_defaults: Whether to put ``DEFAULT_POLICY_FILE`` first.

    Source: the Migrate paper, section V-E, on system, user and application policy.
    """
    every = [DEFAULT_POLICY_FILE, *paths] if with_defaults else list(paths)
    return _joined([_load_file(path) for path in every])


def parse_policy(text: str, file: str = "<policy>") -> LoadResult:
    """Parse and check the text of one policy file; ``file`` names it in spans and messages."""
    report = Report(file=file, text=text)
    statements = check(parse(text, report), report, service_port)
    policy = None if report.failed else Policy(files=(file,), statements=statements)
    return LoadResult(policy=policy, diagnostics=report.diagnostics())


def parse_policy_bytes(data: bytes, file: str = "<policy>") -> LoadResult:
    """Parse and check the content of one policy file, which must be UTF-8 text."""
    if len(data) > MAX_POLICY_BYTES:
        hint = f"a policy has at most {MAX_POLICY_BYTES // 1024} KiB"
        return _failure(file, "too-large", "this file is too large to be a policy", hint)
    if b"\0" in data:
        return _failure(file, "not-text", "this is a binary file", "a policy is UTF-8 text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} has the byte 0x{data[error.start]:02x}, which is not UTF-8"
        return _failure(file, "not-text", message, "save the file as UTF-8 text")
    return parse_policy(text, file)


@lru_cache(maxsize=1024)
def service_port(name: str) -> int | None:
    """Return the port of a service by the host's database, else by a table of well known ones."""
    import socket  # costs some 5 ms, and few policies name a service

    try:
        return socket.getservbyname(name)
    except OSError:
        # Minimal hosts have no /etc/services.
        return WELL_KNOWN_SERVICES.get(name)


def _load_file(path: Path) -> LoadResult:
    try:
        data = _read(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return _failure(str(path), UNREADABLE, f"cannot read this file: {reason}")
    return parse_policy_bytes(data, str(path))


def _read(path: Path) -> bytes:
    """Return at most one byte more than a policy may have.

    Raises:
        OSError: The file cannot be opened or read, or is a folder.
    """
    # Opening a named pipe without a writer would wait for ever; reading one that has a writer may wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_POLICY_BYTES + 1)


def _joined(results: Sequence[LoadResult]) -> LoadResult:
    diagnostics = tuple(diagnostic for result in results for diagnostic in result.diagnostics)
    policies = [result.policy for result in results if result.policy is not None]
    if len(policies) < len(results):
        return LoadResult(policy=None, diagnostics=diagnostics)
    joined = Policy(
        files=tuple(file for policy in policies for file in policy.files),
        statements=tuple(statement for policy in policies for statement in policy.statements),
    )
    return LoadResult(policy=joined, diagnostics=diagnostics)


def _failure(file: str, code: str, message: str, hint: str = "") -> LoadResult:
    problem = Diagnostic(
        span=whole_file(file), code=code, message=message, hint=hint, severity=Severity.ERROR
    )
    return LoadResult(policy=None, diagnostics=(problem,))
