"""What people give `migrate gateway`, `connect` and `forward`, and how these end when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click

from migrated.streams.addresses import (
    GATEWAY_PORT,
    AddressError,
    Destination,
    Endpoint,
    quoted,
    read_destination,
    read_endpoint,
    read_local,
)

GATEWAYS_MAX: Final = 16
"""Gateways that may be named at once."""

_PIN = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Turn errors of the programs into those that end a command.

    Raises:
        click.exceptions.Exit: the program failed, or a file or folder of the user's is wrong; it was said.
        click.UsageError: an address is wrong.
    """
    from migrated.streams.authorized import KeysFileError
    from migrated.streams.folders import FolderError
    from migrated.streams.outcomes import Outcome, StreamProgramError

    try:
        yield
    except StreamProgramError as error:
        raise _said(error, error.outcome) from error
    except (FolderError, KeysFileError) as error:
        raise _said(error, Outcome.USAGE) from error
    except AddressError as error:
        raise click.UsageError(str(error)) from error


def _said(error: Exception, exit_code: int) -> click.exceptions.Exit:
    click.ClickException(str(error)).show()
    return click.exceptions.Exit(exit_code)


def read_pin(text: str | None) -> str:
    """Return the fingerprint that a gateway's key must have, empty if none is given.

    Raises:
        AddressError: it is no fingerprint.
    """
    if text and not _PIN.fullmatch(text):
        raise AddressError(
            f"{quoted(text)} is not a fingerprint; `migrate gateway --print-key` prints it on the gateway"
        )
    return text or ""


def read_route(words: Sequence[str], gateway: str | None) -> tuple[tuple[Endpoint, ...], Destination]:
    """Return the gateways and the destination of ``HOST:PORT``, or ``HOST`` and ``PORT`` as `ssh` gives them.

    Raises:
        AddressError: one of them is wrong.
    """
    if len(words) > 2:
        raise AddressError(f"{quoted(' '.join(words))} is too much; write `HOST:PORT` or `HOST PORT`")
    if len(words) == 2:
        host = words[0].removeprefix("[").removesuffix("]")
        text = f"[{host}]:{words[1]}" if ":" in host else f"{host}:{words[1]}"
    else:
        text = words[0]
    destination = read_destination(text)
    return read_gateways(gateway, destination), destination


def read_gateways(text: str | None, destination: Destination) -> tuple[Endpoint, ...]:
    """Return the gateways of ``HOST[:PORT],...``; without any, the destination's own host is asked to be one.

    Raises:
        AddressError: one is wrong, or there is none to guess.
    """
    if text is not None:
        words = text.split(",")
        if len(words) > GATEWAYS_MAX:
            raise AddressError(f"{len(words)} gateways are too many; name at most {GATEWAYS_MAX}")
        return tuple(dict.fromkeys(read_endpoint(word.strip(), GATEWAY_PORT) for word in words))
    if isinstance(destination, Endpoint):
        return (Endpoint(destination.host, GATEWAY_PORT),)
    raise AddressError(f"{quoted(str(destination))} says no host; name the gateway with `--gateway HOST`")


def read_forwardings(
    words: Sequence[str], gateway: str | None
) -> tuple[tuple[Endpoint, ...], list[tuple[Destination, Destination]]]:
    """Return the gateways, and the pairs in ``LOCAL REMOTE`` or ``LOCAL=REMOTE ...``.

    Raises:
        AddressError: one of them is wrong, or they need different gateways.
    """
    pairs = [_pair(word) for word in words] if "=" in words[0] else [_two(words)]
    read = [(read_local(local), read_destination(remote)) for local, remote in pairs]
    gateways = {read_gateways(gateway, remote) for _, remote in read}
    if len(gateways) > 1:
        named = " and ".join(sorted(f"`{place.host}`" for (place,) in gateways))
        raise AddressError(f"these lead through {named}; name one with `--gateway`, or run the command twice")
    return gateways.pop(), read


def _two(words: Sequence[str]) -> tuple[str, str]:
    if len(words) != 2:
        raise AddressError(f"{quoted(' '.join(words))} is not `LOCAL REMOTE`; several are `LOCAL=REMOTE ...`")
    return words[0], words[1]


def _pair(word: str) -> tuple[str, str]:
    local, equals, remote = word.partition("=")
    if not (local and equals and remote):
        raise AddressError(f"{quoted(word)} is not `LOCAL=REMOTE`")
    return local, remote
