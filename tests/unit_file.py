"""Read the systemd unit that the project hands out."""

from __future__ import annotations

from pathlib import Path

UNIT = Path(__file__).parent.parent / "examples" / "systemd" / "migrated.service"
PROGRAMS = UNIT.with_name("programs.conf")


def settings(file: Path = UNIT) -> dict[str, list[str]]:
    """Return every setting of the ``[Service]`` section with its words; repeated settings add up."""
    found: dict[str, list[str]] = {}
    section = file.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    for line in section.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).extend(value.split())
    return found


def capabilities(file: Path = UNIT) -> frozenset[str]:
    """Return the file's capabilities as setpriv(1) names them: ``net_admin``."""
    return frozenset(
        name.removeprefix("CAP_").lower() for name in settings(file).get("CapabilityBoundingSet", [])
    )
