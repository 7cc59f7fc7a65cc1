"""What `migrate connect` and `migrate forward` share: the association with a gateway, and words about it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from migrated.commands.client import duration
from migrated.log import printable
from migrated.streams.addresses import Endpoint
from migrated.streams.authorized import key_text
from migrated.streams.folders import CLIENT_KEY, KNOWN_GATEWAYS, FolderError, own_key, state_file
from migrated.streams.known import KnownGateways, KnownGatewaysError
from migrated.streams.outcomes import Outcome, StreamProgramError
from migrated.streams.words import reason
from sessionlayer.aio import (
    Resumed,
    StreamEvent,
    StreamOptions,
    StreamRefusedError,
    StreamSession,
    Suspended,
    UntrustedPeerError,
    connect,
)
from sessionlayer.protocol.keys import HostKey, fingerprint

EXPIRE_S: Final = 365 * 86_400.0
"""Seconds after which we give up: longer than any gateway that decides on this should wait."""

CLOSE_S: Final = 10.0

Say = Callable[[str], None]
"""Tell the user something in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Which gateway to use: where it is, and the fingerprint that its key must have, if any."""

    place: Endpoint
    pin: str = ""


def speaker(*, quiet: bool, stream: TextIO | None = None) -> Say:
    """Return what tells the user something on standard error, unless it is to be quiet."""

    def say(text: str) -> None:
        if not quiet:
            print(f"migrate: {printable(text)}", file=stream or sys.stderr, flush=True)

    return say


def user_key(say: Say) -> HostKey:
    """Return the key that proves to gateways who we are, made at first use.

    Raises:
        StreamProgramError: it can't be read or made.
    """
    try:
        key, made = own_key(CLIENT_KEY)
    except FolderError as error:
        raise StreamProgramError(str(error), Outcome.USAGE) from error
    if made:
        say(f"made a key for this user: {fingerprint(key.public_bytes)}")
    return key


def key_line(key: HostKey) -> str:
    """Return the line of a gateway's file of keys that lets this key in."""
    user = os.environ.get("USER") or os.getuid()
    return f"{key_text(key.public_bytes)} {user}@{socket.gethostname()}"


async def associate(gateway: Gateway, say: Say, *, close_s: float = CLOSE_S) -> StreamSession:
    """Make an association with a gateway.

    Args:
        gateway: which one.
        say: how to tell the user.
        close_s: how long closing it waits, at most, until the gateway has everything.

    Raises:
        StreamProgramError: it does not answer, or one of the two does not trust the other.
    """
    key = user_key(say)
    known = _Known(gateway)
    place = gateway.place
    options = StreamOptions(expire_s=EXPIRE_S, close_s=close_s)
    try:
        session = await connect(place.host, place.port, identity=key, judge=known.judge, options=options)
    except UntrustedPeerError as error:
        raise StreamProgramError(known.refusal or str(error), Outcome.UNTRUSTED) from error
    except StreamRefusedError as error:
        advice = f"to let this user in, it needs this line in its file of keys:\n  {key_line(key)}"
        message = f"the gateway {place} refuses: {error.reason}; {advice}"
        raise StreamProgramError(message, Outcome.UNTRUSTED) from error
    except OSError as error:
        message = f"cannot reach the gateway {place}: {reason(error)}; does `migrate gateway` run there?"
        raise StreamProgramError(message, Outcome.UNREACHABLE) from error
    known.remember(say)
    return session


class _Known:
    """What the file of known gateways says about the one gateway that we talk to."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        try:
            self._file = KnownGateways(state_file(KNOWN_GATEWAYS))
        except FolderError as error:
            raise StreamProgramError(str(error), Outcome.USAGE) from error
        self._new = b""
        self.refusal = ""

    def judge(self, presented: bytes) -> str:
        """Return why the gateway's key is refused, or nothing."""
        try:
            judgement = self._file.judge(self._gateway.place, presented, self._gateway.pin)
        except KnownGatewaysError as error:
            self.refusal = str(error)
        else:
            self._new = presented if judgement.remember else b""
            self.refusal = judgement.refusal or ""
        return self.refusal

    def remember(self, say: Say) -> None:
        """Store the key if it is new, now that the gateway has proved that it has it."""
        if not self._new:
            return
        how = "as pinned" if self._gateway.pin else "trusted on first use"
        try:
            self._file.remember(self._gateway.place, self._new)
        except KnownGatewaysError as error:
            how = f"but it can't be remembered: {error}"
        say(f"the key of the gateway {self._gateway.place} is {fingerprint(self._new)}, {how}")


def tell_outages(session: StreamSession, say: Say) -> None:
    """Say when a session is suspended, and when it is back."""

    def heard(event: StreamEvent) -> None:
        if isinstance(event, Suspended):
            say(f"suspended ({event.reason}); everything waits, and goes on when {session.peer} is back")
        elif isinstance(event, Resumed):
            say(f"resumed after {duration(event.after_s)}")

    session.on_event(heard)
