"""A host and a policy to ask about, and texts with a `|` where the cursor is."""

from __future__ import annotations

from collections.abc import Mapping

from monitors.facts import CARRIER, STANDARD_FACTS, FactTable
from policylang.editing import Surroundings


def around(text: str, others: Mapping[str, str] | None = None) -> Surroundings:
    """Return a host with two links and three services, where all facts but `wifi.ssid` are measured."""
    measured = [fact for fact in STANDARD_FACTS.values() if fact.name != "wifi.ssid"]
    assert CARRIER in measured
    return Surroundings(
        texts={"main.policy": text, **(others or {})},
        facts=lambda: FactTable.of(measured),
        service_port={"http": 80, "ssh": 22, "sip": 5060}.get,
        interfaces=lambda: ("eth0", "wlan0"),
        services=("http", "ssh", "sip"),
    )


def cursor(marked: str) -> tuple[str, int]:
    """Return a text without its `|`, and where it was."""
    assert marked.count("|") == 1
    return marked.replace("|", ""), marked.index("|")
