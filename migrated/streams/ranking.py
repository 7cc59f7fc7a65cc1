"""Which of several gateways to try first: what the `score-server` statements of the policy in force say.

The daemon is asked, since it knows what is measured. Where none runs the same files are read here, and what
is not measured is not known.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from migrated.config import Configuration, ConfigurationError, find_socket, load_configuration, named_file
from migrated.control.client import RefusedError, UnreachableError, request
from migrated.control.messages import ServerList, ServerReport, Servers
from migrated.streams.addresses import Destination, Endpoint
from migrated.streams.outcomes import Outcome, StreamProgramError

if TYPE_CHECKING:
    from engine import Connection, SessionDescription
    from migrated.streams.client import Say

ANSWER_S: Final = 3.0
"""Seconds that the daemon has for its answer."""

NOT_KNOWN: Final = "0.0.0.0"  # noqa: S104 - this binds nothing
"""The address of a destination of which only the name is known: the gateway looks it up, not we."""

PROGRAM: Final = "migrate"
"""What `on app` calls the program whose session it is."""


def ranked(
    places: Sequence[Endpoint], destinations: Sequence[Destination], say: Say, *, verbose: bool = False
) -> tuple[Endpoint, ...]:
    """Return the gateways that policy allows, the best first; a single one is not judged.

    Args:
        places: where the candidates are.
        destinations: where the connections are to lead, at least one.
        say: how to tell the user.
        verbose: whether to tell how each candidate is judged.

    Raises:
        StreamProgramError: policy rules all of them out, or the configuration has a mistake.
    """
    if len(places) == 1:
        return tuple(places)
    rows = _judged(tuple(dict.fromkeys(place.host for place in places)), destinations, say)
    if verbose:
        for row in rows:
            say(f"gateway {told(row)}")
    order = {row.name: number for number, row in enumerate(rows) if row.eligible}
    if not order:
        message = f"the policy rules out every gateway: {'; '.join(map(told, rows))}"
        raise StreamProgramError(message, Outcome.UNREACHABLE)
    return tuple(sorted((p for p in places if p.host in order), key=lambda place: order[place.host]))


def told(row: ServerReport) -> str:
    """Return how a candidate is judged, in one line."""
    return f"{row.name}: {', '.join(row.reasons)}"


def described(destinations: Sequence[Destination], user: str) -> SessionDescription:
    """Return the session whose servers are judged: all that is known of it before there is any.

    Args:
        destinations: where its connections lead, as its program names them; at least one.
        user: whose program it is.
    """
    from engine import SessionDescription

    connections = tuple(_connection(destination, user) for destination in destinations)
    return SessionDescription(id="described", connections=connections)


def _connection(destination: Destination, user: str) -> Connection:
    from engine import Connection

    tcp = isinstance(destination, Endpoint)
    host, port = (destination.host, destination.port) if isinstance(destination, Endpoint) else ("", 0)
    return Connection(
        proto="tcp" if tcp else "unix",
        local_address=NOT_KNOWN,
        local_port=0,
        remote_address=host if _is_address(host) else NOT_KNOWN,
        remote_port=port,
        user=user,
        app=PROGRAM,
        remote_hosts=(host,) if host and not _is_address(host) else (),
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _judged(
    names: tuple[str, ...], destinations: Sequence[Destination], say: Say
) -> tuple[ServerReport, ...]:
    try:
        configuration = load_configuration(named_file())
    except ConfigurationError as error:
        raise StreamProgramError(str(error), Outcome.USAGE) from error
    own = os.environ.get("MIGRATE_SOCKET")
    rows = _by_daemon(Path(own) if own else find_socket(configuration), names, destinations)
    return rows or _by_files(configuration, names, destinations, say)


def _by_daemon(
    socket: Path, names: tuple[str, ...], destinations: Sequence[Destination]
) -> tuple[ServerReport, ...]:
    """Ask the daemon; nothing if there is none, or an older one that can't say."""
    question = Servers(candidates=names, destinations=tuple(map(str, destinations)))
    try:
        answer = request(socket, question, ANSWER_S)
    except (UnreachableError, RefusedError):
        return ()
    return answer.servers if isinstance(answer, ServerList) else ()


def _by_files(
    configuration: Configuration, names: tuple[str, ...], destinations: Sequence[Destination], say: Say
) -> tuple[ServerReport, ...]:
    from engine import Engine
    from migrated.facts import known_facts
    from policylang import load_policy
    from policylang.diagnostics import Severity

    result = load_policy(configuration.policy_files(), with_defaults=True, facts=known_facts)
    if result.policy is None:
        first = next(d for d in result.diagnostics if d.severity is Severity.ERROR)
        say(f"gateways are tried as given, for the policy has a mistake: {first.span}: {first.message}")
        why = ("nothing is known of it",)
        return tuple(ServerReport(name=name, score=0, eligible=True, reasons=why) for name in names)
    session = described(destinations, _own_name())
    return tuple(map(ServerReport.of, Engine(result.policy).servers(session, names)))


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
