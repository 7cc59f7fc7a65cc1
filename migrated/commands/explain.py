"""`migrate policy explain`: how the links stand for a session, and who wins by which line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from migrated.commands.client import ask, complete_session, json_option, socket_option
from migrated.commands.policy_named import INSTALLED, complete_named, named_files

if TYPE_CHECKING:
    from engine import Connection, Engine, Explanation, SessionDescription
    from migrated.control.messages import ServerReport
    from monitors.events import Event, FactMeasured
    from policylang.ast import Policy

_SESSION_EXAMPLE: Final = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
_DESCRIBED: Final = "described"


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", shell_complete=complete_named)
@click.option(
    "--session",
    "sessions",
    multiple=True,
    metavar="TEXT",
    help=f'The session: "{_SESSION_EXAMPLE}"; IPv6 as [addr]:port. Given again: its further connections.',
)
@click.option(
    "--live",
    metavar="ID",
    shell_complete=complete_session,
    help="A session of the daemon's, by the beginning of its id.",
)
@click.option(
    "--link",
    "links",
    multiple=True,
    metavar="NAME=ADDRESS",
    help="A link that is up, by name or label; may be given again.  [default: the links of this host]",
)
@click.option(
    "--fact",
    "facts",
    multiple=True,
    metavar="FACT=VALUE",
    help='What is measured: "metered wlan0=yes", "rtt wlan0=300ms", "hour=23"; may be given again.',
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    help="Rank this candidate server, a name or an address; may be given again.",
)
@click.option("--user", help="The user whose program it is.")
@click.option("--app", help="The program, by name or path.")
@click.option("--remote-host", "hosts", multiple=True, metavar="NAME", help="A name of the other end.")
@click.option(
    "--role",
    type=click.Choice(["client", "server"]),
    default="client",
    show_default=True,
    help="Which end this host is; the client opened the connection.",
)
@socket_option
@json_option
@click.pass_context
def explain(
    ctx: click.Context,
    files: tuple[str, ...],
    sessions: tuple[str, ...],
    live: str | None,
    links: tuple[str, ...],
    facts: tuple[str, ...],
    servers: tuple[str, ...],
    user: str | None,
    app: str | None,
    hosts: tuple[str, ...],
    role: str,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Say which link a session would use, and by which lines of the policy.

    The session is one that you describe with `--session`, or a live one of the daemon's. The link
    in use is the one that has the session's local address. The policy that is shipped with the
    program is read first, as the daemon does. A FILE is a policy file of the host's, a folder of
    them, a configuration of the daemon (`*.toml`) that names the files of each layer, or the word
    `installed` for that of this host, which is also what is read without a FILE. The exit status
    is 0 if there is an answer, 1 if the policy has errors or the daemon refuses, 2 if something
    could not be read or the daemon can't be reached.

    \b
    Examples:
      migrate policy explain my.policy --session "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
      migrate policy explain examples/figure10.policy \\
        --session "tcp 10.0.0.5:40000 -> 18.31.0.9:22" \\
        --link eth0=10.0.0.5 --link ppp0=10.2.0.5 --fact "rtt ppp0=300ms"
      migrate policy explain with-a-user-policy.toml --session "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
      migrate policy explain --live 3fa9
      migrate policy explain --live 3fa9 --server a.example.org --server b.example.org
    """  # noqa: D301
    if live is not None:
        given = {
            "FILE": files,
            "--session": sessions,
            "--link": links,
            "--fact": facts,
            "--remote-host": hosts,
        }
        _check_alone(given, user, app)
        explanation, title, now = _live(socket, live)
        ranked = _ranked_live(socket, live, servers)
    else:
        session = _described(sessions, user, app, role, hosts)
        events = _links(links)
        measured = _facts(facts, session)
        engine = _engine(_policy(ctx, files), session, events, measured)
        explanation, now = engine.explain(session.id, 0.0), 0.0
        ranked = _ranked(engine, session, servers)
        title = "\n".join(f"{text} ({role})" for text in sessions)
    click.echo(_as_json(explanation, ranked) if as_json else _as_text(title, explanation, ranked, now))


def _check_alone(given: Mapping[str, tuple[object, ...]], user: str | None, app: str | None) -> None:
    """Make sure that nothing is described of a session that is live.

    Raises:
        click.UsageError: something is.
    """
    named = [name for name, values in given.items() if values]
    named += [name for name, value in (("--user", user), ("--app", app)) if value is not None]
    if named:
        raise click.UsageError(f"`--live` asks the daemon, which knows it all: leave out {', '.join(named)}")


def _live(socket: Path | None, session: str) -> tuple[Explanation, str, float]:
    """Ask the daemon about a session; return also what to call it, and the time on the daemon's clock."""
    import msgspec

    from migrated.commands.client import CannotReachError
    from migrated.control.messages import Explain, ExplanationReport

    report = ask(socket, Explain(session=session), ExplanationReport)
    try:
        explanation = report.read()
    except msgspec.DecodeError as error:
        raise CannotReachError("the daemon's answer makes no sense; is it of another version?") from error
    # The daemon's clock is the host's, which all its programs share.
    return explanation, f"session {explanation.session}", time.monotonic()


def _described(
    sessions: Sequence[str], user: str | None, app: str | None, role: str, hosts: Sequence[str]
) -> SessionDescription:
    """Return the session that the options describe.

    Raises:
        click.UsageError: they describe none.
    """
    from engine import SessionDescription

    if not sessions:
        raise click.UsageError(f'say which session: `--session "{_SESSION_EXAMPLE}"` or `--live ID`')
    connections = tuple(_connection(text, user, app, role, hosts) for text in sessions)
    return SessionDescription(id=_DESCRIBED, connections=connections)


def _connection(text: str, user: str | None, app: str | None, role: str, hosts: Sequence[str]) -> Connection:
    from migrated.authoring.described import DescriptionError, connection

    try:
        return connection(text, user=user, app=app, role=role, remote_hosts=hosts)
    except DescriptionError as problem:
        raise click.BadParameter(str(problem), param_hint="'--session'") from None


def _links(given: tuple[str, ...]) -> Sequence[Event]:
    """Return the links given, else those of this host, and then say on standard error which they are."""
    from migrated.commands.link_events import described, given_links, host_links

    if given:
        return given_links(given)
    events = host_links()
    click.echo(f"no `--link` given; the links of this host: {described(events)}", err=True)
    return events


def _facts(given: Sequence[str], session: SessionDescription) -> list[FactMeasured]:
    """Return the measurements given; those of paths and sessions are about this one.

    Raises:
        click.BadParameter: one makes no sense.
    """
    from migrated.authoring.described import DescriptionError

    try:
        return [_fact(text, session) for text in given]
    except DescriptionError as problem:
        raise click.BadParameter(str(problem), param_hint="'--fact'") from None


def _fact(text: str, session: SessionDescription) -> FactMeasured:
    """Read ``FACT [SUBJECT]=VALUE``.

    Raises:
        DescriptionError: it is not of that form, or there is no such fact or value.
    """
    from dataclasses import replace

    from migrated.authoring.described import DescriptionError
    from migrated.authoring.measured import fact_named, measured
    from migrated.authoring.policies import every_fact
    from monitors.facts import Subject

    what, equals, value = text.partition("=")
    if not equals:
        raise DescriptionError(f"`{text}` is not FACT=VALUE, such as `rtt wlan0=300ms`")
    name, *rest = what.split() or [""]
    subject = fact_named(name, every_fact()).subject
    if subject in (Subject.SESSION, Subject.CONNECTION) and not rest:
        what = f"{name} {session.id}"
    event = measured(what, value.strip(), every_fact())
    if subject is Subject.PATH and not event.peer:
        return replace(event, peer=session.peer)
    return replace(event, session=session.id) if event.session else event


def _policy(ctx: click.Context, files: tuple[str, ...]) -> Policy:
    """Load the policy; if it has errors, print them and end with the status that says so."""
    from migrated.authoring.policies import every_fact
    from policylang import UNREADABLE, load_policy, render_text

    result = load_policy(named_files(files or (INSTALLED,)), with_defaults=True, facts=every_fact)
    for diagnostic in result.diagnostics:
        click.echo(render_text(diagnostic), err=True)
    if result.policy is None:
        unreadable = any(diagnostic.code == UNREADABLE for diagnostic in result.diagnostics)
        ctx.exit(2 if unreadable else 1)
    return result.policy


def _engine(
    policy: Policy, session: SessionDescription, links: Sequence[Event], facts: Sequence[FactMeasured]
) -> Engine:
    """Return an engine in whose world exactly these links are up, and exactly this is measured."""
    from engine import Engine

    engine = Engine(policy)
    for event in links:
        engine.handle(event, 0.0)
    # Facts about sessions and the way to their peers are kept for live sessions only.
    engine.add_session(session, engine.explain(session, 0.0).current, 0.0)
    for event in facts:
        engine.handle(event, 0.0)
    return engine


def _ranked(engine: Engine, session: SessionDescription, servers: Sequence[str]) -> Sequence[ServerReport]:
    from migrated.control.messages import ServerReport

    return tuple(map(ServerReport.of, engine.servers(session.id, servers)))


def _ranked_live(socket: Path | None, session: str, servers: tuple[str, ...]) -> Sequence[ServerReport]:
    from migrated.control.messages import ServerList, Servers

    if not servers:
        return ()
    return ask(socket, Servers(session=session, candidates=servers), ServerList).servers


def _as_json(explanation: Explanation, servers: Sequence[ServerReport]) -> str:
    import msgspec

    fields = msgspec.to_builtins(explanation)
    if servers:
        fields["servers"] = msgspec.to_builtins(servers)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2).decode()


def _as_text(title: str, explanation: Explanation, servers: Sequence[ServerReport], now: float) -> str:
    from migrated.commands.explanation import explanation_text, servers_text

    text = explanation_text(title, explanation, now)
    return f"{text}\n\n{servers_text(servers)}" if servers else text
