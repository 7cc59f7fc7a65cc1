"""The file of keys that a gateway lets in, and where each may go.

One key a line, in base64, as ``migrate connect --print-key`` prints it; then ``allow=PATTERN[,PATTERN...]``
if the key may go there and not where the gateway's own ``--allow`` says; then anything, for people. Empty
lines and lines that begin with ``#`` mean nothing:

    mB3v...Q= allow=localhost:22,10.0.0.0/8:5432 ann@laptop
"""

from __future__ import annotations

import base64
import binascii
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from migrated.streams.addresses import AddressError, quoted
from migrated.streams.rules import Rules, read_rule
from migrated.streams.words import reason
from sessionlayer.protocol.keys import KEY_BYTES

FILE_MAX: Final = 4 << 20
"""Bytes of the file that are read, some 50,000 keys; a longer one is refused as a whole."""

_OPTION: Final = re.compile(r"([a-z_-]+)=(.*)")
_ALLOW: Final = "allow"


class KeysFileError(Exception):
    """Name every mistake of a file of keys, one a line, each with its place and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One key that is let in.

    Attributes:
        rules: where it may go, and nowhere else; ``None`` if the file does not say.
        comment: the rest of its line.
        line: which one, from 1.
    """

    rules: Rules | None
    comment: str
    line: int


Clients = Mapping[bytes, Client]
"""All keys that are let in, 32 bytes each."""


def key_text(public_bytes: bytes) -> str:
    """Return a public key (32 bytes) as it is written in files."""
    return base64.b64encode(public_bytes).decode("ascii")


def read_key(text: str) -> bytes:
    """Return the 32 bytes of a public key.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{quoted(text)} is not a key in base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{quoted(text)} is not a key: it has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def read_clients(file: Path) -> Clients:
    """Read the file.

    Raises:
        KeysFileError: it can't be read, others than its owner may write to it, or lines of it are wrong.
    """
    text = _read(file)
    clients: dict[bytes, Client] = {}
    mistakes = []
    for number, line in _lines(text):
        try:
            key, client = _read_line(line, number)
            if key in clients:
                raise ValueError(f"the key of line {clients[key].line} again; keep one of the two")
            clients[key] = client
        except ValueError as error:
            mistakes.append(f"{file}:{number}: {error}")
    if mistakes:
        raise KeysFileError("\n".join(mistakes))
    return clients


def _read(file: Path) -> str:
    try:
        status = file.stat()
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KeysFileError(f"{file}: others may write to it; run `chmod go-w {file}`")
        if status.st_size > FILE_MAX:
            raise KeysFileError(f"{file}: it has more than {FILE_MAX} bytes, as no file of keys has")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        advice = "write to it, one a line, the keys that `migrate connect --print-key` prints on the clients"
        raise KeysFileError(f"{file}: there is no such file; {advice}") from None
    except OSError as error:
        raise KeysFileError(f"{file}: cannot be read: {reason(error)}") from error
    except UnicodeDecodeError:
        raise KeysFileError(f"{file}: this is not UTF-8 text; a file of keys has one key a line") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _read_line(line: str, number: int) -> tuple[bytes, Client]:
    """Read one line.

    Raises:
        ValueError: it is wrong; the message says how.
    """
    first, _, rest = line.partition(" ")
    key = read_key(first)
    second, _, comment = rest.strip().partition(" ")
    option = _OPTION.fullmatch(second)
    if option is None:
        return key, Client(rules=None, comment=rest.strip(), line=number)
    if option[1] != _ALLOW:
        raise ValueError(f"unknown option {quoted(option[1])}; known is `{_ALLOW}=PATTERN[,PATTERN...]`")
    return key, Client(rules=_read_rules(option[2]), comment=comment.strip(), line=number)


def _read_rules(text: str) -> Rules:
    if not text:
        raise AddressError(f"`{_ALLOW}=` names no destination; remove the key to allow it nothing")
    return tuple(read_rule(part) for part in text.split(","))
