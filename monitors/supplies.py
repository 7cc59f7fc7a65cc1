"""What the host is supplied with power by, as sysfs tells it.

Every attribute may be missing, vanish between two reads, or say nonsense: a battery can be pulled out, and
drivers answer with errors while they wait for their chip. Such an attribute counts as not known.

Source: Documentation/ABI/testing/sysfs-class-power; Documentation/power/power_supply_class.rst.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

POWER_SUPPLIES = Path("/sys/class/power_supply")
SUPPLIES_MAX = 64
"""How many supplies are looked at."""

TEXT_MAX = 256
"""Bytes read of an attribute; none is longer."""

_NUMBER_MAX = 1 << 63  # the kernel has no wider ones
_BATTERIES = frozenset({"Battery", "UPS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """A battery that supplies the host.

    Attributes:
        percent: How full it is, 0 to 100; ``None`` if not known.
        full: How much it holds when full, in any unit that is the same for all; ``None`` if not known.
        status: ``Charging``, ``Discharging``, ``Full``, ``Not charging`` or ``Unknown``.
    """

    percent: float | None
    full: float | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """All that supplies the host: its batteries, and of each other source whether it does so now."""

    batteries: tuple[Battery, ...]
    sources: tuple[bool, ...]

    def on_battery(self) -> bool | None:
        """Return whether the host runs on its batteries, or ``None`` if that can't be told.

        A source that is connected decides, even if it is so weak that a battery helps. A battery that is
        being charged tells of a source that has no entry of its own.
        """
        states = {battery.status for battery in self.batteries}
        if any(self.sources) or "Charging" in states:
            return False
        if "Discharging" in states or self.sources:
            return True
        return False if states & {"Full", "Not charging"} else None

    def percent(self) -> float | None:
        """Return how full the batteries are together, in whole percent; ``None`` if none of them says it.

        Each counts with what it holds; where one does not say that, all count the same.
        """
        known = [(battery.percent, battery.full) for battery in self.batteries if battery.percent is not None]
        if not known:
            return None
        even = any(full is None for _, full in known)
        weights = [1.0 if even or full is None else full for _, full in known]
        total = sum(percent * weight for (percent, _), weight in zip(known, weights, strict=True))
        return float(round(total / sum(weights)))


def read_supplies(folder: Path = POWER_SUPPLIES) -> Supplies:
    """Return what supplies the host; those of a mouse or a headset, which supply only that, are left out.

    It blocks while a driver asks its chip, so it is called in a thread.

    Args:
        folder: with one folder for each supply.
    """
    batteries: list[Battery] = []
    sources: list[bool] = []
    for supply in _folders(folder):
        if _text(supply, "scope") == "Device":
            continue
        if _text(supply, "type") in _BATTERIES:
            if _number(supply, "present") != 0:
                batteries.append(_battery(supply))
        elif (online := _number(supply, "online")) is not None:
            sources.append(online != 0)  # 2 is a source of programmable voltage
    return Supplies(batteries=tuple(batteries), sources=tuple(sources))


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())[:SUPPLIES_MAX]
    except FileNotFoundError:  # a kernel without power supplies
        return ()


def _battery(supply: Path) -> Battery:
    percent = _number(supply, "capacity")
    if percent is None:
        percent = _share(supply, "energy")
    if percent is None:
        percent = _share(supply, "charge")
    if percent is not None:
        percent = min(max(percent, 0.0), 100.0)  # some gauges overshoot
    return Battery(percent=percent, full=_full(supply), status=_text(supply, "status") or "Unknown")


def _share(supply: Path, kind: str) -> float | None:
    now, full = _number(supply, f"{kind}_now"), _number(supply, f"{kind}_full")
    return 100 * now / full if now is not None and full else None


def _full(supply: Path) -> float | None:
    """Return how much energy a battery holds, in µWh; of one that counts charge with its nominal voltage."""
    energy = _number(supply, "energy_full")
    if energy is None:
        charge, voltage = _number(supply, "charge_full"), _number(supply, "voltage_min_design")
        energy = None if charge is None or voltage is None else charge * voltage / 1e6
    return energy if energy is not None and energy > 0 else None


def _number(supply: Path, name: str) -> float | None:
    text = _text(supply, name)
    try:
        number = int(text)
    except ValueError:
        return None
    return float(number) if abs(number) <= _NUMBER_MAX else None


def _text(supply: Path, name: str) -> str:
    """Return an attribute; empty where it is not known, which its driver may say by any error."""
    try:
        with (supply / name).open("rb") as file:
            return file.read(TEXT_MAX).decode("ascii", "replace").strip()
    except OSError:
        return ""
