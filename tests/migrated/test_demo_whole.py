from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from migrated.demo.scenario import SCENES, expected_moves
from migrated.lab import is_privileged
from tests.processes import killed_at_last

ROOT = Path(__file__).parents[2]
MIGRATE = [sys.executable, "-c", "from migrated.commands import main; main()", "demo"]
RUN_LIMIT_S = 100.0

netns = pytest.mark.netns
privileged = pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MIGRATE, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=RUN_LIMIT_S, **options
    )


def commands() -> Iterator[bytes]:
    """Yield the command lines of all programs that run, but for those that end meanwhile."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield path.read_bytes()


@netns
@privileged
@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--http"], ["--rtt-ms", "20"]], ids=" ".join)
def test_nothing_is_lost(arguments: list[str], tmp_path: Path) -> None:
    done = run("--json", "--seconds", "10", "--keep-logs", str(tmp_path), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["sha256_equal"] is True
    assert report["moves"] >= 4
    assert report["bytes"] > 10_000_000
    assert len(report["gaps_ms"]) == expected_moves(SCENES)
    assert report["suspended_s"] > 0.5
    assert {log.name for log in tmp_path.iterdir()} == {"client.log", "server.log"}
    assert "(figure10.policy:9)" in done.stderr or report["traffic"] == "http"


@netns
@privileged
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_one_that_was_interrupted(
    end: signal.Signals, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("d")  # short: the path of a Unix socket has 107 bytes
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    started = subprocess.Popen(
        [*MIGRATE, "--http"],
        stdout=-1,
        stderr=-1,
        text=True,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    with killed_at_last(started) as demo:
        assert demo.stdout is not None
        assert any("1/8" in line for line in demo.stdout)
        assert list(tmp_path.iterdir())
        demo.send_signal(end)
        said = demo.communicate(timeout=RUN_LIMIT_S)[1]
    assert demo.returncode == 2
    assert said == "migrate demo: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert not [command for command in commands() if str(tmp_path).encode() in command]


@netns
@privileged
def test_a_missing_tool_is_named_with_its_package() -> None:
    bare = f"import shutil; shutil.which = lambda *a, **b: None; {MIGRATE[2]}"
    done = subprocess.run(
        [MIGRATE[0], "-c", bare, "demo", "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=RUN_LIMIT_S,
    )
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1]
        == "migrate demo: `ip` was not found; on Debian: `apt-get install iproute2`"
    )
    assert done.stdout == ""
