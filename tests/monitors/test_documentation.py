"""The plugin in the documentation is a real one."""

from __future__ import annotations

import asyncio
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from monitors.discovery import discover
from monitors.events import LinkState
from monitors.isolation import BLOCKED_AFTER_S, INTERRUPT_AFTER_S, SWITCH_INTERVAL_S
from monitors.loading import LOAD_LIMIT_S
from monitors.mailbox import MAILBOX_LIMIT
from monitors.reporting import FLOOD_RATE, FLOOD_S, SLOWED_EVERY, SLOWED_S
from monitors.spec import ENTRY_POINT_GROUP, SettingsError
from monitors.supervisor import FAILURE_BUDGET, FIRST_PAUSE_S, GIVEN_UP_PAUSE_S, GOOD_WHILE_S, LOOK_AGAIN_S
from monitors.surroundings import Solitude
from monitors.tap import RECENT_LIMIT
from monitors.testing import check_monitor

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "monitors.md").read_text()
WRITING = (DOCS / "writing-monitors.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", WRITING, re.DOTALL)


def plugin() -> ModuleType:
    (source,) = (program for program in PROGRAMS if "class ModemMonitor" in program)
    module = ModuleType("modem_monitor")
    exec(compile(source, "docs/writing-monitors.md", "exec"), module.__dict__)
    return module


def test_the_plugin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modem_monitor", plugin())
    (line,) = re.findall(r'^(modem) = "(.*)"$', WRITING, re.MULTILINE)
    found = discover(points=[EntryPoint(name=line[0], value=line[1], group=ENTRY_POINT_GROUP)])
    assert [monitor.name for monitor in found.monitors] == ["modem"]


@pytest.mark.parametrize(("word", "carrier"), [("connected\n", True), ("searching\n", False)])
def test_the_plugin_keeps_the_contract(word: str, carrier: bool, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text(word)
    recorder = asyncio.run(check_monitor(lambda: plugin().ModemMonitor(state), run_s=0.01))
    (event,) = recorder.events
    assert isinstance(event, LinkState)
    assert event.usable is carrier


def test_the_settings_are_read() -> None:
    (source,) = (program for program in PROGRAMS if "class Settings" in program)
    module = ModuleType("modem_settings")
    module.__dict__["ModemMonitor"] = lambda settings: settings
    exec(compile(source, "docs/writing-monitors.md", "exec", dont_inherit=True), module.__dict__)
    (settings,) = module.migrate_monitors(Solitude({"modem": {"every_s": 5}}))
    assert settings.every_s == 5.0
    with pytest.raises(SettingsError) as caught:
        module.migrate_monitors(Solitude({"modem": {"every": 5}}))
    assert " ".join(f"its settings are wrong: {caught.value}".split()) in " ".join(WRITING.split())


def test_the_limits_of_plugins_are_current() -> None:
    for said in (
        f"all together have {LOAD_LIMIT_S:g} s",
        f"a look every {LOOK_AGAIN_S:g} s",
        f"more than {FLOOD_RATE:,} events in a second",
        f"{FLOOD_S} such seconds in a row",
        f"at most {SLOWED_EVERY / SLOWED_S:,.0f} a second",
        f"after {BLOCKED_AFTER_S:g} s it is *blocked*; after {INTERRUPT_AFTER_S:g} s",
        f"every\n{SWITCH_INTERVAL_S * 1000:g} ms instead of 5 ms",
        f"the latest {RECENT_LIMIT:,} events",
    ):
        assert said in TEXT


def test_the_numbers_are_current() -> None:
    last_s = FIRST_PAUSE_S * 2 ** (FAILURE_BUDGET - 2)
    assert f"after {FIRST_PAUSE_S:g} s, {2 * FIRST_PAUSE_S:g} s, … {last_s:g} s" in TEXT
    assert f"after {FAILURE_BUDGET} failures in a row every {GIVEN_UP_PAUSE_S / 60:g} minutes" in TEXT
    assert f"a run of {GOOD_WHILE_S:g} s" in TEXT
    assert f"up to {MAILBOX_LIMIT:,}" in TEXT
