from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pytest
from msgspec import Struct

from monitors import discovery
from monitors.discovery import discover
from monitors.facts import METERED, RTT, Fact, Subject
from monitors.origins import Kind, Origin
from monitors.settings import read
from monitors.spec import ENTRY_POINT_GROUP, Report, hookimpl
from monitors.surroundings import Solitude, Surroundings

Plugin = Callable[..., EntryPoint]


class Quiet:
    facts: tuple[Fact, ...] = ()

    def __init__(self, name: str = "quiet") -> None:
        self.name = name

    async def run(self, report: Report) -> None:
        raise NotImplementedError


class Listing(Quiet):
    facts = [METERED]  # type: ignore[assignment]  # noqa: RUF012


class Unsteady(Quiet):
    """Be somebody else whenever anyone asks."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        self.asked += 1
        return f"unsteady-{self.asked}"


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


class Measuring(Quiet):
    def __init__(self, *facts: Fact) -> None:
        super().__init__()
        self.facts = facts


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=ENTRY_POINT_GROUP)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Make a module with one function and return an entry point for it."""

    def make(name: str, hook: Callable[..., object], hook_name: str = "migrate_monitors") -> EntryPoint:
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


def cannot_say() -> object:
    raise UnspeakableError


def where(hook: Callable[[], object]) -> str:
    """Return the place of a hook's first line."""
    return f"(test_discovery.py, line {hook.__code__.co_firstlineno + 1})"


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (raises, f"ValueError: two lines {where(raises)}"),
        (
            cannot_say,
            f"UnspeakableError: its message can't be told, because `__str__` fails {where(cannot_say)}",
        ),
        (
            lambda: [Measuring(replace(RTT, type="number"))],  # type: ignore[arg-type]
            f"of its facts {replace(RTT, type='number')!r:.80} is not made as `monitors.facts.Fact` says",  # type: ignore[arg-type]
        ),
        (
            lambda: [Measuring("quiet.rain")],  # type: ignore[arg-type]
            "of its facts 'quiet.rain' is not made as `monitors.facts.Fact` says",
        ),
        (exits, f"SystemExit: no licence {where(exits)}"),
        (lambda: [Quiet], "it offers the class `Quiet`; offer an object, `Quiet()`"),
        (lambda: [object()], "it offers a `object`, which lacks `name`, `facts` or `run`"),
        (
            lambda: [Quiet("carrier")],
            "there is already a monitor named `carrier`, that of `monitors.carrier`",
        ),
        (
            lambda: [Quiet("My Monitor")],
            "its monitor can't be named `My Monitor`; use a name like `my-monitor`",
        ),
        (lambda: [Quiet(None)], "its monitor can't be named `None`; use a name like `my-monitor`"),  # type: ignore[arg-type]
        (lambda: [Listing()], "the facts of its monitor `quiet` are no tuple; write `(FACT, ...)`"),
        (lambda: [Quiet(), Quiet()], "two of its monitors are named `quiet`"),
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
        (lambda: 5, "its hook `migrate_monitors` returns a `int`; return a list of monitors"),
        (lambda: Quiet("bad"), "its hook `migrate_monitors` returns a `Quiet`; return a list of monitors"),
        (lambda: None, "its hook `migrate_monitors` returns nothing; return a list of monitors"),
        (
            lambda surrounding: [],
            "its hook `migrate_monitors` can't be called; give it the argument `surroundings`, or none",
        ),
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


def test_a_monitor_keeps_the_name_by_which_it_was_found(plugin: Plugin) -> None:
    """A name without an origin would be taken for one of ours, and run in the daemon's own loop."""
    found = discover(points=[plugin("bad", lambda: [Unsteady()])])
    (monitor,) = found.monitors
    assert [monitor.name, monitor.name] == list(found.origins) * 2


def test_wrong_settings_of_a_monitor_with_another_name_than_its_plugin_are_told(plugin: Plugin) -> None:
    pair = plugin("pair", lambda: [Quiet("one"), Quiet("two")])
    found = discover(points=[pair, *BUILT_IN], surroundings=Solitude({"two": {"enabled": "no"}}))
    assert [monitor.name for monitor in found.monitors] == ["address", "carrier"]
    assert '`enabled` is "no"; expected true or false' in found.failures[0].reason


def test_a_plugin_that_fails_to_import_is_listed() -> None:
    found = discover(points=[point("weather", "no_such_module"), *BUILT_IN])
    assert len(found.monitors) == 2
    assert found.failures[0].reason == "ModuleNotFoundError: No module named 'no_such_module'"


def test_a_misspelt_hook_is_listed(plugin: Plugin) -> None:
    found = discover(points=[plugin("weather", lambda: [Quiet()], "migrate_monitor")])
    assert found.monitors == ()
    assert found.failures[0].reason == "unknown hook `migrate_monitor`; did you mean `migrate_monitors`?"


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


class Settings(Struct, frozen=True):
    every_s: float = 1.0


def reads_its_settings(surroundings: Surroundings) -> object:
    read(surroundings.settings("weather"), Settings)
    return [Quiet("weather")]


def test_a_plugin_reads_its_settings(plugin: Plugin) -> None:
    surroundings = Solitude({"weather": {"every_s": 5, "enabled": True}})
    found = discover(points=[plugin("weather", reads_its_settings)], surroundings=surroundings)
    assert [monitor.name for monitor in found.monitors] == ["weather"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"every_s": "1 s"}, 'its settings are wrong: `every_s` is "1 s"; expected a number'),
        ({"enabled": "no"}, 'its settings are wrong: `enabled` is "no"; expected true or false'),
    ],
)
def test_wrong_settings_are_told(plugin: Plugin, table: dict[str, object], reason: str) -> None:
    point = plugin("weather", reads_its_settings)
    found = discover(points=[point], surroundings=Solitude({"weather": table}))
    assert found.monitors == ()
    assert [failure.reason for failure in found.failures] == [reason]


def test_a_monitor_that_is_switched_off_is_listed_and_its_settings_are_not_read(plugin: Plugin) -> None:
    off = Solitude({"weather": {"enabled": False, "every_s": "nonsense"}, "clock": {"enabled": False}})
    points = [plugin("weather", reads_its_settings), point("clock", "monitors.clock"), *BUILT_IN]
    found = discover(points=points, surroundings=off)
    assert [monitor.name for monitor in found.monitors] == ["address", "carrier"]
    assert set(found.switched_off) == {"weather", "clock"}
    assert found.switched_off["clock"] == Origin(Kind.BUILT_IN, "monitors.clock")
    assert found.failures == ()


def test_one_of_several_monitors_of_a_plugin_can_be_switched_off(plugin: Plugin) -> None:
    pair = plugin("pair", lambda: [Quiet("one"), Quiet("two")])
    found = discover(points=[pair], surroundings=Solitude({"two": {"enabled": False}}))
    assert [monitor.name for monitor in found.monitors] == ["one"]
    assert set(found.switched_off) == {"two"}


def test_a_setting_that_a_built_in_monitor_does_not_have_is_told() -> None:
    """All but those without which no link would be known: they go on."""
    names = [monitor.name for monitor in discover(plugins=False).monitors]
    found = discover(plugins=False, surroundings=Solitude({name: {"evry": 1} for name in names}))
    assert {monitor.name for monitor in found.monitors} == {"address", "carrier"}
    assert {failure.name for failure in found.failures} == {*names} - {"address", "carrier"}
    assert all("settings are wrong: `evry`" in failure.reason for failure in found.failures)


def test_settings_of_a_monitor_that_does_not_exist_are_told(plugin: Plugin) -> None:
    points = [plugin("weather", lambda: [Quiet("rain")]), *BUILT_IN]
    found = discover(points=points, configured=["carier", "weather", "rain", "zzz"])
    told = "the configuration has settings for it, but there is no such monitor"
    assert [(failure.name, failure.reason) for failure in found.failures] == [
        ("carier", f"{told}; did you mean `carrier`?"),
        ("zzz", f"{told}; `migrate monitors` lists those that there are"),
    ]
    assert discover(points=points, plugins=False, configured=["weather"]).failures == ()


def test_a_plugin_that_hangs_while_it_is_loaded_is_named_and_holds_up_no_other(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(discovery, "LOAD_LIMIT_S", 3.0)  # the other one has to be loaded by then
    hung = plugin("hung", lambda: release.wait(60.0))
    found = discover(points=[hung, plugin("weather", lambda: [Quiet("weather")]), *BUILT_IN])
    release.set()
    assert [monitor.name for monitor in found.monitors] == ["address", "carrier", "weather"]
    assert [(failure.name, failure.reason) for failure in found.failures] == [
        ("hung", "it did not load within 3 s")
    ]


def test_where_a_monitor_comes_from_is_known(plugin: Plugin) -> None:
    found = discover(points=[plugin("weather", lambda: [Quiet("weather")]), *BUILT_IN])
    assert found.origins["weather"] == Origin(Kind.PLUGIN, "plugin_weather")
    assert found.origins["carrier"] == Origin(Kind.BUILT_IN, "monitors.carrier")
