"""`migrate ssh`: a shell on another host that outlives its client."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from migrated.commands.client import PlainError, echo_json, json_option
from migrated.commands.terminals import complete_terminal, echo_terminals
from migrated.log import printable

if TYPE_CHECKING:
    from migrated.terminal.bootstrap import Far
    from migrated.terminal.carrier import Carrier
    from migrated.terminal.requests import Ready, Request
    from sessionlayer.protocol.keys import HostKey

_FAILED: Final = 255
_WITH_VALUE: Final = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
_NEED_THE_CONNECTION: Final = {
    **dict.fromkeys(
        "DLRw", "forwarding ends with the ssh that starts the terminal; `migrate forward` carries a port"
    ),
    **dict.fromkeys("AXY", "forwarding ends with the ssh that starts the terminal"),
    "M": "the login is shared by this terminal alone",
    **dict.fromkeys("WNfnsOGQVT", "there would be no terminal"),
}
_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class SshError(PlainError):
    """End the command with status 255, as ssh does."""

    exit_code = _FAILED


class Words(NamedTuple):
    """A command line, taken apart: options of ours, options for ssh, host and command."""

    ours: list[str]
    ssh: list[str]
    rest: list[str]


class SshCommand(click.Command):
    """A command that passes short options on to ssh: before the host, as ssh has it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the options for ssh out, and parse the others.

        Raises:
            click.UsageError: an option makes no sense here.
        """
        takes_value = {
            name: isinstance(option, click.Option) and not option.is_flag
            for option in self.params
            for name in option.opts
        }
        try:
            words = take_apart(args, {name for name, takes in takes_value.items() if takes})
        except click.UsageError:
            if not ctx.resilient_parsing:  # completion of a line that is not finished
                raise
            words = Words([], [], [])
        ctx.meta["ssh_options"] = tuple(words.ssh)
        return super().parse_args(ctx, [*words.ours, "--", *words.rest] if words.rest else words.ours)


def take_apart(args: Sequence[str], with_value: set[str]) -> Words:
    """Divide a command line.

    Args:
        args: the words after `migrate ssh`.
        with_value: our options that take the next word as their value.

    Raises:
        click.UsageError: an option for ssh makes no sense here.
    """
    words = Words([], [], [])
    rest = list(args)
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == "--":
            break
        target = words.ours if word.startswith("--") else words.ssh
        more = word in with_value if word.startswith("--") else _short_takes_next(word)
        target.append(word)
        if more and rest:
            target.append(rest.pop(0))
    words.rest.extend(rest)
    return words


def _short_takes_next(word: str) -> bool:
    """Return whether the value of the last option in ``word``, such as ``-4p``, is the next word."""
    for place, letter in enumerate(word[1:], 2):
        if letter in _NEED_THE_CONNECTION:
            raise click.UsageError(f"`-{letter}` can't be used here: {_NEED_THE_CONNECTION[letter]}")
        if letter in _WITH_VALUE:
            return place == len(word)
    return False


def is_quiet(options: Sequence[str]) -> bool:
    """Return whether ``-q`` is among options for ssh."""
    words = iter(options)
    for word in words:
        for letter in word[1:]:
            if letter == "q":
                return True
            if letter in _WITH_VALUE:
                break
        if _short_takes_next(word):
            next(words, None)
    return False


class Period(click.ParamType[float]):
    """A time such as `30d`, as seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return seconds.

        Raises:
            click.BadParameter: it is not such a time.
        """
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,6})\s*(s|min|h|d)", value)
        if found is None or int(found[1]) == 0 or int(found[1]) * _UNITS[found[2]] > 3650 * _UNITS["d"]:
            self.fail(
                f"`{value}` is not a time up to 3650d, such as `90s`, `30min`, `12h` or `30d`", param, ctx
            )
        return int(found[1]) * _UNITS[found[2]]


@click.command(cls=SshCommand)
@click.option("--name", metavar="NAME", default="", help="Call the new terminal so.")
@click.option(
    "--attach",
    metavar="NAME",
    default="",
    shell_complete=complete_terminal,
    help="Go to a terminal that is there already.",
)
@click.option("--list", "list_", is_flag=True, help="List your terminals on HOST.")
@json_option
@click.option(
    "--kill",
    metavar="NAME",
    default="",
    shell_complete=complete_terminal,
    help="End a terminal and what runs in it.",
)
@click.option(
    "--expire", type=Period(), default="30d", show_default=True, help="How long it lives without a client."
)
@click.option(
    "--via",
    type=click.Choice(["auto", "direct", "ssh"]),
    default="auto",
    show_default=True,
    help="How the terminal comes here: over TCP directly, carried by ssh, or by ssh if need be.",
)
@click.option("--server", metavar="PATH", default="", help="Where `migrate` is on HOST, if not on its path.")
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def ssh(ctx: click.Context, /, **choices: Any) -> None:  # noqa: ANN401
    """Open a shell on HOST, or run COMMAND there, in a terminal that outlives networks and clients.

    Usage is that of ssh, whose short options go before HOST. ssh logs in; then the terminal is carried over
    a stream of its own, end to end encrypted, to TCP ports 6450 to 6549 of HOST, or by ssh where a firewall
    is in the way. HOST needs migrate-sessions too, but no privilege and no daemon. `~.` leaves; the terminal
    stays. The exit status is that of the shell, or 255.

    \b
    Examples:
      migrate ssh -p 2222 alice@build.example
      migrate ssh --name nightly build.example make check
      migrate ssh --attach nightly build.example
      migrate ssh --list build.example
      migrate ssh --list --json build.example | jq -r '.[].name'
      migrate ssh --via ssh build.example
    """  # noqa: D301
    from migrated.terminal.bootstrap import Far

    options: tuple[str, ...] = ctx.meta["ssh_options"]
    far = Far(host=choices["host"], options=options, server=choices["server"])
    wishes = [name for name in ("name", "attach", "list_", "kill") if choices[name]]
    if len(wishes) > 1:
        raise click.UsageError("use only one of `--name`, `--attach`, `--list` and `--kill`", ctx)
    if choices["as_json"] and not choices["list_"]:
        raise click.UsageError("`--json` is for `--list`", ctx)
    command = " ".join(choices["command"])
    if command and wishes and wishes[0] != "name":
        raise click.UsageError("a command can only be given for a new terminal", ctx)
    if choices["list_"]:
        list_far(far, as_json=choices["as_json"])
    elif choices["kill"]:
        kill_far(far, choices["kill"])
    else:
        via: str = choices["via"]
        ctx.exit(_open(far, via, choices["name"], choices["attach"], command, choices["expire"]))


def list_far(far: Far, *, as_json: bool) -> None:
    """Print the terminals of another host, as a table or as JSON."""
    from migrated.terminal.requests import List, TerminalList

    answer = _ask(far, List())
    assert isinstance(answer, TerminalList)
    if as_json:
        echo_json(answer.terminals)
    else:
        echo_terminals(answer.terminals)


def kill_far(far: Far, name: str) -> None:
    """End a terminal of another host."""
    from migrated.terminal.requests import Kill

    _ask(far, Kill(name=name))


def _open(far: Far, via: str, name: str, attach: str, command: str, expire_s: float) -> int:
    import os
    from contextlib import nullcontext

    from migrated.terminal.bootstrap import local_environment
    from migrated.terminal.carrier import Carrier
    from migrated.terminal.requests import Open, Ready
    from sessionlayer.protocol.keys import HostKey

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SshError(
            "standard input and output must be a terminal; use `ssh` for a command whose output is redirected"
        )
    identity = HostKey.generate(os.urandom)
    request = Open(
        client_key=identity.public_bytes,
        name=attach or name,
        attach=bool(attach),
        command=command,
        environment=local_environment(),
        expire_s=expire_s,
    )
    with nullcontext() if via == "direct" else Carrier(far) as carrier:
        ready = _ask(far, request, carrier)
        assert isinstance(ready, Ready)
        if not attach and not is_quiet(far.options):
            _introduce(far, via, ready)
        return _run(far, via, ready, identity, carrier)


def _run(far: Far, via: str, ready: Ready, identity: HostKey, carrier: Carrier | None) -> int:
    import asyncio

    from migrated.terminal.attach import Destination, UnreachableHolderError, attach
    from migrated.terminal.bootstrap import addresses

    def notify(reason: str) -> None:
        click.echo(f"migrate: ssh carries this terminal: {reason} (TCP port {ready.port})", err=True)

    destination = Destination(
        host=far.host,
        ready=ready,
        options=_typed(far, via),
        addresses=[*addresses(far), *ready.addresses] if via != "ssh" else (),
        carrier=carrier,
        notify=notify,
    )
    try:
        end = asyncio.run(attach(destination, identity, sys.stdin.fileno()))
    except UnreachableHolderError as error:
        raise SshError(str(error)) from error
    except OSError as error:
        raise SshError(f"your terminal is gone: {(error.strerror or str(error)).lower()}") from error
    if end.message:
        click.echo(f"migrate: {printable(end.message)}", err=True)
    return end.status


def _introduce(far: Far, via: str, ready: Ready) -> None:
    """Say what a new terminal is called, and which others wait."""
    from migrated.terminal.advice import again

    options = _typed(far, via)
    back = again(far.host, options, "--attach", ready.name)
    lines = [f"this is `{ready.name}`; `~.` leaves it, `{back}` comes back to it"]
    if ready.waiting:
        names = ", ".join(f"`{name}`" for name in ready.waiting)
        there = again(far.host, options, "--attach", "NAME")
        lines.append(f"on `{far.host}` there is also {names}; `{there}` goes there")
    for line in lines:
        click.echo(f"migrate: {printable(line)}", err=True)


def _typed(far: Far, via: str) -> tuple[str, ...]:
    """Return the options that lead to a host, as the user typed them."""
    server = ("--server", far.server) if far.server else ()
    return *far.options, *server, *(("--via", via) if via != "auto" else ())


def _ask(far: Far, request: Request, carrier: Carrier | None = None) -> object:
    from migrated.terminal.bootstrap import BootstrapError, ask_far
    from migrated.terminal.requests import Refused

    try:
        answer = ask_far(far, request) if carrier is None else carrier.ask(request)
    except BootstrapError as error:
        raise SshError(str(error)) from error
    if isinstance(answer, Refused):
        raise SshError(f"`{far.host}`: {answer.reason}")
    return answer
