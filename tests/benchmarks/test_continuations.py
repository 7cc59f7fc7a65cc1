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
STYLES = ["internal", "complete"]
COUNTER_BYTES_MAX = 1024

pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]


def measured(*parts: str) -> dict[str, Any]:
    only = [word for part in parts for word in ("--only", part)]
    command = [sys.executable, str(SCRIPT), "--quick", "--json", *only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_stages_add_up() -> None:
    found = measured("stages")["stages_ms"]
    assert list(found) == [*STYLES, "shell"]
    parts = ("suspend", "authentication", "notification", "delay", "continuation")
    for stages in found.values():
        assert sum(stages[part]["median"] for part in parts) == pytest.approx(stages["total"]["median"])
        assert all(stages[part]["least"] > 0 for part in parts)


def test_a_suspended_session_costs_less() -> None:
    found = measured("footprints")["footprints"]
    assert list(found) == STYLES
    for cost in found.values():
        assert cost["carried"] == 1
        assert cost["suspended"] < cost["active"]
        assert 0 < cost["stored_bytes"] < cost["plain_bytes"]
    assert found["complete"]["suspended_kb"] == found["complete"]["suspended"] == 0
    assert found["internal"]["stored_bytes"] < COUNTER_BYTES_MAX


def test_many_at_once() -> None:
    found = measured("crowds", "multitudes")
    assert {style: [row["sessions"] for row in rows] for style, rows in found["crowds_ms"].items()} == {
        style: [2] for style in STYLES
    }
    (multitude,) = found["multitudes"]
    assert multitude["sessions"] == 100
    assert multitude["suspend_s"] > 0
    assert multitude["resume_s"] > 0
    assert multitude["suspended_descriptors"] < multitude["sessions"]
