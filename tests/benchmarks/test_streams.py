"""The benchmark of virtual streams measures all that it says, also where programs of others are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migrated.lab import is_privileged

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "streams.py"
OTHERS = ("mosh-server", "mosh-client", "autossh")
KINDS = ["stream", "sealed", "stream-socket"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]


def measured(*options: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), "--quick", "--json", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=800
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_rates_and_latencies_of_every_kind() -> None:
    found = measured("--only", "rates")
    blocks = [64, 1024, 16384, 65536, 1 << 20]
    assert [(row["kind"], row["block_bytes"]) for row in found["throughput"]] == [
        (kind, block) for kind in KINDS for block in blocks
    ]
    assert all(row["ratio"]["median"] > 0 for row in found["throughput"])
    assert [row["kind"] for row in found["latency"]] == KINDS
    assert all(row["us"]["least"] > 0 for row in found["latency"])


def test_resumptions_near_and_far() -> None:
    rows = measured("--only", "resumption")["resumption"]
    assert [row["connections"] for row in rows] == [1, 8, 64] * 2
    for row in rows:
        assert row["first_ms"]["median"] <= row["last_ms"]["median"]
    far = [row["first_ms"]["least"] for row in rows if row["rtt_ms"] == 50]
    assert all(first > 2 * 50 for first in far), "TCP's handshake and one more round trip"


def test_an_outage_without_the_others_programs(tmp_path: Path) -> None:
    for folder in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        for program in Path(folder).iterdir():
            link = tmp_path / program.name
            if program.name not in OTHERS and not link.is_symlink():
                link.symlink_to(program)
    rows = measured("--only", "outage", PATH=str(tmp_path))["outage"]
    gaps = {row["system"]: row for row in rows if row["outage"] == "cut"}
    assert [row["system"] for row in rows if row["outage"] == "silence"] == list(gaps)
    assert gaps["mosh"]["note"] == "not installed: apt install mosh"
    assert gaps["autossh"]["note"] == "not installed: apt install autossh"
    for ours in ("ssh over migrate connect", "migrate ssh"):
        assert gaps[ours]["lost"] == 0
        assert gaps[ours]["gap_ms"]["median"] > 0
    assert gaps["ssh"]["lost"] == 1
