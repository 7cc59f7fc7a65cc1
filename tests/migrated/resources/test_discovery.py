"""Resource handlers of plugins are found, and those that are faulty do no harm."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from migrated.resources import Owner, ResourceLostError, Resources, discover
from migrated.resources.spec import hookimpl

ME = Owner(uid=os.geteuid(), gid=os.getegid())
PAGE = Path(__file__).parents[3] / "docs" / "resources.md"

Plugin = Callable[[str, ModuleType], EntryPoint]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    def make(name: str, module: ModuleType) -> EntryPoint:
        monkeypatch.setitem(sys.modules, f"plugin_{name}", module)
        return EntryPoint(name=name, value=f"plugin_{name}", group="migrate.resources")

    return make


def documented() -> ModuleType:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    module = ModuleType("documented")
    exec(compile(example, str(PAGE), "exec"), module.__dict__)
    return module


def offering(offer: Callable[[], object]) -> ModuleType:
    module = ModuleType("offering")
    vars(module)["migrate_resources"] = hookimpl(offer)
    return module


def kinds(resources: Resources) -> list[str]:
    return list(resources._handlers)


BUILT_IN = ["connection", "file", "terminal", "kept"]


def test_the_documented_plugin_works(plugin: Plugin, tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_text("")
    resources = discover(points=[plugin("log", documented())])
    assert kinds(resources) == ["connection", "rotated-log", "file", "terminal", "kept"]
    number = os.open(log, os.O_WRONLY | os.O_APPEND)
    collected = resources.collect(["log"], [number], ME, {})
    assert collected.kept == ()
    collected.release()
    log.rename(tmp_path / "it.log.1")
    with pytest.raises(ResourceLostError, match="`log`: there is no log file"):
        resources.restore(collected.state, (), ME)
    log.write_text("")
    (again,) = resources.restore(collected.state, (), ME).descriptors
    os.write(again, b"goes on")
    os.close(again)
    assert log.read_text() == "goes on"


def broken() -> object:
    raise RuntimeError("a mistake")


FAULTY: dict[str, tuple[ModuleType, str]] = {
    "raises": (offering(broken), "a mistake"),
    "nothing": (ModuleType("empty"), "has no hook `migrate_resources`"),
    "class": (offering(lambda: [dict]), r"offer an object, `dict\(\)`"),
    "lacking": (offering(lambda: [object()]), "offers a `object`, which lacks one of"),
    "taken": (
        offering(lambda: [discover(points=[])._handlers["kept"]]),
        "already a handler for the kind `kept`",
    ),
}


@pytest.mark.parametrize("fault", sorted(FAULTY))
def test_a_faulty_plugin_stops_no_other(plugin: Plugin, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    module, reason = FAULTY[fault]
    resources = discover(points=[plugin("a", module), plugin("log", documented())])
    assert kinds(resources) == ["connection", "rotated-log", "file", "terminal", "kept"]
    assert re.search(f"`a` is not used: .*{reason}", caplog.text)


def test_plugins_can_be_left_out(plugin: Plugin) -> None:
    assert kinds(discover(plugins=False, points=[plugin("log", documented())])) == BUILT_IN
    assert kinds(discover(points=[])) == BUILT_IN
