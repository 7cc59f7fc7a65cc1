"""The monitor that `migrate monitors new` writes moves a session, as a single file in a daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.migrated.e2e.arena import Arena

POLICY = """\
monitor-policy {
    score-interface * 1
    score-interface eth0 5
    on proto tcp adopt
    settle 100ms
    when weather.load > 4 until weather.load < 2
        score-interface eth0 never
}
"""
_MIGRATE = "from migrated.commands import main; main()"
PATIENCE_S = 60.0


def migrate(folder: Path, *words: str) -> str:
    """Run a command with the configuration of the daemon in a folder, and return what it prints."""
    return subprocess.run(
        ["env", f"MIGRATE_CONFIG={folder / 'migrated.toml'}", sys.executable, "-c", _MIGRATE, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
        cwd=folder,
    ).stdout


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Give the client's daemon the new monitor, which reads a file of the test's."""
    with Arena(tmp_path_factory.mktemp("own")) as arena:
        here = arena.here
        migrate(here.folder, "monitors", "new", "weather")
        (here.folder / "monitors.d").mkdir(mode=0o755)
        shutil.copyfile(here.folder / "weather" / "weather.py", here.folder / "monitors.d" / "weather.py")
        load(arena, 0.5)
        here.stop()
        settings = f'[monitors.weather]\nfile = "{here.folder / "load"}"\ninterval = 0.1\n'
        here.configure(settings, plugins=True)
        (here.folder / "test.policy").write_text(POLICY)
        here.start()
        yield arena
    for daemon in (arena.here, arena.there):
        assert daemon.complaints() == []


def load(arena: Arena, value: float) -> None:
    """Let the monitor's file say something, all of it at once."""
    file = arena.here.folder / "load"
    file.with_suffix(".new").write_text(f"{value}\n")
    file.with_suffix(".new").rename(file)


def test_the_language_knows_its_fact(arena: Arena) -> None:
    (fact,) = json.loads(migrate(arena.here.folder, "facts", "weather.load", "--json"))
    assert (fact["measured"], fact["monitor"], fact["type"]) == (True, "weather", "number")
    assert "warning" not in migrate(arena.here.folder, "policy", "check", "test.policy")


def test_a_session_moves_by_it_and_back(arena: Arena) -> None:
    talk = arena.session_of()
    for value, link in ((7.0, "ppp0"), (1.0, "eth0")):
        mark = arena.here.mark()
        load(arena, value)
        arena.here.await_event("moved", since=mark, session=talk.session, to=link)
    talk.finish()
    listed: Any = json.loads(
        migrate(arena.here.folder, "monitors", "--socket", str(arena.here.socket), "--json", "weather")
    )
    (monitor,) = listed["monitors"]
    assert (monitor["kind"], monitor["state"], monitor["failures"]) == ("file", "running", 0)
