"""Places as people write them: where a gateway is, where it is to connect to, where to listen.

    host:22  192.0.2.1:22  [2001:db8::1]:22     a TCP port
    unix:/run/program.sock                      a Unix socket, by its absolute path

The same text travels to the gateway as the purpose of a connection.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from migrated.log import printable

GATEWAY_PORT: Final = 6448
"""Where a gateway listens unless told otherwise: one above the daemon's control port."""

PORT_MAX: Final = 65535
PURPOSE_MAX: Final = 255
"""Bytes of a destination's text: what a stream can carry as its purpose."""

UNIX_PATH_MAX: Final = 107
"""Bytes of the path of a Unix socket. Source: unix(7), ``sun_path`` with its final zero."""

UNIX_PREFIX: Final = "unix:"
_QUOTED_MAX: Final = 80


class AddressError(ValueError):
    """Say which address is wrong, how, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP port of a host, which is a name or an address (IPv6 without brackets)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A Unix stream socket, by its path."""

    path: str

    def __str__(self) -> str:
        return f"{UNIX_PREFIX}{self.path}"


Destination = Endpoint | UnixEndpoint


def seen_from(gateway: Endpoint, destination: Destination) -> Destination:
    """Return a destination as a gateway sees it: a host that is its own gateway is ``localhost`` there."""
    if isinstance(destination, Endpoint) and destination.host == gateway.host:
        return Endpoint("localhost", destination.port)
    return destination


def quoted(text: str) -> str:
    """Return what somebody wrote in backticks, safe to print and of bounded length."""
    cropped = text if len(text) <= _QUOTED_MAX else text[: _QUOTED_MAX - 1] + "…"
    return f"`{printable(cropped)}`"


def read_port(text: str, lowest: int = 1) -> int:
    """Return a port number.

    Raises:
        AddressError: it is none from ``lowest`` to 65535.
    """
    if text.isascii() and text.isdigit() and len(text) <= 5 and lowest <= int(text) <= PORT_MAX:
        return int(text)
    raise AddressError(f"{quoted(text)} is not a port; expected a number from {lowest} to {PORT_MAX}")


def split_endpoint(text: str, default_port: str = "") -> tuple[str, str]:
    """Return host and port of ``HOST:PORT``, neither looked into, the brackets of IPv6 taken off.

    Args:
        text: what was written.
        default_port: the port where there is none; without it a port is required.

    Raises:
        AddressError: it has another form.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise AddressError(f"{quoted(text)} has no `]` before its port; write `[ADDRESS]:PORT`")
        port = rest[1:] if rest else default_port
    elif text.count(":") > 1:
        raise AddressError(f"{quoted(text)} is not HOST:PORT; an IPv6 address stands in brackets")
    else:
        host, colon, port = text.partition(":")
        port = port if colon else default_port
    if not port:
        raise AddressError(f"{quoted(text)} has no port; write `HOST:PORT`")
    if not host:
        raise AddressError(f"{quoted(text)} has no host; write `HOST:PORT`")
    return host, port


def read_endpoint(text: str, default_port: int | None = None) -> Endpoint:
    """Read ``HOST:PORT``; the port may be missing if there is a default.

    Raises:
        AddressError: it is none.
    """
    host, port = split_endpoint(text, "" if default_port is None else str(default_port))
    return Endpoint(read_host(host), read_port(port))


def read_host(text: str) -> str:
    """Return a host name or an address in its canonical form.

    Raises:
        AddressError: it can be neither.
    """
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    plain = text.isascii() and all(c.isalnum() or c in "-._" for c in text)
    # Names of digits and dots would be taken for odd ways to write an address (inet_aton(3)).
    if not plain or text.startswith("-") or text.replace(".", "").isdigit():
        raise AddressError(f"{quoted(text)} is neither a host name nor an address")
    return text.lower()


def read_destination(text: str) -> Destination:
    """Read ``HOST:PORT`` or ``unix:/PATH``.

    Raises:
        AddressError: it is neither, or too long to travel.
    """
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise AddressError(f"{quoted(text)} is not UTF-8 text, as all destinations are") from None
    if length > PURPOSE_MAX:
        raise AddressError(f"{quoted(text)} is too long; a destination has at most {PURPOSE_MAX} bytes")
    if text.startswith(UNIX_PREFIX):
        return UnixEndpoint(read_unix_path(text.removeprefix(UNIX_PREFIX)))
    if text.startswith("/"):
        raise AddressError(f"{quoted(text)} is not HOST:PORT; did you mean {quoted(UNIX_PREFIX + text)}?")
    return read_endpoint(text)


def read_unix_path(text: str) -> str:
    """Return the path of a Unix socket, which must be absolute and lead straight there.

    Raises:
        AddressError: it is not, or it is too long for the kernel.
    """
    if not text.startswith("/") or "\0" in text:
        raise AddressError(f"{quoted(text)} is not an absolute path; write `{UNIX_PREFIX}/PATH`")
    if os.path.normpath(text) != text:
        raise AddressError(f"{quoted(text)} goes astray; write {quoted(os.path.normpath(text))}")
    if len(os.fsencode(text)) > UNIX_PATH_MAX:
        raise AddressError(f"{quoted(text)} is too long; a socket's path has at most {UNIX_PATH_MAX} bytes")
    return text


def read_local(text: str) -> Destination:
    """Read where to listen: ``PORT`` (of the loopback), ``ADDR:PORT``, or the path of a Unix socket.

    Port 0 stands for any free one.

    Raises:
        AddressError: it is none of these.
    """
    if text.startswith(UNIX_PREFIX) or "/" in text:
        return UnixEndpoint(read_unix_path(_absolute(text.removeprefix(UNIX_PREFIX))))
    if text.isdigit():
        return Endpoint("127.0.0.1", read_port(text, lowest=0))
    return read_listening(text)


def read_listening(text: str) -> Endpoint:
    """Read ``PORT`` or ``ADDR:PORT`` where a server is to listen; no address or ``*`` means all of them.

    The host is then empty. Port 0 stands for any free one.

    Raises:
        AddressError: it is neither.
    """
    if text.isdigit():
        return Endpoint("", read_port(text, lowest=0))
    host, port = split_endpoint(text)
    return Endpoint("" if host == "*" else read_host(host), read_port(port, lowest=0))


def _absolute(path: str) -> str:
    # Not resolved: the socket is to appear where it was said, whatever links lead there.
    return os.path.normpath(Path.cwd() / path)
