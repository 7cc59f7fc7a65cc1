"""Sessions, links and addresses that people describe in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from engine.session import Connection
from monitors.events import AddressPresent, LinkState, OperState
from policylang.diagnostics import did_you_mean, quote

CONNECTION_EXAMPLE: Final = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
"""The form in which a connection is described."""

PROTOCOLS: Final = ("tcp", "udp")
ROLES: Final = ("client", "server")

_CONNECTION: Final = re.compile(r"\s*(?P<proto>\w+)\s+(?P<local>\S+)\s*->\s*(?P<remote>\S+)\s*")
_MAX_PORT: Final = 65535


class DescriptionError(ValueError):
    """What somebody wrote describes nothing; the message says why and what to write."""


def connection(
    text: str,
    *,
    user: str | None = None,
    app: str | None = None,
    role: str = "client",
    remote_hosts: Sequence[str] = (),
) -> Connection:
    """Read ``PROTO LOCAL:PORT -> REMOTE:PORT``; IPv6 addresses stand in brackets.

    Args:
        text: The connection.
        user: The user whose program it is, if known.
        app: The program's path or name, if known.
        role: `client` for the end that opened the connection, else `server`.
        remote_hosts: The known names of the other end.

    Raises:
        DescriptionError: it is not of that form, or the role is neither of the two.
    """
    match = _CONNECTION.fullmatch(text)
    if match is None:
        raise DescriptionError(f"in {quote(text)}: expected the form `{CONNECTION_EXAMPLE}`")
    proto = match["proto"].lower()
    if proto not in PROTOCOLS:
        what = f"unknown protocol {quote(match['proto'])}; expected `tcp` or `udp`"
        raise DescriptionError(f"in {quote(text)}: {what}")
    if role not in ROLES:
        raise DescriptionError(f"the role {quote(role)} is neither `client` nor `server`")
    local, remote = _endpoint(text, match["local"]), _endpoint(text, match["remote"])
    return Connection(
        proto=proto,
        local_address=local[0],
        local_port=local[1],
        remote_address=remote[0],
        remote_port=remote[1],
        user=user,
        app=app,
        role=role,
        remote_hosts=tuple(remote_hosts),
    )


def address(text: str) -> str:
    """Return the canonical text of an address.

    Raises:
        DescriptionError: it is not an address.
    """
    try:
        return str(ip_address(text))
    except ValueError:
        raise DescriptionError(f"{quote(text)} is not an address") from None


def link_state(interface: str, index: int, *, up: bool) -> LinkState:
    """Return the news that a link has carrier, or has lost it."""
    state = OperState.UP if up else OperState.DOWN
    return LinkState(interface=interface, index=index, up=True, carrier=up, operstate=state)


def address_present(name: str, index: int, text: str) -> AddressPresent:
    """Return the news that a usable address, in text form, is on the link (or under the label) ``name``.

    Raises:
        DescriptionError: it is not an address.
    """
    canonical = address(text)
    family = ip_address(canonical).version
    return AddressPresent(
        interface=interface_of(name),
        index=index,
        label=name,
        address=canonical,
        prefix_length=32 if family == 4 else 128,
        family=family,
        usable=True,
    )


def interface_of(name: str) -> str:
    """Return the interface that a link's name or label (`eth0:1`) belongs to."""
    return name.partition(":")[0]


def unknown(kind: str, name: str, known: Sequence[str]) -> DescriptionError:
    """Return the error that there is no ``kind`` of this name, with a guess or what there is."""
    there = ", ".join(f"`{one}`" for one in sorted(known)) or "none"
    hint = did_you_mean(name, known) or f"there is {there}"
    return DescriptionError(f"there is no {kind} {quote(name)}; {hint}")


def _endpoint(whole: str, text: str) -> tuple[str, int]:
    """Read ``ADDRESS:PORT``, an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        what = f"{quote(text)} is not ADDRESS:PORT; an IPv6 address stands in brackets"
        raise DescriptionError(f"in {quote(whole)}: {what}")
    try:
        canonical = address(host[1:-1] if bracketed else host)
    except DescriptionError as error:
        raise DescriptionError(f"in {quote(whole)}: {error}") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _MAX_PORT):
        what = f"{quote(port)} is not a port; expected a number from 0 to {_MAX_PORT}"
        raise DescriptionError(f"in {quote(whole)}: {what}")
    return canonical, int(port)
