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
from monitors.mailbox import MAILBOX_LIMIT
from monitors.spec import ENTRY_POINT_GROUP
from monitors.supervisor import FAILURE_BUDGET, FIRST_PAUSE_S, GIVEN_UP_PAUSE_S, GOOD_WHILE_S
from monitors.testing import check_monitor

TEXT = (Path(__file__).parents[2] / "docs" / "monitors.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def plugin() -> ModuleType:
    (source,) = (program for program in PROGRAMS if "@hookimpl" in program)
    module = ModuleType("modem_monitor")
    exec(compile(source, "docs/monitors.md", "exec"), module.__dict__)
    return module


def test_the_plugin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modem_monitor", plugin())
    (line,) = re.findall(r'^(modem) = "(.*)"$', TEXT, re.MULTILINE)
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


def test_the_numbers_are_current() -> None:
    last_s = FIRST_PAUSE_S * 2 ** (FAILURE_BUDGET - 2)
    assert f"after {FIRST_PAUSE_S:g} s, {2 * FIRST_PAUSE_S:g} s, … {last_s:g} s" in TEXT
    assert f"after {FAILURE_BUDGET} failures in a row every {GIVEN_UP_PAUSE_S / 60:g} minutes" in TEXT
    assert f"a run of {GOOD_WHILE_S:g} s" in TEXT
    assert f"up to {MAILBOX_LIMIT:,}" in TEXT
