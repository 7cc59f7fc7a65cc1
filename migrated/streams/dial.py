"""Connect to a destination on behalf of a client, if its rules allow the address that is meant."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

from migrated.streams.addresses import Destination, Endpoint, UnixEndpoint, quoted
from migrated.streams.rules import Address, Rules, may_reach, names_in, plain_address
from migrated.streams.words import reason

RESOLVE_TIMEOUT_S: Final = 10.0
"""Seconds that the resolver may take for one name."""

DIAL_TIMEOUT_S: Final = 10.0
"""Seconds for one address of a destination; the client waits for it."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class DialError(Exception):
    """Say to the client why there is no connection; never which addresses a name has here."""


async def dial(destination: Destination, rules: Rules) -> Ends:
    """Connect to a destination.

    All addresses of a name that are allowed are tried, in the resolver's order.

    Raises:
        DialError: it is not allowed, has no address, or does not answer.
    """
    if isinstance(destination, UnixEndpoint):
        return await _dial_unix(destination, rules)
    found = await _resolved(destination.host, destination.port)
    allowed = await _allowed(destination, found, rules)
    if not allowed:
        raise _not_allowed(destination)
    return await _first(destination, [where for where in found if where[0] in allowed])


async def _dial_unix(destination: UnixEndpoint, rules: Rules) -> Ends:
    if destination not in rules:
        raise _not_allowed(destination)
    try:
        return await asyncio.open_unix_connection(destination.path)
    except OSError as error:
        raise _no_connection(destination, error) from error


async def _allowed(destination: Endpoint, found: Iterable[tuple[Address, str]], rules: Rules) -> set[Address]:
    port = destination.port
    names = {destination.host: frozenset(address for address, _ in found)}
    for name in names_in(rules, port) - names.keys():
        names[name] = await _addresses(name, port)
    return {address for address in names[destination.host] if may_reach(rules, address, port, names)}


async def _addresses(name: str, port: int) -> frozenset[Address]:
    """Return the addresses of a name in a rule; one that has none now allows nothing."""
    try:
        return frozenset(address for address, _ in await _resolved(name, port))
    except DialError:
        return frozenset()


async def _resolved(host: str, port: int) -> list[tuple[Address, str]]:
    """Return the addresses of a host, each as rules compare it and as the kernel takes it.

    Raises:
        DialError: it has none, or the resolver does not answer.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise DialError(f"the gateway cannot resolve {quoted(host)}: {reason(error)}") from error
    except TimeoutError:
        raise DialError(f"the gateway's resolver gives no answer for {quoted(host)}") from None
    written = dict.fromkeys(_with_scope(row[4]) for row in rows)
    return [(plain_address(address), address) for address in written]


def _with_scope(place: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Return the address in a socket's name, with its scope. Source: RFC 4007, section 11."""
    address = str(place[0])
    scope = place[3] if len(place) == 4 else 0
    return f"{address.partition('%')[0]}%{scope}" if scope else address


async def _first(destination: Endpoint, places: Iterable[tuple[Address, str]]) -> Ends:
    last: OSError = OSError("no address")
    for _, address in places:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(address, destination.port)
        except OSError as error:  # a timeout is one too
            last = error
        else:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return reader, writer
    raise _no_connection(destination, last)


def _not_allowed(destination: Destination) -> DialError:
    return DialError(f"{quoted(str(destination))} is not among the destinations that your key may reach")


def _no_connection(destination: Destination, error: OSError) -> DialError:
    return DialError(f"the gateway cannot connect to {quoted(str(destination))}: {reason(error)}")
