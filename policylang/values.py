"""Single words of a policy as values: numbers, scores, durations, ports and prefixes."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from policylang.ast import ScoreEffect
from policylang.diagnostics import closest, one_of, question, quote
from policylang.services import WELL_KNOWN_SERVICES

MAX_SCORE = 1_000_000
"""Largest score, score change and margin: far above any use, and sums stay readable."""

MAX_DURATION_S = 3650 * 86400.0
"""Longest duration: ten years, in seconds."""

MAX_PORT = 65535

SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

ServicePort = Callable[[str], int | None]
"""Look up the port of a service name; ``None`` where the name is unknown."""

_DIGITS = re.compile(r"[0-9]+")
_QUANTITY = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?)(.*)", re.DOTALL)
_RANGE = re.compile(r"([0-9]+)\s*-\s*([0-9]+)")
_SERVICE = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")


class BadValueError(Exception):
    """A word has the right form and no usable value.

    Attributes:
        code: The code of the diagnostic.
        message: What is wrong, with the author's word in backticks.
        hint: What to write instead, in words; may be empty.
        replacement: What to write in place of the word, where that is known; else empty.
    """

    def __init__(self, code: str, message: str, hint: str = "", replacement: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.replacement = replacement


def whole_number(text: str, maximum: int) -> int:
    """Return the number that ``text``, decimal digits alone, stands for.

    Raises:
        BadValueError: It has a leading zero or is above ``maximum``.
    """
    if len(text) > 1 and text[0] == "0":
        raise BadValueError("bad-number", f"{quote(text)} begins with a zero", f"write `{_short(text)}`")
    if len(text) > len(str(maximum)) or int(text) > maximum:
        raise BadValueError(
            "bad-number", f"{quote(text)} is too large", f"the largest number here is {maximum}"
        )
    return int(text)


def score(text: str) -> tuple[ScoreEffect, int]:
    """Return what ``10``, ``+5`` or ``-5`` does to a score.

    Raises:
        BadValueError: The number has a leading zero or is above ``MAX_SCORE``.
    """
    if text[0] not in "+-":
        return ScoreEffect.SET, whole_number(text, MAX_SCORE)
    amount = whole_number(text[1:], MAX_SCORE)
    return ScoreEffect.ADD, amount if text[0] == "+" else -amount


def quantity(text: str) -> tuple[float, str]:
    """Return the number and the unit of a word such as ``-75dbm``; the unit may be empty.

    Raises:
        BadValueError: ``text`` does not begin with a number.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise BadValueError("bad-number", f"{quote(text)} is not a number")
    sign, number, unit = match.groups()
    return float(sign + number), unit


def duration_s(text: str) -> float:
    """Return a duration such as ``300ms``, in seconds.

    Raises:
        BadValueError: The unit is missing or unknown, or the duration is negative or
            above ``MAX_DURATION_S``.
    """
    number, unit = quantity(text)
    units = one_of(f"`{name}`" for name in SECONDS_PER_UNIT)
    if not unit:
        raise BadValueError("bad-duration", f"the duration {quote(text)} has no unit", f"add {units}")
    if unit not in SECONDS_PER_UNIT:
        raise BadValueError("bad-duration", f"{quote(unit)} is not a unit of time", f"use {units}")
    seconds = number * SECONDS_PER_UNIT[unit]
    if text[0] == "-":
        raise BadValueError("bad-duration", f"the duration {quote(text)} is negative")
    if seconds > MAX_DURATION_S:
        raise BadValueError(
            "bad-duration", f"the duration {quote(text)} is too long", "the longest is `3650d`"
        )
    return seconds


def port_range(text: str, service_port: ServicePort) -> tuple[int, int]:
    """Return the lowest and highest port of ``22``, ``3001-3010`` or ``ssh``.

    Raises:
        BadValueError: A port is above 65535, the range runs backwards or the service is unknown.
    """
    if _DIGITS.fullmatch(text):
        port = _port(text)
        return port, port
    bounds = _RANGE.fullmatch(text)
    if bounds is None:
        port = _service(text, service_port)
        return port, port
    low, high = _port(bounds[1]), _port(bounds[2])
    if low > high:
        forwards = f"{high}-{low}"
        message = f"the range {quote(text)} runs backwards"
        raise BadValueError("bad-range", message, f"write `{forwards}`", forwards)
    return low, high


def network(text: str) -> IPv4Network | IPv6Network:
    """Return the prefix that ``18.31.0.4/24`` or a single address stands for, host bits cleared.

    Raises:
        BadValueError: The address or the prefix length is not valid.
    """
    address_text, slash, length_text = text.partition("/")
    try:
        address = ip_address(address_text)
    except ValueError:
        raise _not_an_address(address_text) from None
    if "%" in address_text:
        raise BadValueError(
            "bad-address", f"{quote(address_text)} names an interface", "leave out `%` and the rest"
        )
    if not slash:
        return ip_network(address)
    if not _DIGITS.fullmatch(length_text) or whole_number(length_text, 999) > address.max_prefixlen:
        raise BadValueError(
            "bad-prefix",
            f"{quote(length_text)} is not a prefix length for {quote(address_text)}",
            f"write a number from 0 to {address.max_prefixlen}",
        )
    # Of the address's number: the text would be read a second time.
    prefix = (int(address), int(length_text))
    return IPv4Network(prefix, strict=False) if address.version == 4 else IPv6Network(prefix, strict=False)


def host_name(text: str) -> str:
    """Return a host's name, or a pattern of such, as it is compared: without case and a dot at the end."""
    return text.lower().removesuffix(".")


def _short(text: str) -> str:
    return (text.lstrip("0") or "0")[:20]


def _port(text: str) -> int:
    number = text.lstrip("0") or "0"
    if len(number) > len(str(MAX_PORT)) or int(number) > MAX_PORT:
        raise BadValueError("bad-port", f"{quote(text)} is not a port", f"ports go from 0 to {MAX_PORT}")
    return whole_number(text, MAX_PORT)


def _service(name: str, service_port: ServicePort) -> int:
    port = service_port(name) if _SERVICE.fullmatch(name) else None
    if port is None:
        guess = closest(name, WELL_KNOWN_SERVICES)
        hint = question(guess) or "write the port as a number"
        message = f"{quote(name)} is neither a port nor a known service"
        raise BadValueError("unknown-service", message, hint, guess)
    return port


def _not_an_address(text: str) -> BadValueError:
    hint = "write it as `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`"
    return BadValueError("bad-address", f"{quote(text)} is not an IP address", hint)
