"""Timelines as they are written: TOML, read into typed values or a message that says what is wrong.

``docs/timelines.md`` describes the format.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from migrated.authoring.tables import TimelineError, Written, read_table
from monitors.facts import FactValue
from policylang.diagnostics import printable, quote

SUFFIX: Final = ".timeline.toml"
"""What the names of timelines end with, where a folder is searched for them."""

MAX_BYTES: Final = 1 << 20
"""Largest file of timelines."""

Names = str | list[str]
"""One name, or several."""


class SessionTable(Written, frozen=True, kw_only=True):
    """A session: its connections, and what is known of its program.

    Attributes:
        connections: Each as `tcp 10.0.0.5:40000 -> 18.31.0.9:22`.
        user: The user whose program it is.
        app: The program's path or name.
        role: Which end this host is.
        remote_host: Names of the other end.
        link: The link it uses at first; else the one that has its local address.
        suspended: Whether it is suspended at first.
        servers: The candidates that `score-server` ranks.
    """

    connections: list[str]
    user: str | None = None
    app: str | None = None
    role: str = "client"
    remote_host: Names = ""
    link: str = ""
    suspended: bool = False
    servers: list[str] = field(default_factory=list)


class FactWithLifetime(Written, frozen=True, kw_only=True):
    """A measurement that is forgotten after a while."""

    value: FactValue
    lifetime: str


Links = dict[str, Names]
Sessions = dict[str, str | SessionTable]
Facts = dict[str, FactValue | FactWithLifetime]


class Step(Written, frozen=True, kw_only=True):
    """What happens at an instant, and what is then to be so. Durations are as in policies."""

    at: str
    note: str = ""
    # What happens, in this order.
    policy: list[str] | None = None
    fails: Names = ""
    works: Names = ""
    add: Links = field(default_factory=dict)
    up: Names = ""
    down: Names = ""
    remove: Names = ""
    close: Names = ""
    facts: Facts = field(default_factory=dict)
    open: Sessions = field(default_factory=dict)
    # What is to be so.
    expect: dict[str, str] = field(default_factory=dict)
    because: str | dict[str, Names] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)
    adopted: dict[str, bool] = field(default_factory=dict)
    expires: dict[str, str] = field(default_factory=dict)
    eager: dict[str, bool] = field(default_factory=dict)
    notified: dict[str, bool] = field(default_factory=dict)
    servers: dict[str, list[str]] = field(default_factory=dict)


class Timeline(Written, frozen=True, kw_only=True):
    """One test: a world, its sessions, and what happens."""

    name: str
    links: Links = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    sessions: Sessions = field(default_factory=dict)
    steps: tuple[Step, ...]
    line: int = 0
    step_lines: tuple[int, ...] = ()


class _TestTable(Written, frozen=True, kw_only=True):
    """A test as it is written, its steps unread."""

    name: str
    steps: list[dict[str, Any]]
    links: Links = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    sessions: Sessions = field(default_factory=dict)


class _FileTable(Written, frozen=True, kw_only=True):
    """A file as it is written, its tests unread."""

    policy: list[str]
    test: list[dict[str, Any]]
    # Named as in the daemon's configuration.
    user_policy: list[str] = field(default_factory=list, name="user_policy")
    application_policy: list[str] = field(default_factory=list, name="application_policy")
    defaults: bool = True


class TimelineFile(Struct, frozen=True, kw_only=True):
    """A file of timelines.

    Attributes:
        path: Where it is.
        policy: The policy files, relative to the file's folder: the system's.
        user_policy: Those of the user.
        application_policy: Those of applications.
        defaults: Whether the policy that is shipped with the program is read first.
        tests: The tests in the order in which they are written.
    """

    path: Path
    policy: tuple[str, ...]
    user_policy: tuple[str, ...] = ()
    application_policy: tuple[str, ...] = ()
    defaults: bool
    tests: tuple[Timeline, ...]


def read_timelines(path: Path) -> TimelineFile:
    """Read a file of timelines.

    Raises:
        TimelineError: it is no such file; the message begins with its name.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TimelineError(f"{path}: this is too large to be a file of timelines")
    return parse_timelines(data, path)


def parse_timelines(data: bytes, path: Path) -> TimelineFile:
    """Read the content of a file of timelines; ``path`` names it in messages.

    Raises:
        TimelineError: it is no such file; the message begins with its name.
    """
    try:
        text = data.decode("utf-8-sig")
        raw = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        hint = "" if path.name.endswith(SUFFIX) else f"; timelines are in files such as `dock{SUFFIX}`"
        raise TimelineError(f"{path}: this is not TOML: {error}{hint}") from None
    file = read_table(raw, _FileTable, str(path))
    if not file.test:
        raise TimelineError(f"{path}: there is no test in it; write `[[test]]`")
    spots = list(_spots(text.splitlines(), len(file.test)))
    tests = tuple(_test(raw, path, number, spots[number - 1]) for number, raw in enumerate(file.test, 1))
    names = [test.name for test in tests]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TimelineError(f"{path}: there are two tests of the name {quote(twice)}; give each its own")
    return TimelineFile(
        path=path,
        policy=tuple(file.policy),
        user_policy=tuple(file.user_policy),
        application_policy=tuple(file.application_policy),
        defaults=file.defaults,
        tests=tests,
    )


def several(names: Names) -> Sequence[str]:
    """Return names as a list: none, one, or several."""
    if isinstance(names, str):
        return [names] if names else []
    return names


def _test(raw: dict[str, Any], path: Path, number: int, spot: tuple[int, str]) -> Timeline:
    line, text = spot
    name = raw.get("name")
    title = f"test {quote(name)}" if isinstance(name, str) else f"test {number}"
    table = read_table(raw, _TestTable, f"{path}:{line}: {title}", SessionTable)
    step_lines = _step_lines(text, line, len(table.steps))
    steps = tuple(
        _step(raw, count, f"{path}:{step_line}: {title}")
        for count, (raw, step_line) in enumerate(zip(table.steps, step_lines, strict=True), 1)
    )
    return Timeline(
        name=table.name,
        links=table.links,
        facts=table.facts,
        sessions=table.sessions,
        steps=steps,
        line=line,
        step_lines=tuple(step_lines),
    )


def _step(raw: dict[str, Any], number: int, where: str) -> Step:
    at = raw.get("at")
    shown = f" ({printable(at)})" if isinstance(at, str) else ""
    return read_table(raw, Step, f"{where}, step {number}{shown}", SessionTable)


# The reader of TOML keeps no lines. Tests and steps are therefore looked for in the text; where that
# finds another number of them than the reader did, the next greater thing is named.

_TEST_HEADER: Final = re.compile(r"\s*\[\[\s*test\s*\]\]")
_STEP: Final = re.compile(r"""(?:^|[{,])\s*at\s*=\s*["']""")


def _spots(lines: list[str], tests: int) -> Iterator[tuple[int, str]]:
    """Yield for each test the number of its first line, and its text."""
    heads = [number for number, line in enumerate(lines) if _TEST_HEADER.match(line)]
    if len(heads) != tests:
        yield from [(1, "")] * tests
        return
    for head, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        yield head + 1, "\n".join(lines[head:end])


def _step_lines(text: str, first: int, steps: int) -> list[int]:
    """Return the number of the line in which each step begins."""
    lines = [line.partition("#")[0] if line.lstrip().startswith("#") else line for line in text.split("\n")]
    found = [first + number for number, line in enumerate(lines) for _ in _STEP.finditer(line)]
    return found if len(found) == steps else [first] * steps
