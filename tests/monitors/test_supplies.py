from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.supplies import POWER_SUPPLIES, SUPPLIES_MAX, Battery, Supplies, read_supplies
from tests.monitors.sysfs import BATTERY, supply

FULL = Battery(percent=100.0, full=50e6, status="Full")
MAINS_ON, MAINS_OFF = {"type": "Mains", "online": 1}, {"type": "Mains", "online": 0}


def of(folder: Path, *supplies: dict[str, Any]) -> Supplies:
    for number, attributes in enumerate(supplies):
        supply(folder, f"s{number}", **attributes)
    return read_supplies(folder)


def test_a_laptop(tmp_path: Path) -> None:
    found = of(tmp_path, MAINS_ON, BATTERY | {"status": "Charging"})
    assert found == Supplies(
        batteries=(Battery(percent=64.0, full=50_000_000.0, status="Charging"),), sources=(True,)
    )
    assert (found.on_battery(), found.percent()) == (False, 64.0)


STATES: list[tuple[str, list[dict[str, Any]], bool | None]] = [
    ("unplugged", [MAINS_OFF, BATTERY], True),
    ("plugged in", [MAINS_ON, BATTERY | {"status": "Charging"}], False),
    ("full", [MAINS_ON, BATTERY | {"status": "Full"}], False),
    ("plugged in, and the battery helps", [MAINS_ON, BATTERY], False),
    ("just unplugged", [MAINS_OFF, BATTERY | {"status": "Full"}], True),
    ("charged by something that has no entry", [MAINS_OFF, BATTERY | {"status": "Charging"}], False),
    ("charged by its second USB port", [MAINS_OFF, {"type": "USB", "online": 1}, BATTERY], False),
    ("charged by programmable voltage", [{"type": "USB", "online": 2}, BATTERY], False),
    ("charged without a wire", [{"type": "Wireless", "online": 1}, BATTERY], False),
    ("a battery alone", [BATTERY], True),
    ("a battery alone that is full", [BATTERY | {"status": "Not charging"}], False),
    ("a battery alone that says nothing", [BATTERY | {"status": "Unknown"}], None),
    ("an uninterruptible supply, idle", [BATTERY | {"type": "UPS", "status": "Full"}], False),
    ("an uninterruptible supply in use", [BATTERY | {"type": "UPS", "status": "Discharging"}], True),
    ("one of two batteries in use", [MAINS_OFF, BATTERY | {"status": "Full"}, BATTERY], True),
    (
        "a mouse that is charged",
        [MAINS_OFF, BATTERY, BATTERY | {"scope": "Device", "status": "Charging"}],
        True,
    ),
]


@pytest.mark.parametrize(
    ("supplies", "on_battery"), [case[1:] for case in STATES], ids=[c[0] for c in STATES]
)
def test_whether_it_runs_on_the_battery(
    tmp_path: Path, supplies: list[dict[str, Any]], on_battery: bool | None
) -> None:
    assert of(tmp_path, *supplies).on_battery() is on_battery


def test_a_desktop_has_no_battery(tmp_path: Path) -> None:
    mouse = BATTERY | {"scope": "Device"}
    assert of(tmp_path, MAINS_ON, mouse).batteries == ()
    assert read_supplies(tmp_path / "none") == Supplies(batteries=(), sources=())


def test_an_empty_bay_is_no_battery(tmp_path: Path) -> None:
    assert of(tmp_path, BATTERY | {"present": 0}).batteries == ()
    assert len(of(tmp_path, BATTERY | {"present": 1}).batteries) == 1


LEVELS: list[tuple[str, list[dict[str, Any]], float | None]] = [
    (
        "each counts with what it holds",
        [{"capacity": 100, "energy_full": 75}, {"capacity": 0, "energy_full": 25}],
        75,
    ),
    (
        "charge counts with its voltage",
        [
            {"capacity": 100, "charge_full": 3_000_000, "voltage_min_design": 10_000_000},
            {"capacity": 0, "energy_full": 10_000_000},
        ],
        75,
    ),
    (
        "where one does not say, all count the same",
        [{"capacity": 90, "energy_full": 75}, {"capacity": 50}],
        70,
    ),
    ("one says nothing", [{"capacity": 90}, {}], 90),
    ("nobody says anything", [{}], None),
    ("energy alone", [{"energy_now": 30, "energy_full": 40}], 75),
    ("charge alone", [{"charge_now": 10, "charge_full": 40}], 25),
    ("energy without its end", [{"energy_now": 30}], None),
    ("a gauge that overshoots", [{"capacity": 103}], 100),
    ("a gauge below nothing", [{"capacity": -3}], 0),
    ("garbage", [{"capacity": "gone fishing"}, {"capacity": "٤2"}], None),
    ("a size of nothing", [{"capacity": 40, "energy_full": 0}], 40),
    ("beyond all bounds", [{"capacity": "9" * 200}, {"capacity": 12, "energy_full": "9" * 200}], 12),
    ("rounded", [{"capacity": 50}, {"capacity": 51}, {"capacity": 51}], 51),
]


@pytest.mark.parametrize(
    ("levels", "percent"), [case[1:] for case in LEVELS], ids=[case[0] for case in LEVELS]
)
def test_how_full_they_are(tmp_path: Path, levels: list[dict[str, Any]], percent: float | None) -> None:
    found = of(tmp_path, *({"type": "Battery", "status": "Discharging"} | level for level in levels))
    assert found.percent() == percent


def break_folder(battery: Path) -> None:
    shutil.rmtree(battery)
    battery.write_text("no folder")


def break_attribute(battery: Path) -> None:
    (battery / "capacity").unlink()
    (battery / "capacity").mkdir()


def break_text(battery: Path) -> None:
    (battery / "status").write_bytes(b"\xff\xfe\0" * 1000)
    (battery / "type").write_bytes(b"Battery\0\xff")


def break_type(battery: Path) -> None:
    (battery / "type").unlink()


@pytest.mark.parametrize("damage", [break_folder, break_attribute, break_text, break_type])
def test_what_vanishes_or_breaks_is_not_known(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    supply(tmp_path, "a", **BATTERY)
    damage(supply(tmp_path, "b", **BATTERY | {"capacity": 2}))
    assert read_supplies(tmp_path).percent() == 64.0


def test_there_is_an_end_to_them(tmp_path: Path) -> None:
    for number in range(SUPPLIES_MAX + 5):
        supply(tmp_path, f"b{number}", **BATTERY)
    assert len(read_supplies(tmp_path).batteries) == SUPPLIES_MAX


_MEASURES = st.none() | st.floats(0, 100)
_SIZES = st.none() | st.floats(1, 1e20)


@given(st.lists(st.builds(Battery, percent=_MEASURES, full=_SIZES, status=st.just("Full")), max_size=5))
def test_together_they_are_as_full_as_some_of_them(batteries: list[Battery]) -> None:
    known = [battery.percent for battery in batteries if battery.percent is not None]
    percent = Supplies(batteries=tuple(batteries), sources=()).percent()
    if percent is None:
        assert not known
    else:
        assert round(min(known)) <= percent <= round(max(known))


def test_the_real_ones_can_be_read() -> None:
    found = read_supplies()
    entries = len(list(POWER_SUPPLIES.iterdir())) if POWER_SUPPLIES.exists() else 0
    assert len(found.batteries) + len(found.sources) <= entries
