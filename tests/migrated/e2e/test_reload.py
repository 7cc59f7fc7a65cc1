"""A running daemon takes a saved policy, refuses a wrong one, and moves sessions by the new one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrated.control.messages import PolicyReport, PolicyShow
from migrated.lab import Lab
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.daemons import POLICY, Daemon

pytestmark = pytest.mark.alone

IN_FORCE_S = 0.5
LATE_S = 0.2
"""What starting programs and reading the log may add on a busy host."""


def shown(daemon: Daemon) -> PolicyReport:
    report = daemon.ask(PolicyShow())
    assert isinstance(report, PolicyReport)
    return report


def save(daemon: Daemon, text: str) -> None:
    new = daemon.folder / "new"
    new.write_text(text)
    new.rename(daemon.folder / "test.policy")


@pytest.fixture
def unchanged(arena: Arena) -> Iterator[None]:
    """Put the policy of the other tests back afterwards."""
    yield
    mark = arena.here.mark()
    if shown(arena.here).files[-1].text != POLICY:
        save(arena.here, POLICY)
        arena.here.await_event("policy-loaded", since=mark)


@pytest.mark.usefixtures("unchanged")
def test_a_saved_policy_moves_a_session(arena: Arena) -> None:
    talk = arena.session_of()
    mark, generation = arena.here.mark(), shown(arena.here).generation
    begun = time.monotonic()
    save(arena.here, POLICY.replace("score-interface * 1", "score-interface ppp* 5"))
    arena.here.await_event("policy-loaded", since=mark, generation=generation + 1)
    assert time.monotonic() - begun <= IN_FORCE_S + LATE_S
    arena.here.await_event("moved", since=mark, session=talk.session, to="ppp0")
    talk.await_progress()
    talk.finish()


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_policy_is_refused_and_told_everywhere(arena: Arena) -> None:
    before, mark = shown(arena.here), arena.here.mark()
    save(arena.here, "monitor-policy { scor-interface * 5 }\n")
    refused = arena.here.await_event("policy-refused", since=mark)
    assert "test.policy:1:18: " in refused.fields["reason"]
    after = shown(arena.here)
    assert (after.files, after.generation) == (before.files, before.generation)
    assert after.last_error == refused.fields["reason"] == arena.here.status().last_error
    save(arena.here, POLICY)
    arena.here.await_event("policy-restored", since=mark)
    assert shown(arena.here).last_error == ""
    arena.here.lines[:] = [line for line in arena.here.lines if '"policy-refused"' not in line]


def test_a_hangup_reads_the_policy_again(arena: Arena) -> None:
    mark, generation = arena.here.mark(), shown(arena.here).generation
    arena.here.hang_up()
    arena.here.await_event("policy-loaded", since=mark, generation=generation + 1)


def test_layers_and_a_folder_that_comes_later(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("layers")
    with Lab() as lab:
        daemon = Daemon(lab.host("alone"), folder / "alone")
        daemon.configure('user_policy = ["mine/*.policy"]\n')
        daemon.start()
        try:
            assert [file.layer for file in shown(daemon).files] == ["default", "system"]
            mark = daemon.mark()
            (daemon.folder / "mine").mkdir()
            (daemon.folder / "mine" / "my.policy").write_text("monitor-policy { margin 7 }\n")
            daemon.await_event("policy-loaded", since=mark)
            files = shown(daemon).files
            assert [(Path(file.file).name, file.layer) for file in files[1:]] == [
                ("test.policy", "system"),
                ("my.policy", "user"),
            ]
        finally:
            daemon.stop()
