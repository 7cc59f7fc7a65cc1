from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pytest

from monitors.discovery import discover
from monitors.facts import METERED, RTT, Fact, Subject
from monitors.origins import Kind, Origin
from monitors.spec import ENTRY_POINT_GROUP, Report, hookimpl

Plugin = Callable[..., EntryPoint]


class Quiet:
    facts: tuple[Fact, ...] = ()

    def __init__(self, name: str = "quiet") -> None:
        self.name = name

    async def run(self, report: Report) -> None:
        raise NotImplementedError


class Measuring(Quiet):
    def __init__(self, *facts: Fact) -> None:
        super().__init__()
        self.facts = facts


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=ENTRY_POINT_GROUP)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Make a module with one function and return an entry point for it."""

    def make(name: str, hook: Callable[[], object], hook_name: str = "migrate_monitors") -> EntryPoint:
        module = ModuleType(f"plugin_{name}")
        setattr(module, hook_name, hookimpl(hook))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return point(name, module.__name__)

    return make


BUILT_IN = [point("carrier", "monitors.carrier"), point("address", "monitors.address")]


def test_the_installed_distribution_brings_each_built_in_monitor_once() -> None:
    found = discover(plugins=False)
    names = [monitor.name for monitor in found.monitors]
    points = entry_points(group=ENTRY_POINT_GROUP)
    assert names == sorted({point.name for point in points if point.module.startswith("monitors.")})
    assert found.failures == ()
    assert found.origins["clock"] == Origin(Kind.BUILT_IN, "monitors.clock")


def test_a_point_that_is_listed_twice_is_loaded_once() -> None:
    found = discover(points=BUILT_IN + BUILT_IN)
    assert [monitor.name for monitor in found.monitors] == ["address", "carrier"]
    assert found.failures == ()


def test_without_plugins_the_built_in_monitors_remain(plugin: Plugin) -> None:
    weather = plugin("weather", lambda: [Quiet("weather")])
    assert [m.name for m in discover(points=[weather, *BUILT_IN]).monitors] == [
        "address",
        "carrier",
        "weather",
    ]
    assert [m.name for m in discover(plugins=False, points=[weather, *BUILT_IN]).monitors] == [
        "address",
        "carrier",
    ]


def raises() -> object:
    raise ValueError("two\nlines")


def exits() -> object:
    raise SystemExit("no licence")


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (raises, "ValueError: two lines"),
        (exits, "SystemExit: no licence"),
        (lambda: [Quiet], "it offers the class `Quiet`; offer an object, `Quiet()`"),
        (lambda: [object()], "it offers a `object`, which lacks `name`, `facts` or `run`"),
        (lambda: [Quiet("carrier")], "there is already a monitor named `carrier`"),
        (lambda: [Quiet(), Quiet()], "there is already a monitor named `quiet`"),
        (
            lambda: [Measuring(METERED, replace(RTT, subject=Subject.LINK))],
            "its fact `rtt` is not that of the language; import that of `monitors.facts`, or rename it",
        ),
        (
            lambda: [Measuring(METERED, replace(RTT, name="quality"))],
            "its fact `quality` must be named `quiet.quality`",
        ),
        (
            lambda: [Measuring(replace(RTT, name="loud.quality"))],
            "its fact `loud.quality` must be named `quiet.quality`",
        ),
        (lambda: 5, "TypeError: 'int' object is not iterable"),
    ],
)
def test_a_bad_plugin_costs_one_warning_and_nothing_else(
    hook: Callable[[], object], reason: str, plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    good = plugin("good", lambda: [Quiet("good")])
    found = discover(points=[plugin("bad", hook), good, *BUILT_IN])
    assert [monitor.name for monitor in found.monitors] == ["address", "carrier", "good"]
    assert [(failure.name, failure.reason) for failure in found.failures] == [("bad", reason)]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"monitor plugin `bad` is not used: {reason}")
    ]


def test_a_plugin_that_fails_to_import_is_listed() -> None:
    found = discover(points=[point("weather", "no_such_module"), *BUILT_IN])
    assert len(found.monitors) == 2
    assert found.failures[0].reason == "ModuleNotFoundError: No module named 'no_such_module'"


def test_a_misspelt_hook_is_listed(plugin: Plugin) -> None:
    found = discover(points=[plugin("weather", lambda: [Quiet()], "migrate_monitor")])
    assert found.monitors == ()
    assert "migrate_monitor" in found.failures[0].reason
    assert "unknown hook" in found.failures[0].reason


def test_a_plugin_without_hooks_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plugin_empty", ModuleType("plugin_empty"))
    found = discover(points=[point("empty", "plugin_empty")])
    assert "decorate one with `monitors.spec.hookimpl`" in found.failures[0].reason


def test_monitors_of_a_plugin_come_all_or_not_at_all(plugin: Plugin) -> None:
    found = discover(points=[plugin("pair", lambda: [Quiet("one"), Quiet("carrier")]), *BUILT_IN])
    assert [monitor.name for monitor in found.monitors] == ["address", "carrier"]


def test_whoever_measures_may_declare_a_fact_of_the_language(plugin: Plugin) -> None:
    own = replace(METERED, summary="what the operator says", monitor="modem")
    found = discover(points=[plugin("modem", lambda: [Measuring(RTT, own, replace(RTT, name="quiet.rtt"))])])
    assert found.failures == ()
