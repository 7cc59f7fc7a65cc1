from __future__ import annotations

from engine import Engine
from monitors.events import FactMeasured, LinkGone
from policylang.ast import Policy
from tests.monitors.samples import address, link


def test_what_is_measured_of_the_host_and_its_links_is_told() -> None:
    engine = Engine(Policy(files=(), statements=()))
    assert engine.measured() == ()
    metered = FactMeasured(fact="metered", value=True, interface="eth0")
    hour = FactMeasured(fact="hour", value=7.0)
    for event in (link(2, "eth0"), address("10.0.0.1", 2, "eth0"), metered, hour):
        engine.handle(event, 0.0)
    engine.handle(FactMeasured(fact="rtt", value=0.1, interface="eth0", peer="10.0.0.9"), 0.0)
    engine.handle(FactMeasured(fact="on-battery", value=True, lifetime_s=5.0), 0.0)
    assert engine.measured() == (
        FactMeasured(fact="addresses", value=1, interface="eth0"),
        FactMeasured(fact="carrier", value=True, interface="eth0"),
        hour,
        metered,
        FactMeasured(fact="on-battery", value=True),
        FactMeasured(fact="operstate", value="up", interface="eth0"),
    )
    engine.handle(LinkGone(interface="eth0", index=2), 5.0)
    assert engine.measured() == (hour,)
