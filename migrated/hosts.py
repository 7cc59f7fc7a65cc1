"""Names of other hosts: what `on remote-host` is compared with, found without keeping anybody waiting.

A connection has an address and no name. The names that a policy speaks of are looked up when it is put in
force and again from time to time; a connection goes by those whose addresses include its remote one, and by
what the file of hosts calls that address. Where nothing is known, or nothing yet, conditions are false. A
session keeps the names that it began with.

Source: getaddrinfo(3), hosts(5).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from engine.attachment import canonical_address
from migrated.journal import Journal
from policylang.ast import Name, Policy

RESOLVE_AGAIN_S: Final = 300.0
"""Seconds after which the names are looked up again."""

RESOLVE_S: Final = 10.0
"""Seconds after which a name counts as not answered; all names of a policy have them together."""

LOOKUPS_MAX: Final = 16
"""Names that are looked up at once, each in a thread of its own: a resolver may keep one for minutes."""

NAMES_MAX: Final = 1024
"""Names of one policy that are looked up; further ones are told of, and never known."""

ADDRESSES_MAX: Final = 256
"""Addresses of one name that are remembered."""

NAMES_OF_ONE_MAX: Final = 16
"""Names of one connection, those of the policy first."""

HOSTS_FILE: Final = Path("/etc/hosts")
HOSTS_FILE_BYTES: Final = 1 << 20
"""How much of the file of hosts is read."""

_TOLD_MAX: Final = 8
_GONE: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
"""Answers that say that a name has no address; others say that nobody knows at the moment."""

Addresses = frozenset[str]
Resolve = Callable[[str], Addresses]


def names_in(policy: Policy) -> frozenset[str]:
    """Return the names of hosts that a checked policy compares with, patterns aside."""
    from policylang.regions import conditions_in

    return frozenset(
        value.text
        for condition in conditions_in(policy.statements)
        if condition.key == "remote-host"
        for value in condition.values
        if isinstance(value, Name)
    )


def resolve(name: str) -> Addresses:
    """Return the addresses of a host, of both families; wait for them as long as the resolver does.

    Raises:
        OSError: it has none, or the resolver fails.
    """
    try:
        rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "this is no name that a host can have") from error
    return frozenset(islice((_plain(str(row[4][0])) for row in rows), ADDRESSES_MAX))


def read_hosts(file: Path) -> dict[str, tuple[str, ...]]:
    """Return what a file of hosts calls each address; nothing where it can't be read."""
    try:
        with file.open("rb") as stream:
            text = stream.read(HOSTS_FILE_BYTES).decode(errors="replace")
    except OSError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        with suppress(ValueError):
            key = _plain(address)
            found[key] = (*found.get(key, ()), *names)[:NAMES_OF_ONE_MAX]
    return found


def _plain(address: str) -> str:
    return canonical_address(address.partition("%")[0])


class HostNames:
    """Knows by which names other hosts go.

    Args:
        journal: is told, once, of names that can't be looked up.
        wanted: returns the names that the policy in force compares with.
        changed: called when an address goes by other names than before.
        resolve: looks one name up, in a thread.
        hosts_file: the file of hosts.
    """

    def __init__(
        self,
        journal: Journal,
        wanted: Callable[[], Iterable[str]],
        changed: Callable[[], None],
        *,
        resolve: Resolve = resolve,
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        self._journal, self._wanted, self._changed = journal, wanted, changed
        self._resolve, self._hosts_file = resolve, hosts_file
        self._addresses: dict[str, Addresses] = {}
        self._failing: Set[str] = frozenset()
        self._by_address: Mapping[str, tuple[str, ...]] = {}
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(LOOKUPS_MAX)

    def of(self, address: str) -> tuple[str, ...]:
        """Return the names by which an address is known now."""
        return self._by_address.get(_plain(address), ())

    def look(self) -> None:
        """Look names up soon: other ones may be wanted."""
        self._wake.set()

    async def run(self) -> None:
        """Look names up until cancelled."""
        while True:
            self._wake.clear()
            await self._refresh()
            with suppress(TimeoutError):
                async with asyncio.timeout(RESOLVE_AGAIN_S):
                    await self._wake.wait()

    async def _refresh(self) -> None:
        """Look all names up, and tell if what is known is another thing than before."""
        wanted = sorted(self._wanted())
        of_file = await asyncio.to_thread(read_hosts, self._hosts_file)
        outcomes = await asyncio.gather(*map(self._look_up, wanted[:NAMES_MAX]))
        too_many = OSError(f"at most {NAMES_MAX} names of hosts are looked up")
        self._take(dict.fromkeys(wanted, too_many) | dict(zip(wanted, outcomes, strict=False)))
        by_address = self._merged(of_file)
        if by_address != self._by_address:
            self._by_address = by_address
            self._changed()

    async def _look_up(self, name: str) -> Addresses | OSError:
        try:
            async with asyncio.timeout(RESOLVE_S):
                await self._slots.acquire()
                return await self._in_thread(name)
        except TimeoutError:
            return OSError(f"the resolver gives no answer within {RESOLVE_S:g} s")

    async def _in_thread(self, name: str) -> Addresses | OSError:
        """Resolve in a thread that may be left behind; it keeps its slot until it is through."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Addresses | OSError] = loop.create_future()

        def settle(outcome: Addresses | OSError) -> None:
            self._slots.release()
            if not answer.done():
                answer.set_result(outcome)

        def work() -> None:
            outcome: Addresses | OSError
            try:
                outcome = self._resolve(name)
            except OSError as error:
                outcome = error
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, outcome)

        threading.Thread(target=work, name=f"resolve {name}", daemon=True).start()
        return await answer

    def _take(self, outcomes: Mapping[str, Addresses | OSError]) -> None:
        """Remember what was found. A name that nobody could look up keeps the addresses that it had."""
        failures = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, OSError)}
        before, self._addresses = self._addresses, {}
        for name, outcome in outcomes.items():
            if not isinstance(outcome, OSError):
                self._addresses[name] = outcome
            elif name in before and not _is_gone(outcome):
                self._addresses[name] = before[name]
        if news := sorted(failures.keys() - self._failing):
            self._tell(news, failures[news[0]])
        self._failing = failures.keys()

    def _merged(self, of_file: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        names: dict[str, list[str]] = {}
        for name, addresses in self._addresses.items():
            for address in addresses:
                names.setdefault(address, []).append(name)
        for address, aliases in of_file.items():
            names.setdefault(address, []).extend(aliases)
        return {address: tuple(dict.fromkeys(found))[:NAMES_OF_ONE_MAX] for address, found in names.items()}

    def _tell(self, names: Sequence[str], error: OSError) -> None:
        self._journal.tell(
            "hosts-unknown",
            level=logging.WARNING,
            hosts=list(names[:_TOLD_MAX]),
            more=max(0, len(names) - _TOLD_MAX),
            reason=(error.strerror or str(error)).lower(),
        )


def _is_gone(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in _GONE
