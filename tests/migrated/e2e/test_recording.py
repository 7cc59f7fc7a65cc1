"""The log that a daemon writes is one that `migrate policy replay` reads."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.daemons import POLICY

_MIGRATE = "from migrated.commands import main; main()"

WRITTEN_S = 60.0
"""Time for the daemon to write what has happened, which it does each second if it is not busy."""


def replay(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Replay a log and return the exit status and what was printed."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from migrated.commands import main; main()",
            "policy",
            "replay",
            "--json",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_decided_is_decided_again(arena: Arena, tmp_path: Path) -> None:
    talk = arena.session_of()
    mark = arena.here.mark()
    arena.link("eth0").cut()
    arena.here.await_event("moved", "resumed", since=mark, session=talk.session, to="ppp0")
    arena.link("ppp0").cut()
    arena.here.await_event("suspended", since=mark, session=talk.session)
    arena.link("eth0").plug()
    arena.here.await_event("resumed", since=mark, session=talk.session, to="eth0")
    arena.link("ppp0").plug()
    arena.here.await_event("link-up", since=mark, link="ppp0")
    log = arena.here.folder / "state" / "events"
    deadline = time.monotonic() + WRITTEN_S
    status, rows = replay(log)
    while not any(row["action"] == "resume" for row in rows) and time.monotonic() < deadline:
        time.sleep(1.0)
        status, rows = replay(log)
    assert len(list(log.iterdir())) == 1
    actions = [(row["action"], row["name"]) for row in rows]
    assert actions == [("move", "ppp0"), ("suspend", ""), ("resume", "eth0")]
    assert ({row["mark"] for row in rows}, status) == ({"="}, 0)
    other = tmp_path / "other.policy"
    other.write_text(POLICY.replace("settle", "suspend never settle"))
    status, rows = replay("--policy", other, log)
    assert (rows[0]["mark"], rows[0]["action"]) == ("=", "move")
    assert ("-", "suspend") in [(row["mark"], row["action"]) for row in rows]
    assert status == 1
    talk.finish()
