from __future__ import annotations

import pytest

from monitors.events import Event, FactMeasured, LinkGone, OperState
from monitors.wording import in_words
from tests.monitors.samples import address, cut, gone, link


@pytest.mark.parametrize(
    ("event", "unit", "words"),
    [
        (link(), "", "eth0 is up"),
        (link(operstate=OperState.UNKNOWN), "", "eth0 is up"),
        (cut(), "", "eth0 has no carrier (lower layer down)"),
        (link(up=False, carrier=False, operstate=OperState.DOWN), "", "eth0 is switched off"),
        (link(operstate=OperState.DORMANT), "", "eth0 has its carrier and is dormant"),
        (LinkGone(interface="eth0", index=2), "", "eth0 is gone"),
        (address(), "", "eth0 has 10.0.0.1/24"),
        (address(usable=False), "", "eth0 has 10.0.0.1/24, not usable"),
        (gone(address()), "", "eth0 has 10.0.0.1 no longer"),
        (FactMeasured(fact="hour", value=7.0), "", "hour = 7"),
        (
            FactMeasured(fact="rtt", value=0.031, interface="wlan0", peer="10.0.0.9"),
            "s",
            "rtt wlan0 -> 10.0.0.9 = 0.031 s",
        ),
        (FactMeasured(fact="metered", value=True, interface="wwan0"), "", "metered wwan0 = yes"),
        (FactMeasured(fact="on-battery", value=False), "", "on-battery = no"),
        (FactMeasured(fact="wifi.ssid", value="home", interface="wlan0"), "", "wifi.ssid wlan0 = home"),
        (
            FactMeasured(fact="data-used", value=123456789.0, interface="wwan0"),
            "byte",
            "data-used wwan0 = 123456789 byte",
        ),
        (
            FactMeasured(fact="peer-silence", value=2.5, session="ab12"),
            "s",
            "peer-silence session ab12 = 2.5 s",
        ),
        (
            FactMeasured(fact="rto", value=None, session="ab12", connection="7"),
            "s",
            "rto session ab12 connection 7 is not known",
        ),
    ],
)
def test_an_event_is_told_in_one_line(event: Event, unit: str, words: str) -> None:
    assert in_words(event, unit) == words
