"""Find the built-in monitors and those of installed plugins, each on its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import pluggy

from monitors import spec
from monitors.facts import is_redefined, own_name
from monitors.spec import ENTRY_POINT_GROUP, PROJECT, Monitor
from monitors.surroundings import Solitude, Surroundings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFailure:
    """A plugin that could not be used. ``name`` is its entry point's, ``reason`` one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The monitors that were found, in order of their plugins' names, and the plugins that failed."""

    monitors: tuple[Monitor, ...]
    failures: tuple[PluginFailure, ...] = ()


class PluginError(Exception):
    """A plugin was loaded but offers nothing usable."""


def discover(
    *,
    plugins: bool = True,
    points: Iterable[EntryPoint] | None = None,
    surroundings: Surroundings | None = None,
) -> Discovery:
    """Load every monitor; a plugin that fails costs one warning and stops no other.

    Args:
        plugins: whether to load what others have installed; the built-in monitors always are.
        points: the entry points to look at instead of the installed ones.
        surroundings: what the monitors may know of the daemon; by default nothing.

    Source: the group ``migrate.monitors`` of the entry points specification.
    """
    surroundings = surroundings or Solitude()
    candidates = entry_points(group=ENTRY_POINT_GROUP) if points is None else points
    found: dict[str, Monitor] = {}
    failures: list[PluginFailure] = []
    for point in sorted(set(candidates), key=_order):
        if not plugins and not _built_in(point):
            continue
        try:
            _add(found, _load(point, surroundings))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the isolation of a plugin
            failures.append(PluginFailure(name=point.name, reason=_reason(error)))
            _log.warning("monitor plugin `%s` is not used: %s", point.name, failures[-1].reason)
            _log.debug("monitor plugin `%s` failed here", point.name, exc_info=error)
    return Discovery(monitors=tuple(found.values()), failures=tuple(failures))


def _built_in(point: EntryPoint) -> bool:
    return point.module.partition(".")[0] == __name__.partition(".")[0]


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    """Sort ours first, so that no plugin can take a built-in monitor's name."""
    return (not _built_in(point), point.name, point.value)


def _load(point: EntryPoint, surroundings: Surroundings) -> list[Monitor]:
    # One manager for each plugin: a hook call stops at the first implementation that
    # raises, and a registration that fails leaves half of itself behind.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    manager.register(point.load(), name=point.name)
    manager.check_pending()  # a misspelt hook would otherwise stay silent
    offers = manager.hook.migrate_monitors(surroundings=surroundings)
    if not offers:
        raise PluginError("it has no hook `migrate_monitors`; decorate one with `monitors.spec.hookimpl`")
    return [_checked(offer) for offer in offers[0]]


def _checked(offer: object) -> Monitor:
    if isinstance(offer, type):
        raise PluginError(f"it offers the class `{offer.__name__}`; offer an object, `{offer.__name__}()`")
    if not isinstance(offer, Monitor):
        raise PluginError(f"it offers a `{type(offer).__name__}`, which lacks `name`, `facts` or `run`")
    redefined = next((fact.name for fact in offer.facts if is_redefined(fact)), None)
    if redefined is not None:
        advice = "import that of `monitors.facts`, or rename it"
        raise PluginError(f"its fact `{redefined}` is not that of the language; {advice}")
    for fact in offer.facts:
        if fact.name != own_name(fact, offer.name):
            raise PluginError(f"its fact `{fact.name}` must be named `{own_name(fact, offer.name)}`")
    return offer


def _add(found: dict[str, Monitor], monitors: list[Monitor]) -> None:
    names = [monitor.name for monitor in monitors]
    for name in names:
        if name in found or names.count(name) > 1:
            raise PluginError(f"there is already a monitor named `{name}`")
    found.update(zip(names, monitors, strict=True))


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"
