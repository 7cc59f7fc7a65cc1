"""The benchmark of the monitors measures all that it says, and believes no decision that was not made."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from migrated.lab import is_privileged

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
READERS = ["ours, sock_diag", "ours, /proc/net/tcp", "pyroute2, DiagSocket", "ss -tinHO"]

in_the_lab = pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")


def measured(*options: str) -> str:
    command = [sys.executable, str(BENCHMARKS / "monitoring.py"), "--quick", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def latency(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("_latency")


def test_measurements_are_followed_into_the_engine(latency: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rows = latency.measure_latencies(10, 5)
    assert [row.monitor for row in rows] == [latency.BUILT_IN, latency.PLUGIN, latency.BUSY]
    for row in rows:
        assert (row.sessions, row.arrival.count, row.handled.count) == (5, 5, 5)
        assert 0 < row.arrival.least <= row.handled.least
    latency.print_latencies(rows)
    assert f"{latency.BUSY}: it is read" in capsys.readouterr().out


def test_a_measurement_that_decides_nothing_ends_it(latency: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "POLICY", "monitor-policy { score-interface eth0 5 }\n")
    with pytest.raises(latency.BenchmarkError, match=r"^0 of 5 sessions were to move$"):
        latency.measure_latencies(10, 5)


def test_who_takes_too_much_at_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    at_rest = import_module("_at_rest")
    for cpu_percent, rss_mb, missed in ((0.5, 60.0, False), (0.51, 10.0, True), (0.1, 60.1, True)):
        row = at_rest.AtRest(
            host="client",
            connections=1000,
            seconds=60.0,
            cpu_percent=cpu_percent,
            loop_percent=0.2,
            rss_mb=rss_mb,
        )
        at_rest.print_at_rest((row,))
        assert ("missed" in capsys.readouterr().out) is missed


@pytest.mark.netns
@in_the_lab
def test_readings_of_time_outs_are_compared() -> None:
    printed = measured("--only", "rto")
    assert all(f"  {reader} " in printed for reader in READERS)


@pytest.mark.slow
@pytest.mark.netns
@in_the_lab
def test_all_is_measured() -> None:
    found = json.loads(measured("--json"))
    assert [(row["reader"], row["connections"]) for row in found["rto"]] == [
        (reader, connections) for connections in (20, 100) for reader in READERS
    ]
    assert all(row["cpu_ms"] > 0 for row in found["rto"])
    assert [(row["host"], row["connections"]) for row in found["rest"]] == [("client", 50), ("server", 50)]
    assert all(row["cpu_percent"] >= row["loop_percent"] > 0 and row["rss_mb"] > 0 for row in found["rest"])
    cuts = found["cuts"]
    assert 0 < cuts["report"]["least"] < cuts["decision"]["least"] < cuts["moved"]["least"]
    assert [row["traffic"] for row in found["dead"]] == ["idle", "2 KB / 100 ms"]
    assert all(0 < row["decision_s"]["least"] <= row["moved_s"]["least"] for row in found["dead"])
    assert len(found["aims"]) == 4 + 1 + 3 + 2
    for aim in found["aims"]:
        assert aim["met"] == (aim["figure"] <= aim["aim"])
