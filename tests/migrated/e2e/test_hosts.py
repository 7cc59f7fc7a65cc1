"""A policy that adopts by the name of the other host, and ranks servers for its sessions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrated.commands import cli
from migrated.control.client import RefusedError
from migrated.control.messages import ServerList, Servers
from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.daemons import Daemon

POLICY = f"""\
monitor-policy {{
    score-interface * 1
    on remote-host nowhere.invalid, "{SERVER_V4}" {{  # an address is a name that leads to itself
        adopt
        score-server b.example 5
    }}
    on remote-host c.invalid score-server b.example never
}}
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that is not named after the test: a socket's path has 107 bytes at most."""
    return tmp_path_factory.mktemp("arena")


def ranked(daemon: Daemon, question: Servers) -> list[tuple[str, bool]]:
    answer = daemon.ask(question)
    assert isinstance(answer, ServerList)
    return [(row.name, row.eligible) for row in answer.servers]


def explained(daemon: Daemon, session: str, candidates: tuple[str, ...]) -> list[str]:
    """Return the servers in the order in which `migrate policy explain` names them."""
    servers = [word for name in candidates for word in ("--server", name)]
    arguments = ["policy", "explain", "--json", "--socket", str(daemon.socket), "--live", session, *servers]
    result = CliRunner().invoke(cli, arguments)
    return [row["name"] for row in json.loads(result.output)["servers"]]


def test_a_connection_is_adopted_by_the_name_of_its_host(folder: Path) -> None:
    with Arena(folder, policy=POLICY) as arena:
        talk = arena.adopted(arena.talk())
        told = arena.here.await_event("hosts-unknown").fields
        assert told["hosts"] == ["c.invalid", "nowhere.invalid"]
        candidates = ("a.example", "b.example")
        of_session = Servers(candidates=candidates, session=talk.session[:6])
        assert ranked(arena.here, of_session) == [("b.example", True), ("a.example", True)]
        assert explained(arena.here, talk.session, candidates) == ["b.example", "a.example"]
        to_come = Servers(candidates=candidates, destinations=("c.invalid:22",))
        assert ranked(arena.here, to_come) == [("a.example", True), ("b.example", False)]
        arena.here.stop()
        mark = arena.here.mark()
        arena.here.start()
        arena.here.await_event("restored", since=mark, session=talk.session)
        assert ranked(arena.here, of_session)[0] == ("b.example", True)
        talk.await_progress()
        talk.finish()


def test_what_servers_are_wanted_for_must_be_said(folder: Path) -> None:
    with Arena(folder, policy=POLICY, peer_has_daemon=False) as arena:
        for question, message in (
            (Servers(candidates=("a",)), "name a session, or destinations"),
            (Servers(candidates=("a",), destinations=("nonsense",)), "`nonsense` has no port"),
            (Servers(candidates=("a",), session="00"), "no session"),
        ):
            with pytest.raises(RefusedError, match=message):
                arena.here.ask(question)
