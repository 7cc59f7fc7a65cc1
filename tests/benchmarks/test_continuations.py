"""The benchmark of continuations measures all that it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migrated.lab import is_privileged

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "continuations.py"
PROGRAMS = ["internal", "complete", "shell", "audio"]
CARRIED = {"internal": 1, "complete": 1, "shell": 3, "audio": 1}
"""Descriptors in a continuation: the connection, and of a shell its terminal and what tells its end."""

COUNTER_BYTES_MAX = 1024
DAEMON_DESCRIPTORS_MAX = 10
"""Those of a daemon that has clients and continuations at all, such as its store's: none is a session's."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]


def measured(*parts: str) -> dict[str, Any]:
    only = [word for part in parts for word in ("--only", part)]
    command = [sys.executable, str(SCRIPT), "--quick", "--json", *only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_stages_add_up() -> None:
    answer = measured("stages")
    found, sums = answer["stages_ms"], answer["sums_ms"]
    assert list(found) == PROGRAMS
    parts = ("suspend", "authentication", "notification", "delay", "continuation")
    for name, stages in found.items():
        assert sum(stages[part]["median"] for part in parts) == pytest.approx(
            stages["total"]["median"], abs=0.01
        )
        assert all(stages[part]["least"] > 0 for part in parts)
        assert sums[name]["median"] == stages["total"]["median"]
        assert sums[name]["met"] == (sums[name]["median"] <= sums[name]["aim"])


def test_a_suspended_session_costs_less() -> None:
    found = measured("footprints")["footprints"]
    assert {name: cost["carried"] for name, cost in found.items()} == CARRIED
    for cost in found.values():
        assert cost["suspended"] < cost["active"]
        assert 0 < cost["stored_bytes"] < cost["plain_bytes"]
    for name in ("complete", "shell"):
        assert found[name]["suspended_kb"] == found[name]["suspended"] == 0
    assert found["internal"]["stored_bytes"] < COUNTER_BYTES_MAX


def test_many_at_once() -> None:
    found = measured("crowds", "multitudes")
    sizes = {name: [row["sessions"] for row in rows] for name, rows in found["crowds_ms"].items()}
    assert sizes == {name: [2] for name in PROGRAMS}
    (multitude,) = found["multitudes"]
    assert multitude["sessions"] == 100
    assert multitude["suspend_s"] > 0
    assert multitude["resume_s"] > 0
    assert multitude["program_descriptors"] == 0
    assert multitude["suspended_descriptors"] <= DAEMON_DESCRIPTORS_MAX
