"""Find the built-in monitors, those of installed plugins and those in single files, each on its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from monitors import spec
from monitors.facts import Fact, is_redefined, is_well_made, own_name
from monitors.files import PluginFileError, files_in, load_file
from monitors.loading import LOAD_LIMIT_S, LoadTimeoutError, call_all
from monitors.origins import Kind, Origin
from monitors.settings import did_you_mean, enabled
from monitors.spec import ENTRY_POINT_GROUP, NAME, PROJECT, Monitor, Report, SettingsError
from monitors.surroundings import Solitude, Surroundings
from monitors.texts import failure_of, message_of, printable

_INSTALLED = Origin(Kind.PLUGIN)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFailure:
    """A plugin that could not be used.

    Attributes:
        name: Its entry point's, or its file's without the suffix.
        reason: One line for people.
        origin: Where it comes from.
    """

    name: str
    reason: str
    origin: Origin = _INSTALLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found.

    Attributes:
        monitors: The monitors, built-in ones first, in order of their plugins' names.
        failures: The plugins that can't be used.
        origins: Where monitors come from, by name; one that is not in it is built in.
        switched_off: Those that the configuration switches off, by name.
    """

    monitors: tuple[Monitor, ...]
    failures: tuple[PluginFailure, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    switched_off: Mapping[str, Origin] = field(default_factory=dict)


class PluginError(Exception):
    """A plugin was loaded but offers nothing usable."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Something that may offer monitors. ``load`` returns its module."""

    name: str
    origin: Origin
    load: Callable[[], object]


def discover(
    *,
    plugins: bool = True,
    points: Iterable[EntryPoint] | None = None,
    folders: Iterable[Path] = (),
    surroundings: Surroundings | None = None,
    configured: Iterable[str] = (),
) -> Discovery:
    """Load every monitor; a plugin that fails costs one warning and stops no other.

    Plugins that don't load within `monitors.loading.LOAD_LIMIT_S` seconds are not waited for.

    Args:
        plugins: whether to load what others have written; the built-in monitors always are.
        points: the entry points to look at instead of the installed ones.
        folders: where single files are that offer monitors as a plugin does.
        surroundings: what the monitors may know of the daemon; by default nothing.
        configured: the names for which the configuration has a table; one that belongs to no monitor is told.

    Source: the group ``migrate.monitors`` of the entry points specification.
    """
    finder = _Finder(surroundings or Solitude())
    everything = set(entry_points(group=ENTRY_POINT_GROUP) if points is None else points)
    ours = [point for point in everything if _built_in(point)]
    finder.add_ours([_Candidate(p.name, Origin(Kind.BUILT_IN, p.module), p.load) for p in _sorted(ours)])
    if plugins:
        others = _sorted(everything.difference(ours))
        installed = [_Candidate(p.name, Origin(Kind.PLUGIN, _distribution(p)), p.load) for p in others]
        finder.add_others([*installed, *finder.files(folders)])
        finder.tell_unused_settings(configured)
    return finder.found()


class _Finder:
    """What was found so far, by name."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._candidates: set[str] = set()
        self._monitors: dict[str, Monitor] = {}
        self._origins: dict[str, Origin] = {}
        self._switched_off: dict[str, Origin] = {}
        self._failures: list[PluginFailure] = []

    def found(self) -> Discovery:
        return Discovery(
            monitors=tuple(self._monitors.values()),
            failures=tuple(self._failures),
            origins=self._origins,
            switched_off=self._switched_off,
        )

    def add_ours(self, candidates: Iterable[_Candidate]) -> None:
        for candidate in self._switched_on(candidates):
            try:
                self._add(candidate, _offers(candidate, self._surroundings))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - one that fails stops no other
                self._fail(candidate.name, candidate.origin, error)

    def add_others(self, candidates: Iterable[_Candidate]) -> None:
        wanted = list(self._switched_on(candidates))
        outcomes = call_all(
            [partial(_fixed_offers, candidate, self._surroundings) for candidate in wanted], LOAD_LIMIT_S
        )
        for candidate, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._fail(candidate.name, candidate.origin, outcome)
                continue
            try:
                self._add(candidate, outcome)
            except (PluginError, SettingsError) as error:
                self._fail(candidate.name, candidate.origin, error)

    def files(self, folders: Iterable[Path]) -> Iterator[_Candidate]:
        for folder in folders:
            try:
                files = files_in(folder)
            except PluginFileError as error:
                self._fail(printable(folder.name), _of_file(folder), error)
                continue
            for file in files:
                yield _Candidate(printable(file.stem), _of_file(file), partial(load_file, file))

    def tell_unused_settings(self, configured: Iterable[str]) -> None:
        known = self._candidates.union(self._monitors, self._switched_off)
        for name in sorted(set(configured) - known):
            guess = did_you_mean(name, known) or "`migrate monitors` lists those that there are"
            reason = f"the configuration has settings for it, but there is no such monitor; {guess}"
            self._fail(name, _INSTALLED, PluginError(reason))

    def _switched_on(self, candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
        for candidate in candidates:
            self._candidates.add(candidate.name)
            try:
                if enabled(self._surroundings.settings(candidate.name)):
                    yield candidate
                else:
                    self._switched_off[candidate.name] = candidate.origin
            except SettingsError as error:
                self._fail(candidate.name, candidate.origin, error)

    def _add(self, candidate: _Candidate, monitors: list[Monitor]) -> None:
        """Take the monitors of one plugin in, all or none of them."""
        names = [monitor.name for monitor in monitors]
        for name in names:
            if name in self._monitors:
                whose = self._origins[name].where
                raise PluginError(f"there is already a monitor named `{name}`, that of `{whose}`")
            if names.count(name) > 1:
                raise PluginError(f"two of its monitors are named `{name}`")
        # Of those that have other names than their plugin, only now is it known who they are.
        wanted = {name: enabled(self._surroundings.settings(name)) for name in names}
        for name, monitor in zip(names, monitors, strict=True):
            if not wanted[name]:
                self._switched_off[name] = candidate.origin
                continue
            self._monitors[name] = monitor
            self._origins[name] = candidate.origin

    def _fail(self, name: str, origin: Origin, error: BaseException) -> None:
        failure = PluginFailure(name=name, reason=_reason(error), origin=origin)
        self._failures.append(failure)
        _log.warning("monitor plugin `%s` is not used: %s", name, failure.reason)
        _log.debug("monitor plugin `%s` failed here", name, exc_info=error)


def _built_in(point: EntryPoint) -> bool:
    return point.module.partition(".")[0] == __name__.partition(".")[0]


def _sorted(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    return sorted(points, key=lambda point: (point.name, point.value))


def _distribution(point: EntryPoint) -> str:
    """Return the distribution of an entry point with its version, or the module if it is of none."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.module


def _of_file(path: Path) -> Origin:
    return Origin(Kind.FILE, printable(str(path)))


def _offers(candidate: _Candidate, surroundings: Surroundings) -> list[Monitor]:
    hook = _registered(candidate).hook.migrate_monitors
    if not hook.get_hookimpls():
        raise PluginError("it has no hook `migrate_monitors`; decorate one with `monitors.spec.hookimpl`")
    # pluggy leaves out the answer of a hook that returns nothing.
    offered: object = next(iter(hook(surroundings=surroundings)), None)
    if not isinstance(offered, Iterable):
        got = "nothing" if offered is None else f"a `{type(offered).__name__}`"
        raise PluginError(f"its hook `migrate_monitors` returns {got}; return a list of monitors")
    return [_checked(offer) for offer in offered]


def _registered(candidate: _Candidate) -> pluggy.PluginManager:
    """Return a manager that knows this plugin alone.

    A hook call stops at the first implementation that raises, and a registration that fails leaves half of
    itself behind.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    module = candidate.load()
    try:
        manager.register(module, name=candidate.name)
    except pluggy.PluginValidationError as error:
        advice = "give it the argument `surroundings`, or none"
        raise PluginError(f"its hook `migrate_monitors` can't be called; {advice}") from error
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():  # a misspelt hook would otherwise stay silent
            raise PluginError(
                f"unknown hook `{caller.name}`; did you mean `{spec.migrate_monitors.__name__}`?"
            )
    return manager


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A monitor as it was when it was judged: its name says where it runs, its facts what it may report."""

    name: str
    facts: tuple[Fact, ...]
    run: Callable[[Report], Coroutine[Any, Any, None]]


def _fixed_offers(candidate: _Candidate, surroundings: Surroundings) -> list[Monitor]:
    fixed = [_Fixed(each.name, each.facts, each.run) for each in _offers(candidate, surroundings)]
    return [_checked(each) for each in fixed]


def _checked(offer: object) -> Monitor:
    if isinstance(offer, type):
        raise PluginError(f"it offers the class `{offer.__name__}`; offer an object, `{offer.__name__}()`")
    if not isinstance(offer, Monitor):
        raise PluginError(f"it offers a `{type(offer).__name__}`, which lacks `name`, `facts` or `run`")
    name: object = offer.name  # whatever its author made it
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PluginError(f"its monitor can't be named `{name!s:.40}`; use a name like `my-monitor`")
    if not isinstance(offer.facts, tuple):
        raise PluginError(f"the facts of its monitor `{offer.name}` are no tuple; write `(FACT, ...)`")
    if (stranger := next((fact for fact in offer.facts if not is_well_made(fact)), None)) is not None:
        raise PluginError(f"of its facts {stranger!r:.80} is not made as `monitors.facts.Fact` says")
    redefined = next((fact.name for fact in offer.facts if is_redefined(fact)), None)
    if redefined is not None:
        advice = "import that of `monitors.facts`, or rename it"
        raise PluginError(f"its fact `{redefined}` is not that of the language; {advice}")
    for fact in offer.facts:
        if fact.name != own_name(fact, offer.name):
            raise PluginError(f"its fact `{fact.name}` must be named `{own_name(fact, offer.name)}`")
    return offer


def _reason(error: BaseException) -> str:
    text = message_of(error)
    if isinstance(error, SettingsError):
        return f"its settings are wrong: {text}"
    plain = isinstance(error, PluginError | PluginFileError | LoadTimeoutError)
    return text if plain else failure_of(error)
