"""What monitors measure decides in the daemon, from the first moment on."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.control.client import watch
from migrated.control.messages import Explain, ExplanationReport
from migrated.control.observations import Events, FactList, Facts, MonitorList, Monitors
from tests.migrated.e2e.arena import Arena

POLICY = """\
monitor-policy {
    score-interface * 1
    when hour < 24 adopt
    when carrier = yes score-interface ppp0 9
    settle 300ms
}
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that is not named after the test: a socket's path has 107 bytes at most."""
    return tmp_path_factory.mktemp("arena")


def test_the_clock_and_the_links_are_measured(folder: Path) -> None:
    with Arena(folder, policy=POLICY) as arena:
        talk = arena.adopted(arena.talk())
        arena.here.await_event("moved", session=talk.session, to="ppp0")
        report = arena.here.ask(Explain(session=talk.session))
        assert isinstance(report, ExplanationReport)
        held = {row.text: (row.subject, row.holds) for row in report.read().conditions}
        assert held["hour < 24"] == ("host", True)
        assert {m.name: m.failures for m in arena.here.status().monitors}["clock"] == 0
        facts = arena.here.ask(Facts())
        assert isinstance(facts, FactList)
        values = {(row.fact, row.interface): row.value for row in facts.facts}
        hour = values["hour", ""]
        assert isinstance(hour, float)
        assert 0 <= hour < 24
        assert (values["carrier", "ppp0"], values["operstate", "ppp0"]) == (True, "up")
        talk.finish()


def test_the_monitors_of_a_daemon_do_well_and_tell_what_they_see(folder: Path) -> None:
    with Arena(folder, policy=POLICY) as arena:
        talk = arena.adopted(arena.talk())
        monitors = arena.here.ask(Monitors())
        assert isinstance(monitors, MonitorList)
        assert [monitor.name for monitor in monitors.monitors if monitor.troubled] == []
        carrier = next(monitor for monitor in monitors.monitors if monitor.name == "carrier")
        assert (carrier.kind, carrier.state) == ("built-in", "running")
        assert carrier.events > 0
        assert 0 < carrier.cost_s < monitors.uptime_s
        events = watch(arena.here.socket, Events(count=1, monitors=("carrier",), follow=True))
        assert next(events).fields["monitor"] == "carrier"
        arena.net.links[0].cut()
        interface = arena.net.links[0].interface
        lost = next(event for event in events if event.fields.get("interface") == interface)
        assert (lost.event, lost.fields["carrier"]) == ("link", False)
        events.close()
        talk.finish()
