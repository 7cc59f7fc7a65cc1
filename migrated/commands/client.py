"""What the commands that talk to the daemon have in common: its socket, its errors, tables, completion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from migrated.control.client import RefusedError, UnreachableError, request
from migrated.control.continuations import ContinuationList, Continuations
from migrated.control.messages import Answer, LinkList, Links, Request, SessionList, Sessions
from migrated.control.observations import MonitorList, Monitors
from migrated.log import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

AnswerT = TypeVar("AnswerT", bound=Answer)
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

SHORTEST_ID: Final = 6
"""Digits of a session's id that are shown even if fewer tell it from the others."""

_COMPLETION_TIMEOUT_S: Final = 1.0
_WIDE: Final = 10_000
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class PlainError(click.ClickException):
    """End the command with a message that may have words of others in it: nothing of it steers a terminal."""

    def format_message(self) -> str:
        """Return the message with everything escaped but the ends of its lines."""
        return "\n".join(map(printable, self.message.split("\n")))


class CannotReachError(PlainError):
    """End the command with status 2: there is no daemon to ask."""

    exit_code = 2


class DeniedError(PlainError):
    """End the command with status 1: the daemon refused."""

    exit_code = 1


def socket_option(command: CommandT) -> CommandT:
    """Give a command the option ``--socket``, to be passed to `ask`."""
    option = click.option(
        "--socket",
        type=click.Path(path_type=Path),
        envvar="MIGRATE_SOCKET",
        metavar="PATH",
        help="The control socket of the daemon, if it is not the usual one (also: MIGRATE_SOCKET).",
    )
    return option(command)


def json_option(command: CommandT) -> CommandT:
    """Give a command the flag ``--json``, passed as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def ask(socket: Path | None, message: Request, kind: type[AnswerT]) -> AnswerT:
    """Ask the daemon and return its answer, which must be of this kind.

    Args:
        socket: what ``--socket`` says.
        message: the request.
        kind: the type of the answer.

    Raises:
        CannotReachError: no daemon answers.
        DeniedError: the daemon refuses.
    """
    with exit_statuses():
        answer = request(control_socket(socket), message)
    if not isinstance(answer, kind):
        raise CannotReachError("the daemon gave an answer to another question; is it of another version?")
    return answer


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Turn errors of the conversation with the daemon into those that end a command.

    Raises:
        CannotReachError: no daemon answers.
        DeniedError: the daemon refuses.
    """
    try:
        yield
    except UnreachableError as error:
        raise CannotReachError(str(error)) from error
    except RefusedError as error:
        raise DeniedError(str(error)) from error


def control_socket(given: Path | None) -> Path:
    """Return the socket of the daemon to ask: the one given, else the one that the configuration names.

    Raises:
        CannotReachError: the configuration has a mistake.
    """
    from migrated.config import ConfigurationError, find_socket, load_configuration, named_file

    if given is not None:
        return given
    try:
        return find_socket(load_configuration(named_file()))
    except ConfigurationError as error:
        raise CannotReachError(str(error)) from error


def echo_json(value: object) -> None:
    """Print a message of the daemon, or a part of one, as JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; where nobody looks at it on a terminal, one line per row."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE  # `print` takes no greater width than that of its console
    console.print(table, crop=False)


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return the beginning of each id that tells it from the others, all of one length."""
    length = SHORTEST_ID
    while len({id_[:length] for id_ in ids}) < len(set(ids)):
        length += 1
    return {id_: id_[:length] for id_ in ids}


def age(since: float) -> str:
    """Return how long ago ``since`` (seconds since the epoch) was, in its largest whole unit."""
    return duration(time.time() - since)


def duration(seconds: float) -> str:
    """Return a duration in its largest whole unit: ``5 min``."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def moment(at: float) -> str:
    """Return a time (seconds since the epoch) on the local clock, with the date unless it is today's."""
    from datetime import datetime

    local = datetime.fromtimestamp(at).astimezone()
    today = datetime.fromtimestamp(time.time()).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def complete_session(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the sessions whose id begins so, as the shell's completion wants them."""
    from click.shell_completion import CompletionItem

    answer = _ask_quietly(ctx, Sessions())
    sessions = answer.sessions if isinstance(answer, SessionList) else ()
    short = short_ids([session.id for session in sessions])
    return [
        CompletionItem(
            max(short[session.id], incomplete, key=len),
            help=printable(f"{session.program} to {session.peer}"),
        )
        for session in sessions
        if session.id.startswith(incomplete)
    ]


def complete_continuation(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the sessions with a continuation whose id begins so, as the shell's completion wants them."""
    from click.shell_completion import CompletionItem

    answer = _ask_quietly(ctx, Continuations())
    found = answer.continuations if isinstance(answer, ContinuationList) else ()
    short = short_ids([one.session for one in found])
    return [
        CompletionItem(max(short[one.session], incomplete, key=len), help=printable(one.program))
        for one in found
        if one.session.startswith(incomplete)
    ]


def complete_link(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the links whose name begins so, as the shell's completion wants them."""
    from click.shell_completion import CompletionItem

    answer = _ask_quietly(ctx, Links())
    links = answer.links if isinstance(answer, LinkList) else ()
    found = {link.name: link.address for link in links if link.name.startswith(incomplete)}
    return [CompletionItem(name, help=address) for name, address in found.items()]


def complete_monitor(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the monitors whose name begins so, as the shell's completion wants them."""
    from click.shell_completion import CompletionItem

    answer = _ask_quietly(ctx, Monitors())
    found = answer.monitors if isinstance(answer, MonitorList) else ()
    return [
        CompletionItem(printable(monitor.name), help=printable(monitor.state))
        for monitor in found
        if monitor.name.startswith(incomplete)
    ]


def _ask_quietly(ctx: click.Context, message: Request) -> Answer | None:
    """Ask for completion, where nobody could read an error."""
    try:
        return request(control_socket(ctx.params.get("socket")), message, _COMPLETION_TIMEOUT_S)
    except (CannotReachError, RefusedError, UnreachableError):
        return None
