"""The built-in monitors on a real kernel, each scenario in a network namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitors import route_scenarios, scenarios, tcp_scenarios

MODULES = (scenarios, route_scenarios, tcp_scenarios)
ROOT = Path(__file__).parents[2]
NAMESPACE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


def namespaces_work() -> bool:
    return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


@pytest.mark.netns
@pytest.mark.skipif(not namespaces_work(), reason="this account may not make network namespaces")
@pytest.mark.parametrize(
    ("module", "scenario"),
    [(module.__name__, scenario) for module in MODULES for scenario in module.SCENARIOS],
)
def test_scenario(module: str, scenario: str) -> None:
    command = [*NAMESPACE, sys.executable, "-W", "error", "-m", module, scenario]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    sys.stdout.write(result.stdout)
    assert result.returncode == 0, result.stderr
