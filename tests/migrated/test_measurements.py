"""How commands put what monitors say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.commands.measurements import change_text, event_text, subject_text, value_text
from migrated.control.observations import FactReport
from monitors.facts import UNITS


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.2, "s", "200 ms"),
        (0.0312345, "s", "31.2 ms"),
        (0.00042, "s", "420 µs"),
        (1e-9, "s", "0.001 µs"),
        (0.0, "s", "0 s"),
        (0.9999, "s", "1 s"),
        (1.5, "s", "1.5 s"),
        (86_400.0, "s", "86400 s"),
        (-61.0, "dbm", "-61 dBm"),
        (12_400_000.0, "bit/s", "12.4 Mbit/s"),
        (999.6, "bit/s", "1 kbit/s"),
        (0.0, "bit/s", "0 bit/s"),
        (17.0, "byte", "17 B"),
        (1_234_567_890.0, "byte", "1.23 GB"),
        (5e15, "byte", "5000 TB"),
        (3.0, "%", "3 %"),
        (33.333333, "%", "33.3333 %"),
        (1_234_567.0, "", "1234567"),
        (0.5, "", "0.5"),
        (True, "", "yes"),
        (False, "", "no"),
        ("friday", "", "friday"),
        (None, "s", "unknown"),
    ],
)
def test_values_have_the_units_that_people_use(
    value: float | bool | str | None, unit: str, expected: str
) -> None:
    assert value_text(value, unit) == expected


@given(st.floats(-1e18, 1e18), st.sampled_from(sorted(UNITS)))
def test_a_number_has_no_exponent_and_is_close_to_what_is_measured(value: float, unit: str) -> None:
    number, _, name = value_text(value, unit).partition(" ")
    scales = {"ms": 1e-3, "µs": 1e-6, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    scale = 1.0
    if unit in ("s", "byte", "bit/s"):
        scale = scales.get(name, scales.get(name[:1], 1.0))
    if abs(value) > 1e-3:
        assert "e" not in number
        assert float(number) * scale == pytest.approx(value, rel=6e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (FactReport(fact="hour", value=7.0), "host"),
        (FactReport(fact="cost", value=1.0, interface="ppp0"), "ppp0"),
        (FactReport(fact="rtt", value=1.0, interface="ppp0", peer="::1"), "ppp0 -> ::1"),
        (FactReport(fact="healthy", value=True, session="aabbccddeeff"), "session aabbccdd"),
        (FactReport(fact="rto", value=1.0, session="ab", connection="9"), "session ab connection 9"),
    ],
)
def test_subjects_are_named_as_people_write_them(row: FactReport, expected: str) -> None:
    assert subject_text(row) == expected


def test_a_change_is_one_line() -> None:
    rtt = FactReport(fact="rtt", value=0.031, unit="s", interface="wlan0", peer="10.0.0.9")
    assert change_text(rtt) == "rtt wlan0 -> 10.0.0.9 = 31 ms"
    assert change_text(FactReport(fact="hour", value=7.0)) == "hour = 7"
    assert change_text(FactReport(fact="cost", value=None, interface="ppp0")) == "cost ppp0 is not known"


def test_events_have_their_own_words_or_their_fields() -> None:
    assert event_text("link", {"text": "eth0 is up", "up": True}) == "eth0 is up"
    assert event_text("missed", {"count": 1}) == "1 event missed: more came than were read"
    assert event_text("new-kind", {"a": 1}) == "new-kind a=1"
