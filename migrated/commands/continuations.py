"""`migrate continuations`: what programs left behind to go on from."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import click

from migrated.commands.client import (
    age,
    ask,
    complete_continuation,
    duration,
    echo_json,
    echo_table,
    json_option,
    short_ids,
    socket_option,
)
from migrated.control.continuations import (
    AttributeReport,
    ContinuationList,
    ContinuationReport,
    Continuations,
    ContinuationSummary,
    ExpireContinuation,
    ShowContinuation,
)
from migrated.control.messages import Done
from migrated.log import printable

_COLUMNS = ("SESSION", "PROGRAM", "USER", "KIND", "SIZE", "AGE", "EXPIRES")
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@click.group()
def continuations() -> None:
    """List, show and give up what programs left behind to go on from.

    A program that knows Migrate can hand a suspended session over to the daemon: as a *continuation*, from
    which it goes on when a link is back. You see those of your own programs; root sees all.

    \b
    Examples:
      migrate continuations list
      migrate continuations show 3fa9c1
    """  # noqa: D301


@continuations.command(name="list")
@socket_option
@json_option
def list_continuations(socket: Path | None, as_json: bool) -> None:
    """List the continuations, those that expire first in front.

    One of kind `altered` is not what the daemon stored: it will never be invoked, and only root sees it. The
    exit status is 0 if the daemon answers, 1 if it refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate continuations list
      migrate continuations list --json | jq 'map(.size) | add'
    """  # noqa: D301
    found = ask(socket, Continuations(), ContinuationList).continuations
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("no continuations")
        return
    short = short_ids([one.session for one in found])
    echo_table(_COLUMNS, (_row(one, short[one.session]) for one in found))


@continuations.command(short_help="Show what is in the continuation of a session.")
@click.argument("session", shell_complete=complete_continuation)
@click.option(
    "--values", is_flag=True, help="Print values of attributes and variables, too: they may be secret."
)
@socket_option
@json_option
def show(session: str, values: bool, socket: Path | None, as_json: bool) -> None:
    """Show what is in the continuation of SESSION: what goes on, where, with which attributes.

    SESSION is an id from `migrate continuations list` or the beginning of one. The exit status is 0 if the
    daemon answers, 1 if it refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate continuations show 3fa9c1
      migrate continuations show 3fa9c1 --values --json | jq -r '.attributes[0].value | @base64d'
    """  # noqa: D301
    report = ask(socket, ShowContinuation(session=session, values=values), ContinuationReport)
    if as_json:
        echo_json(report)
        return
    for name, text in _lines(report):
        click.echo(f"{name + ':':15}{printable(text)}")


@continuations.command(short_help="Give a session up now, as if it had expired.")
@click.argument("session", shell_complete=complete_continuation)
@socket_option
def expire(session: str, socket: Path | None) -> None:
    """Give SESSION up now, as if it had expired: its connection ends, its program is told if it wants to be.

    SESSION is an id from `migrate continuations list` or the beginning of one. The exit status is 0 if the
    session is given up, 1 if the daemon refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate continuations expire 3fa9c1
    """  # noqa: D301
    click.echo(printable(ask(socket, ExpireContinuation(session=session), Done).message))


def _row(one: ContinuationSummary, short: str) -> tuple[str, ...]:
    if one.kind == "altered":
        return (short, "", "", one.kind, "", "", "")
    return (short, one.program, one.user, one.kind, _size(one.size), age(one.stored_at), _expiry(one))


def _lines(report: ContinuationReport) -> Iterator[tuple[str, str]]:
    """Yield the lines of `show`, each a name and a text; those that say nothing are left out."""
    summary = report.summary
    yield "session", summary.session
    yield "program", f"{summary.program} of {summary.user}"
    yield "kind", f"{summary.kind}, {_size(summary.size)}"
    yield "age", age(summary.stored_at)
    yield "expires", _expiry(summary) + (", and its program is told" if report.on_expiry else "")
    if report.function:
        yield "goes on in", report.function
    if report.command_line:
        yield "command line", shlex.join(report.command_line)
        yield "directory", report.directory
    for variable in report.variables:
        yield "variable", variable
    for name in report.descriptors:
        yield "descriptor", name
    for attribute in report.attributes:
        yield "attribute", _attribute(attribute)
    for tag in report.compatibility:
        yield "needs", tag
    for difference in report.differs:
        yield "differs", difference


def _attribute(attribute: AttributeReport) -> str:
    exported = ", exported" if attribute.exported else ""
    value = "" if attribute.value is None else f" = {attribute.value!r}"
    return f"{attribute.name} ({_size(attribute.size)}{exported}){value}"


def _expiry(one: ContinuationSummary) -> str:
    if one.expires_at is None:
        return "never"
    return f"in {duration(one.expires_at - time.time())}"


def _size(size: int) -> str:
    for length, unit in _UNITS:
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} B"
