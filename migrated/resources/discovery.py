"""Find the built-in resource handlers and those of installed plugins, each on its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import pluggy

from migrated.resources import spec
from migrated.resources.collection import Resources
from migrated.resources.connections import ConnectionHandler
from migrated.resources.files import FileHandler
from migrated.resources.kept import KeptHandler
from migrated.resources.spec import ENTRY_POINT_GROUP, PROJECT, ResourceHandler
from migrated.resources.terminals import TerminalHandler

_log: Final = logging.getLogger(__name__)


class PluginError(Exception):
    """A plugin was loaded but offers nothing usable."""


def discover(*, plugins: bool = True, points: Iterable[EntryPoint] | None = None) -> Resources:
    """Load every resource handler; a plugin that fails costs one warning and stops no other.

    A descriptor is offered to the plugins' handlers first, in the order of the plugins' names, except
    connections of sessions: these are always ours.

    Args:
        plugins: whether to load what others have installed.
        points: the entry points to look at instead of the installed ones.

    Source: the group ``migrate.resources`` of the entry points specification.
    """
    first, last = ConnectionHandler(), (FileHandler(), TerminalHandler(), KeptHandler())
    found: dict[str, ResourceHandler] = {first.kind: first}
    taken = {handler.kind for handler in (first, *last)}
    candidates = entry_points(group=ENTRY_POINT_GROUP) if points is None else points
    for point in sorted(set(candidates), key=lambda point: (point.name, point.value)) if plugins else ():
        try:
            offered = _load(point)
            _check_kinds(offered, taken)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the isolation of a plugin
            reason = " ".join(str(error).split()) or type(error).__name__
            _log.warning("resource plugin `%s` is not used: %s", point.name, reason)
            _log.debug("resource plugin `%s` failed here", point.name, exc_info=error)
            continue
        found |= {handler.kind: handler for handler in offered}
        taken |= found.keys()
    return Resources([*found.values(), *last])


def _load(point: EntryPoint) -> list[ResourceHandler]:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    manager.register(point.load(), name=point.name)
    manager.check_pending()  # a misspelt hook would otherwise stay silent
    offers = manager.hook.migrate_resources()
    if not offers:
        raise PluginError(
            "it has no hook `migrate_resources`; decorate one with `migrated.resources.spec.hookimpl`"
        )
    return [_checked(offer) for offer in offers[0]]


def _checked(offer: object) -> ResourceHandler:
    if isinstance(offer, type):
        raise PluginError(f"it offers the class `{offer.__name__}`; offer an object, `{offer.__name__}()`")
    if not isinstance(offer, ResourceHandler):
        raise PluginError(
            f"it offers a `{type(offer).__name__}`, which lacks one of "
            "`kind`, `suspend`, `give_up`, `resume` and `forget`"
        )
    return offer


def _check_kinds(offered: list[ResourceHandler], taken: set[str]) -> None:
    kinds = [handler.kind for handler in offered]
    for kind in kinds:
        if kind in taken or kinds.count(kind) > 1:
            raise PluginError(f"there is already a handler for the kind `{kind}`")
