"""What monitors measure decides in the daemon, from the first moment on."""

from __future__ import annotations

from pathlib import Path

from migrated.control.messages import Explain, ExplanationReport
from migrated.control.observations import FactList, Facts
from tests.migrated.e2e.arena import Arena

POLICY = """\
monitor-policy {
    score-interface * 1
    when hour < 24 adopt
    when carrier = yes score-interface ppp0 9
    settle 300ms
}
"""


def test_the_clock_and_the_links_are_measured(tmp_path: Path) -> None:
    with Arena(tmp_path, policy=POLICY) as arena:
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
        assert 0 <= float(values["hour", ""]) < 24
        assert (values["carrier", "ppp0"], values["operstate", "ppp0"]) == (True, "up")
        talk.finish()
