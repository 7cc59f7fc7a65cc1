"""Facts that people describe in words."""

from __future__ import annotations

import pytest

from migrated.authoring.described import DescriptionError
from migrated.authoring.measured import measured
from monitors.events import FactMeasured
from monitors.facts import FactValue
from policylang.loader import standard_facts


@pytest.mark.parametrize(
    ("what", "value", "event"),
    [
        ("hour", 23, FactMeasured(fact="hour", value=23.0)),
        ("on-battery", True, FactMeasured(fact="on-battery", value=True)),
        ("metered wlan0", "yes", FactMeasured(fact="metered", value=True, interface="wlan0")),
        ("wifi.ssid wlan0", "300ms", FactMeasured(fact="wifi.ssid", value="300ms", interface="wlan0")),
        ("wifi.signal wlan0", "-75dbm", FactMeasured(fact="wifi.signal", value=-75.0, interface="wlan0")),
        ("rtt wlan0", "300ms", FactMeasured(fact="rtt", value=0.3, interface="wlan0")),
        (
            "rtt wlan0 2001:DB8::9",
            "2s",
            FactMeasured(fact="rtt", value=2.0, interface="wlan0", peer="2001:db8::9"),
        ),
        ("keepalive-age shell", "1m", FactMeasured(fact="keepalive-age", value=60.0, session="shell")),
        ("rto shell 2", "3s", FactMeasured(fact="rto", value=3.0, session="shell", connection="2")),
        ("weekday", "unknown", FactMeasured(fact="weekday", value=None)),
    ],
)
def test_a_measurement_is_read_in_the_facts_own_type_and_unit(
    what: str, value: FactValue, event: FactMeasured
) -> None:
    assert measured(what, value, standard_facts()) == event


def test_a_measurement_may_be_forgotten_after_a_while() -> None:
    assert measured("hour", 3, standard_facts(), 60.0).lifetime_s == 60.0


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("", 1, "there is no fact ``"),
        ("meterd wlan0", True, "did you mean `metered`"),
        ("acme.speed wlan0", 1, "`migrate facts` lists the facts of this host and plugins"),
        ("carrier wlan0", True, "follows from the links"),
        ("metered", True, "not of the form `metered LINK`: it is about a link"),
        ("hour wlan0", 1, "not of the form `hour`: it is about the host"),
        ("rtt wlan0 10.0.0.9 x", "1s", r"not of the form `rtt LINK \[PEER\]`: it is about a link towards"),
        ("rtt wlan0 nowhere", "1s", "`nowhere` is not an address"),
        ("rtt wlan0:1", "1s", "write `wlan0`"),
        ("rtt wlan0", 300, "`rtt` needs a unit"),
        ("rtt wlan0", "300mbit", "`mbit` is not a unit of `rtt`"),
        ("rtt wlan0", "slow", "`rtt` is a number"),
        ("metered wlan0", "perhaps", "either `yes` or `no`"),
        ("weekday", "sonday", "did you mean `sunday`"),
    ],
)
def test_what_makes_no_sense_is_refused(what: str, value: FactValue, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        measured(what, value, standard_facts())
