"""The benchmark of the policy language measures all that it says, and believes nobody's answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
PACKAGES = {
    "cedarpy": "cedarpy",
    "datalogic-py": "datalogic_py",
    "pycasbin": "casbin",
    "regopy": "regopy",
    "rule-engine": "rule_engine",
    "zen-engine": "zen",
}


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "policy.py"), "--quick", "--json", *options]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=800
    )


@pytest.fixture
def versus(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("_policy_versus")


def test_a_system_that_is_not_installed_is_named(
    versus: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versus, "find_spec", lambda _name: None)
    rows = versus.contests((10,), 1)
    assert {row.system: row.note for row in rows if row.us is None} == {
        package: f"not installed: pip install {package}" for package in PACKAGES
    }
    (ours,) = (row for row in rows if row.us is not None)
    assert (ours.system, ours.rules, ours.ratio.median) == ("migrate", 10, 1.0)
    assert ours.per_second == pytest.approx(1e6 / ours.us.median)
    versus.print_contests(rows)
    printed = capsys.readouterr().out
    assert all(f"{name:18} not installed: pip install {name}" in printed for name in PACKAGES)


def test_a_system_that_decides_wrongly_ends_it(versus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = import_module("_policy_peers")
    yes_man = peers.Loaded(lambda request: request, lambda _prepared: "eth0")
    peer = peers.Peer(package="yes-man", module="json", form="", load=lambda _module, _among: yes_man)
    monkeypatch.setattr(versus, "PEERS", (peer,))
    with pytest.raises(versus.BenchmarkError, match=r"^yes-man decides wrongly for .*: `eth0`, not `"):
        versus.contests((10,), 1)


def test_each_event_decides_for_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    found = import_module("_policy_crowd").crowd(160, 16, 2)
    assert found.decided == {
        "link lost": 20,
        "host fact": 140,
        "link fact": 20,
        "session fact": 1,
        "last link lost": 160,
    }
    assert found.ms.keys() == found.decided.keys()
    assert all(took.count == 2 and took.least > 0 for took in (*found.ms.values(), found.reload_ms))


@pytest.mark.slow
def test_texts_and_parts() -> None:
    done = run("--only", "texts", "--only", "parts")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["lines"] for row in found["texts"]] == [100, 200]
    for row in found["texts"]:
        assert all(row[key]["least"] > 0 for key in ("check_ms", "compile_ms", "format_ms"))
    assert [row["rules"] for row in found["parts"]] == [10, 100]
    for aim in found["aims"]:
        assert aim["met"] == (aim["figure"] <= aim["aim"])
    assert found["command"]["processor_ms"]["least"] > 0
    assert found["machine"]["processors"] > 0
    assert "`migrate policy check` on Figure 10" in {aim["what"] for aim in found["aims"]}


@pytest.mark.slow
def test_all_that_is_installed_decides_alike() -> None:
    done = run("--only", "contests")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["contests"]
    present = {"migrate"} | {package for package, module in PACKAGES.items() if find_spec(module)}
    for size in (10, 100):
        timed = {row["system"] for row in rows if row["rules"] == size and row["us"]}
        assert timed == present
        assert {row["system"] for row in rows if row["rules"] == size} == {"migrate", *PACKAGES}
