"""The facts that a policy may speak of on this host: the standard ones and those of plugins."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from monitors.facts import FactTable

if TYPE_CHECKING:
    from pathlib import Path

    from migrated.config import Configuration
    from monitors.discovery import Discovery
    from monitors.surroundings import Surroundings

_log = logging.getLogger(__name__)


def known_facts() -> FactTable:
    """Return the facts by name, and which of them a monitor of this host measures.

    The monitors are those of the daemon that runs here: the configuration names folders of plugins, and has
    their settings. If it can't be read there is a warning, and installed monitors alone are known.

    Plugins are imported for it, so it is asked only for a policy that speaks of facts.
    """
    from migrated.config import ConfigurationError, file_of_this_host

    try:
        return _facts_under(file_of_this_host())
    except ConfigurationError as error:
        _log.warning("%s; of monitors those that are installed are known, and no others", error)
        return _facts_of_installed()


def monitors_of(configuration: Configuration, surroundings: Surroundings | None = None) -> Discovery:
    """Return the monitors of a daemon with this configuration.

    Args:
        configuration: says which plugins are loaded, and with what settings.
        surroundings: what they may know of the daemon; without any they only have their settings.
    """
    from monitors.discovery import discover
    from monitors.surroundings import Solitude

    return discover(
        plugins=configuration.plugins,
        folders=configuration.plugin_folders,
        surroundings=surroundings or Solitude(settings=configuration.monitors),
        configured=configuration.monitors,
    )


def facts_of(found: Discovery) -> FactTable:
    """Return the facts by name, and which of them one of these monitors measures."""
    return FactTable.of(fact for monitor in found.monitors for fact in monitor.facts)


@cache
def _facts_under(file: Path | None) -> FactTable:
    from migrated.config import load_configuration

    return facts_of(monitors_of(load_configuration(file)))


@cache
def _facts_of_installed() -> FactTable:
    from monitors.discovery import discover

    return facts_of(discover())
