"""Power supplies as sysfs has them: a folder for each, a file for each attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BATTERY: dict[str, Any] = {
    "type": "Battery",
    "status": "Discharging",
    "capacity": 64,
    "energy_full": 50_000_000,
    "energy_now": 32_000_000,
}


def supply(folder: Path, name: str, **attributes: Any) -> Path:
    """Make a supply or change one."""
    (folder / name).mkdir(exist_ok=True, parents=True)
    for attribute, value in attributes.items():
        (folder / name / attribute).write_text(f"{value}\n")
    return folder / name
