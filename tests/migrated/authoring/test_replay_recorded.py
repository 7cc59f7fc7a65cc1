"""What the daemon's own recorder writes is replayed: the two agree on what a log is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from migrated.authoring.described import address_present, link_state
from migrated.authoring.logs import BadLine, in_order, read_log
from migrated.authoring.replay import replay
from migrated.authoring.simulation import Simulation
from migrated.config import Recording
from migrated.policies import PolicyInForce
from migrated.recording.engine import RecordedEngine
from migrated.recording.recorder import Recorder
from monitors.events import FactMeasured
from policylang.loader import PolicyFile, standard_facts
from tests.migrated.authoring.daemon import described

POLICY = """monitor-policy {
    include "parts/*.policy"
    score-interface wlan* 10
    when metered = yes for 2s score-interface eth* -200
}
"""
MANY = 400


def _policies(folder: Path) -> PolicyInForce:
    (folder / "parts").mkdir()
    (folder / "parts" / "eth.policy").write_text("monitor-policy { score-interface eth* 100 }")
    (folder / "main.policy").write_text(POLICY)
    policies = PolicyInForce(standard_facts)
    policies.take(policies.read([PolicyFile(path=folder / "main.policy")]))
    return policies


async def _record(folder: Path) -> int:
    """Let a cable be pulled and put back, and return how many decisions that took."""
    policies = _policies(folder)
    simulation = Simulation(policies.policy)
    limits = Recording(files=1000, file_size=1 << 16)
    recorder = Recorder(folder / "events", limits, lambda: simulation.now, pytest.fail)
    simulation.engine = RecordedEngine(policies, recorder)
    for index, (name, address) in enumerate((("eth0", "10.0.0.5"), ("wlan0", "10.1.0.5")), 1):
        simulation.event(link_state(name, index, up=True))
        simulation.event(address_present(name, index, address))
    for number in range(3):
        simulation.open(described(f"{number:04x}", "10.0.0.5"), ("eth0", "10.0.0.5"))
    given = 0
    for number in range(MANY):
        given += len(simulation.advance(10.0 * number))
        given += len(simulation.event(link_state("eth0", 1, up=number % 2 == 1)))
        metered = FactMeasured(fact="metered", value=True, interface="eth0", lifetime_s=7.0)
        given += len(simulation.event(metered))
        await recorder._flush()
    await recorder.close()
    return given


def test_the_daemons_log_agrees_with_itself(tmp_path: Path) -> None:
    given = asyncio.run(_record(tmp_path))
    for policy in (tmp_path / "main.policy", tmp_path / "parts" / "eth.policy"):
        policy.unlink()  # the log has them
    parts = in_order((tmp_path / "events").iterdir())
    assert len(parts) > 3
    bad: list[BadLine] = []
    rows = list(replay(read_log(parts, bad=bad.append)))
    assert bad == []
    assert given > MANY
    assert [row.mark for row in rows] == ["="] * given
    last = list(replay(read_log(parts[-2:])))
    assert last
    assert {row.mark for row in last[6:]} == {"="}
