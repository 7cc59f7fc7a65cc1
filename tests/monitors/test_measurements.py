from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.discovery import Discovery
from monitors.events import FactMeasured
from monitors.facts import (
    HOUR,
    KEEPALIVE_AGE,
    METERED,
    RTO,
    RTT,
    STANDARD_FACTS,
    WEEKDAY,
    WIFI_SSID,
    Fact,
    FactType,
    FactValue,
    Subject,
)
from monitors.host import MonitorHost
from monitors.measurements import TEXT_LIMIT, fault_of, plain
from monitors.spec import Report

GOOD = {
    HOUR: FactMeasured(fact="hour", value=7),
    WEEKDAY: FactMeasured(fact="weekday", value="friday"),
    METERED: FactMeasured(fact="metered", value=None, interface="eth0"),
    RTT: FactMeasured(fact="rtt", value=0.1, interface="eth0", peer="2001:db8::1", lifetime_s=10),
    KEEPALIVE_AGE: FactMeasured(fact="keepalive-age", value=3.0, session="ab12"),
    WIFI_SSID: FactMeasured(fact="wifi.ssid", value="home", interface="wlan0"),
    RTO: FactMeasured(fact="rto", value=0.2, session="ab12", connection="1"),
}


@pytest.mark.parametrize("fact", GOOD, ids=lambda fact: fact.name)
def test_a_measurement_as_it_was_declared_is_good(fact: Fact) -> None:
    assert fault_of(GOOD[fact], GOOD) == ""


@pytest.mark.parametrize(
    ("fact", "change", "message"),
    [
        (HOUR, {"fact": "our"}, "`our`, which it does not declare"),
        (HOUR, {"value": True}, "with the value True; report a finite number"),
        (HOUR, {"value": float("nan")}, "with the value nan"),
        (WEEKDAY, {"value": "Friday"}, "report one of monday, tuesday"),
        (METERED, {"value": 1.0}, "report `True` or `False`"),
        (HOUR, {"interface": "eth0"}, "a fact about a host has no `interface`"),
        (METERED, {"interface": ""}, "a fact about a link needs `interface`"),
        (METERED, {"interface": None}, "a fact about a link needs `interface`"),
        (RTT, {"peer": "2001:DB8::1"}, "write the peer's address as `ipaddress` does"),
        (RTO, {"connection": ""}, "a fact about a connection needs `connection`"),
        (KEEPALIVE_AGE, {"connection": "1"}, "a fact about a session has no `connection`"),
        (RTT, {"lifetime_s": 0}, "give seconds above 0"),
        (RTT, {"lifetime_s": "10s"}, "give seconds above 0"),
        (RTT, {"lifetime_s": 10**400}, "give seconds above 0"),
        (HOUR, {"value": 10**400}, "report a finite number"),
        (WIFI_SSID, {"value": "caf\udce9"}, "report a text"),
        (METERED, {"interface": "eth\udce9"}, "a fact about a link needs `interface`"),
        (WIFI_SSID, {"value": "x" * (TEXT_LIMIT + 1)}, "report a text"),
        (KEEPALIVE_AGE, {"session": "a" * (TEXT_LIMIT + 1)}, "a fact about a session needs `session`"),
    ],
)
def test_what_is_not_as_declared_is_said(fact: Fact, change: dict[str, Any], message: str) -> None:
    assert message in fault_of(replace(GOOD[fact], **change), GOOD)


@given(st.sampled_from(sorted(STANDARD_FACTS)), st.none() | st.booleans() | st.floats() | st.text(max_size=9))
def test_only_values_of_the_declared_type_pass(name: str, value: FactValue | None) -> None:
    fact = STANDARD_FACTS[name]
    fields: dict[str, Any] = {
        Subject.HOST: {},
        Subject.LINK: {"interface": "eth0"},
        Subject.PATH: {"interface": "eth0", "peer": "10.0.0.1"},
        Subject.SESSION: {"session": "a"},
        Subject.CONNECTION: {"session": "a", "connection": "1"},
    }[fact.subject]
    kinds = {FactType.NUMBER: float, FactType.FLAG: bool, FactType.TEXT: str}
    passed = fault_of(FactMeasured(fact=name, value=value, **fields), [fact]) == ""
    assert not passed or value is None or type(value) is kinds[fact.type]


class Number(float):
    """As numpy's ``float64`` is one."""

    __slots__ = ()


class Day(StrEnum):
    FRIDAY = "friday"


class Hour(IntEnum):
    SEVEN = 7


@pytest.mark.parametrize(
    ("fact", "value", "kind"),
    [(HOUR, Number(7), float), (HOUR, Hour.SEVEN, int), (HOUR, 7, int), (WEEKDAY, Day.FRIDAY, str)],
)
def test_values_of_subclasses_become_those_of_the_built_in_types(
    fact: Fact, value: FactValue, kind: type
) -> None:
    event = replace(GOOD[fact], value=value, lifetime_s=Number(3))
    told = plain(event, 5.0)
    assert fault_of(event, GOOD) == ""
    assert (type(told.value), type(told.lifetime_s)) == (kind, float)
    assert told == replace(event, measured_at=5.0)


@pytest.mark.parametrize("fact", GOOD, ids=lambda fact: fact.name)
def test_nothing_else_of_a_measurement_is_changed(fact: Fact) -> None:
    assert plain(GOOD[fact], 5.0) == replace(GOOD[fact], measured_at=5.0)
    told = replace(GOOD[fact], measured_at=4.0)
    assert plain(told, 5.0) == told


AT_HOME = FactMeasured(fact="metered", value=True, interface="eth0")


def test_the_host_refuses_what_is_not_declared(caplog: pytest.LogCaptureFixture) -> None:
    class Liar:
        name = "liar"
        facts = (METERED,)

        async def run(self, report: Report) -> None:
            report(AT_HOME)
            report(FactMeasured(fact="metered", value="very", interface="eth0"))

    async def play() -> None:
        async with MonitorHost(Discovery(monitors=(Liar(),))) as host:
            async for events in host:
                (event,) = events
                assert isinstance(event, FactMeasured)
                assert event.measured_at is not None
                assert replace(event, measured_at=None) == AT_HOME
                break

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    assert (
        "monitor `liar` failed: ValueError: it reported the fact `metered` with the value 'very'"
        in caplog.text
    )


def test_a_unit_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"^fact `wifi\.ssid`: `dB` is no unit; use `s`, `%`.* or none"):
        replace(WIFI_SSID, unit="dB")
