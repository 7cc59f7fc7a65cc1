"""The far side of `migrate ssh`: read one request from standard input, have it done, print the answer.

The client may then have this very login carry its first transport; else it closes it.

It runs under the user's own ssh login, which is what proves that the request is the user's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from migrated.terminal.ask import ask
from migrated.terminal.place import HolderError, Place, PlaceError
from migrated.terminal.relay import WISH, relay
from migrated.terminal.requests import (
    LINE_MAX,
    Answer,
    Open,
    Ready,
    Refused,
    RequestError,
    decode_request,
    encode,
)

MARK: Final = b"migrate-terminal "
"""Begins the line of the answer: the shell's start-up files may print others."""

_OF_THE_LOGIN: Final = frozenset(
    {"SSH_TTY", "SSH_AUTH_SOCK", "DISPLAY", "XAUTHORITY", "_", "SHLVL", "OLDPWD"}
)
"""Variables that mean nothing any more when the login has ended."""


def serve() -> None:
    """Answer the request on standard input; a refusal is an answer too.

    Raises:
        RelayError: the login was to carry a transport, and the holder is gone.
    """
    answer = _answer(sys.stdin.buffer.readline(LINE_MAX))
    sys.stdout.buffer.write(MARK + encode(answer))
    sys.stdout.buffer.flush()
    # The client says nothing more before it is told that it is connected, so nothing of it is buffered here.
    if isinstance(answer, Ready) and sys.stdin.buffer.readline(LINE_MAX) == WISH:
        relay(answer.port)


def _answer(line: bytes) -> Answer:
    if not line.strip():
        return Refused(
            reason="no request came over standard input; is ssh called with `-n`, or by another program?"
        )
    try:
        request = decode_request(line)
        if isinstance(request, Open):
            environment = login_environment(os.environ) | request.environment
            request = msgspec.structs.replace(request, environment=environment)
        answer = ask(Place.usual(), request)
    except (HolderError, PlaceError, RequestError) as error:
        return Refused(reason=str(error))
    if isinstance(answer, Ready):
        return msgspec.structs.replace(answer, addresses=_addresses(os.environ))
    return answer


def login_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of the login's environment the shell is to have."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _OF_THE_LOGIN and not name.startswith(("XDG_SESSION_", "LC_", "LANG"))
    }


def _addresses(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the address that the login came to. Source: ssh(1), ``SSH_CONNECTION``."""
    words = environment.get("SSH_CONNECTION", "").split()
    return (words[2],) if len(words) == 4 else ()
