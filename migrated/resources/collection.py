"""Suspend the descriptors of a continuation, and make them again: all of them or none.

resources = discover()
collected = resources.collect(names, descriptors, owner, own_options)   # changes nothing
...                                   # collected.state goes on record
collected.release()                   # only collected.kept stay open
restored = resources.restore(state, kept, owner)
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from migrated.kernel.freeze import OwnOptions
from migrated.resources.bundle import FORMAT, Bundle, Entry, decode_bundle
from migrated.resources.duplicates import first_alike
from migrated.resources.spec import (
    Descriptor,
    Keep,
    Owner,
    ResourceError,
    ResourceHandler,
    ResourceLostError,
    Resumed,
    Suspended,
)

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Open descriptors, in the order of the continuation's, with what people should be told of them."""

    names: tuple[str, ...]
    descriptors: tuple[int, ...]
    reports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Descriptors that are ready to be given up.

    Attributes:
        state: what goes on record.
        kept: the descriptors that must stay open, in the order in which `Resources.restore` takes them.
    """

    state: bytes
    kept: tuple[int, ...]
    _dropped: tuple[tuple[ResourceHandler | None, int], ...]
    _resources: Resources

    def release(self) -> None:
        """Give all up but those that are kept; what is given up is closed. The state must be on record.

        Raises:
            ResourceError: a connection can't be given up. Those before it are gone, and `Resources.restore`
                makes them again; nothing was closed.
        """
        for handler, number in self._dropped:
            if handler is not None:
                handler.give_up(number)
        for _, number in self._dropped:
            os.close(number)

    def withdraw(self) -> None:
        """Leave all descriptors as they were; they are the caller's.

        Raises:
            ResourceError: what was prepared can't be undone.
        """
        self._resources.discard(self.state)


class Resources:
    """All resource handlers, in the order in which a descriptor is offered to them."""

    def __init__(self, handlers: Sequence[ResourceHandler]) -> None:
        self._handlers = {handler.kind: handler for handler in handlers}

    def collect(
        self,
        names: Sequence[str],
        descriptors: Sequence[int],
        owner: Owner,
        own_options: Mapping[int, OwnOptions],
    ) -> Collected:
        """Find out what is needed to make descriptors again. They all stay open and as they are.

        Args:
            names: one for each descriptor.
            descriptors: of this process; the caller's.
            owner: whose they are.
            own_options: the programs' own socket options of frozen connections, by inode: only
                these connections are given up.

        Raises:
            ResourceError: a descriptor can't be suspended; nothing was.
        """
        collector = _Collector(self._handlers, owner, own_options)
        try:
            for position, (name, alike) in enumerate(zip(names, first_alike(descriptors), strict=True)):
                collector.add(name, descriptors[position], position, alike)
        except BaseException:
            self._forget(collector.entries)
            raise
        bundle = Bundle(format=FORMAT, entries=tuple(collector.entries))
        return Collected(
            state=bytes(bundle),
            kept=tuple(collector.kept),
            _dropped=tuple(collector.dropped),
            _resources=self,
        )

    def restore(
        self, state: bytes, kept: Sequence[int], owner: Owner, there: Mapping[str, int] = MappingProxyType({})
    ) -> Restored:
        """Make all descriptors again. Connections come back frozen.

        Args:
            state: `Collected.state`.
            kept: `Collected.kept`, or nothing if they were lost when the daemon ended.
            owner: whose they are.
            there: by name, the caller's descriptors of what a daemon made again that died right after.

        Returns:
            Descriptors that are the caller's, the kept ones and those that are there among them.

        Raises:
            ResourceLostError: one can never be made again.
            ResourceError: one can't be made now. Either way those that were made are given up again, and the
                others are still the caller's.
        """
        entries = decode_bundle(state).entries
        made: list[tuple[Entry, Resumed]] = []
        try:
            for entry in entries:
                if entry.name in there:
                    made.append((entry, Resumed(descriptor=there[entry.name])))
                else:
                    made.append((entry, self._resume(entry, made, kept, owner)))
            for entry in entries:
                if entry.duplicate_of < 0:
                    self._handler(entry).forget(entry.state)
        except BaseException:
            self._roll_back(made, (*kept, *there.values()))
            raise
        return Restored(
            names=tuple(entry.name for entry in entries),
            descriptors=tuple(resumed.descriptor for _, resumed in made),
            reports=tuple(
                f"descriptor `{entry.name}`: {report}"
                for entry, resumed in made
                for report in resumed.reports
            ),
        )

    def discard(self, state: bytes) -> None:
        """Undo what was prepared for descriptors that will not be made again: the session has ended.

        Raises:
            ResourceError: it can't be done.
        """
        self._forget(decode_bundle(state).entries)

    def _forget(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.duplicate_of < 0:
                self._handler(entry).forget(entry.state)

    def _handler(self, entry: Entry) -> ResourceHandler:
        try:
            return self._handlers[entry.kind]
        except KeyError:
            raise ResourceError(
                f"nobody knows descriptors of kind `{entry.kind}`; install the plugin that suspended "
                f"`{entry.name}`"
            ) from None

    def _resume(
        self, entry: Entry, made: Sequence[tuple[Entry, Resumed]], kept: Sequence[int], owner: Owner
    ) -> Resumed:
        if entry.duplicate_of >= 0:
            original = made[entry.duplicate_of][1].descriptor
            return Resumed(descriptor=fcntl.fcntl(original, fcntl.F_DUPFD_CLOEXEC, 0))
        number = kept[entry.kept] if 0 <= entry.kept < len(kept) else None
        try:
            return self._handler(entry).resume(entry.state, entry.keep, number, owner)
        except ResourceLostError as error:
            raise ResourceLostError(f"descriptor `{entry.name}`: {error}") from error
        except (ResourceError, OSError) as error:
            raise ResourceError(f"descriptor `{entry.name}`: {error}") from error

    def _roll_back(self, made: Sequence[tuple[Entry, Resumed]], kept: Sequence[int]) -> None:
        for entry, resumed in reversed(made):
            if resumed.descriptor in kept:
                continue
            if entry.duplicate_of < 0:
                self._handler(entry).give_up(resumed.descriptor)
            os.close(resumed.descriptor)


class _Collector:
    """What has been found so far."""

    def __init__(
        self,
        handlers: Mapping[str, ResourceHandler],
        owner: Owner,
        own_options: Mapping[int, OwnOptions],
    ) -> None:
        self._handlers = handlers
        self._owner = owner
        self._own_options = own_options
        self._files: dict[tuple[int, int], int] = {}
        self.entries: list[Entry] = []
        self.kept: list[int] = []
        self.dropped: list[tuple[ResourceHandler | None, int]] = []

    def add(self, name: str, number: int, position: int, alike: int) -> None:
        if alike != position:
            self.entries.append(Entry(name=name, duplicate_of=alike))
            self.dropped.append((None, number))
            return
        handler, suspended = self._suspend(name, number)
        self.entries.append(
            Entry(
                name=name,
                kind=handler.kind,
                state=suspended.state,
                keep=suspended.keep,
                kept=self._keep(number, suspended.keep),
            )
        )
        if suspended.keep is not Keep.ITSELF:
            self.dropped.append((handler, number))

    def _suspend(self, name: str, number: int) -> tuple[ResourceHandler, Suspended]:
        status = os.fstat(number)
        kept = self._files.get((status.st_dev, status.st_ino))
        descriptor = Descriptor(
            number=number,
            name=name,
            status=status,
            owner=self._owner,
            same_file=None if kept is None else self.kept[kept],
            own=self._own_options.get(status.st_ino),
        )
        for handler in self._handlers.values():
            suspended = _asked(handler, descriptor)
            if suspended is not None:
                return handler, suspended
        raise ResourceError(f"descriptor `{name}`: no resource handler wants it")

    def _keep(self, number: int, keep: Keep) -> int:
        """Note down what stays open; return its position."""
        if keep is Keep.NOTHING:
            return -1
        status = os.fstat(number)
        if keep is Keep.ITSELF:
            self.kept.append(number)
            self._files.setdefault((status.st_dev, status.st_ino), len(self.kept) - 1)
            return len(self.kept) - 1
        return self._files[status.st_dev, status.st_ino]


def _asked(handler: ResourceHandler, descriptor: Descriptor) -> Suspended | None:
    try:
        return handler.suspend(descriptor)
    except Exception as error:  # noqa: BLE001 - the isolation of a plugin
        _log.warning("descriptor `%s` is not handled by `%s`: %s", descriptor.name, handler.kind, error)
        _log.debug("the resource handler `%s` failed here", handler.kind, exc_info=error)
        return None
