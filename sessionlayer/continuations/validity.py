"""What makes a continuation one that can be kept and invoked: checked when written and when read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sessionlayer.continuations.attributes import AttributeStore
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import (
    ARGUMENTS_MAX,
    DESCRIPTORS_MAX,
    GROUPS_MAX,
    NAME_MAX,
    SIGNALS_MAX,
    TAGS_MAX,
    VARIABLES_MAX,
)
from sessionlayer.continuations.values import RESERVED, Continuation, Process, Tag

_ID_MAX: Final = 2**32 - 2
"""The largest user or group id; the one above it means none (setresuid(2))."""

_UMASK_MAX: Final = 0o777
_NICE: Final = range(-20, 20)


def check(continuation: Continuation) -> None:
    """Check everything about a continuation that can be judged by itself.

    Raises:
        ContinuationError: the first thing that is wrong with it.
    """
    own = {name: value for name, value in continuation.attributes.items() if not name.startswith(RESERVED)}
    AttributeStore(own, continuation.exported)
    _check_descriptors(continuation.descriptors)
    check_tags(continuation.compatibility)
    _check_length("the function's name", continuation.function)
    if continuation.process is not None:
        _check_process(continuation.process)


def check_tags(tags: Sequence[Tag]) -> None:
    """Check compatibility tags, of a continuation or of a program's vector.

    Raises:
        ContinuationError: there are too many, or one has an empty or overlong part.
    """
    _check_count("compatibility tags", len(tags), TAGS_MAX)
    for tag in tags:
        where = f"compatibility tag `{tag.id[:NAME_MAX]} {tag.name[:NAME_MAX]}`"
        _require(bool(tag.id and tag.name), where, "its id and its name must not be empty")
        for part in (tag.id, tag.name, tag.value):
            _check_length(where, part)


def _check_descriptors(names: Sequence[str]) -> None:
    _check_count("descriptors", len(names), DESCRIPTORS_MAX)
    for name in names:
        _require(bool(name), "descriptors", "a name must not be empty")
        _check_length("the name of a descriptor", name)
    _require(len(set(names)) == len(names), "descriptors", "two have the same name")


def _check_process(process: Process) -> None:
    _check_count("process arguments", len(process.argv), ARGUMENTS_MAX)
    _check_count("process environment", len(process.environment), VARIABLES_MAX)
    _check_count("process groups", len(process.groups), GROUPS_MAX)
    _check_count("blocked signals", len(process.blocked_signals), SIGNALS_MAX)
    _require(bool(process.argv and process.argv[0]), "process", "it has no command line")
    _require(process.directory.startswith("/"), "process directory", f"`{process.directory}` is not absolute")
    _check_texts("process arguments", process.argv)
    _check_texts("process directory", (process.directory,))
    _check_texts("process environment", (*process.environment, *process.environment.values()))
    named = all(name and "=" not in name for name in process.environment)
    _require(named, "process environment", "a variable's name is empty or has a `=` in it")
    _check_numbers(process)


def _check_numbers(process: Process) -> None:
    ids = (process.uid, process.euid, process.gid, process.egid, *process.groups)
    known = all(0 <= number <= _ID_MAX for number in ids)
    _require(known, "process", f"a user or group id is not one of 0 to {_ID_MAX}")
    _require(
        0 <= process.umask <= _UMASK_MAX, "process", f"the umask {process.umask:#o} is not one of 0 to 0o777"
    )
    _require(process.nice in _NICE, "process", f"the nice value {process.nice} is not one of -20 to 19")
    signals = all(1 <= number <= SIGNALS_MAX for number in process.blocked_signals)
    _require(signals, "blocked signals", f"a signal's number is not one of 1 to {SIGNALS_MAX}")


def _check_texts(where: str, texts: Iterable[str]) -> None:
    """What execve(2) takes ends at the first zero byte: a text with one in it would be another."""
    _require(not any("\0" in text for text in texts), where, "it has a zero byte in it")


def _check_length(where: str, text: str) -> None:
    _require(len(text) <= NAME_MAX, where, f"it has {len(text)} characters, at most {NAME_MAX} are allowed")


def _check_count(where: str, count: int, most: int) -> None:
    _require(count <= most, where, f"there are {count}, at most {most} are allowed")


def _require(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ContinuationError(where, what, "correct it where the continuation is made")
