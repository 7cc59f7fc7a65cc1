"""From the holder's answer to a client that runs: find a way to the holder, then carry keys and output."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from migrated.terminal.carrier import Carrier
from migrated.terminal.client import FAILED, Client, End
from migrated.terminal.console import Console
from migrated.terminal.holder import PORTS
from migrated.terminal.requests import EXPIRE_MAX_S, Ready
from sessionlayer.aio import Dial, StreamOptions, StreamSession, connect
from sessionlayer.aio.sockets import source_towards
from sessionlayer.protocol.keys import HostKey

CONNECT_S: Final = 5.0
"""Seconds that one address of the other host may take to answer."""

FALL_BACK_S: Final = 2.0
"""The same where ssh can carry the terminal if none answers."""

_LAST_WORDS_S: Final = 2.0
_STREAMS: Final = StreamOptions(ring_max=256 * 1024, expire_s=EXPIRE_MAX_S, connections_max=1)


class UnreachableHolderError(Exception):
    """Say that no address of the other host leads to its holder, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a terminal is, and the ways that lead there.

    Attributes:
        host: the other host, as its user calls it.
        options: what the user typed before it to get there, to be repeated in advice.
        ready: what its holder answered.
        addresses: to connect to, best first; empty if ssh is to carry the terminal anyway.
        carrier: has ssh carry the terminal if none of them answers; if there is none, nothing does.
        notify: called with why ssh has to.
    """

    host: str
    ready: Ready
    addresses: Sequence[str]
    options: Sequence[str] = ()
    carrier: Carrier | None = None
    notify: Callable[[str], None] = lambda _: None


class HolderKey:
    """The key that came over ssh, and whether anybody with another one answered since.

    Somebody else's answer must not end a session: the network may lead elsewhere for a while. But it may also
    mean that the holder is no more, which the user should be told.

    Attributes:
        host: the other host, as its user calls it.
        expected: the holder's public key, 32 bytes.
    """

    def __init__(self, host: str, expected: bytes) -> None:
        self.host = host
        self.expected = expected
        self._stranger = False

    def judge(self, key: bytes) -> str:
        """Return why a key is not trusted, or an empty string."""
        self._stranger = key != self.expected
        return "somebody else answers there: the key is not the one of ssh" if self._stranger else ""

    def hint(self) -> str:
        """Return what is known of why there is no connection."""
        return f"somebody else answers, has `{self.host}` been started anew?" if self._stranger else ""


async def attach(destination: Destination, identity: HostKey, descriptor: int) -> End:
    """Show a terminal of another host on the terminal ``descriptor`` until it ends.

    Args:
        destination: where it is.
        identity: the key that the holder was asked to let in.
        descriptor: the user's own terminal.

    Raises:
        NoTerminalError: ``descriptor`` is not a terminal.
        UnreachableHolderError: the holder can't be reached.
        OSError: the user's terminal is gone.
    """
    console = Console(descriptor)
    try:
        known = HolderKey(destination.host, destination.ready.key)
        session = await reach(destination, identity, known)
        try:
            return await _converse(console, session, known, destination)
        finally:
            await _part(session)
    finally:
        console.close()


async def reach(destination: Destination, identity: HostKey, known: HolderKey) -> StreamSession:
    """Return a session with the holder, over the first address that leads to it, or else over ssh.

    Raises:
        UnreachableHolderError: nothing does.
    """
    carrier = destination.carrier
    failures: list[str] = []
    patience_s, addresses = CONNECT_S, list(dict.fromkeys(destination.addresses))
    if carrier is not None:
        patience_s, addresses = FALL_BACK_S, await _distinct(addresses, destination.ready.port)
    for address in addresses:
        try:
            async with asyncio.timeout(patience_s):
                session = await _connect(address, destination, identity, known)
        except OSError as error:
            failures.append(_failure(address, error))
        else:
            if carrier is not None:
                carrier.close()
            return session
    tried = "; ".join(failures)
    if carrier is None:
        raise UnreachableHolderError(
            f"ssh reaches `{destination.host}`, but not its TCP port {destination.ready.port} "
            f"({tried or 'it has no address'}); is there a firewall? terminals use ports {PORTS.start} to "
            f"{PORTS.stop - 1}, or `--via ssh`"
        )
    if tried:
        destination.notify(tried)
    try:
        session = await _connect(destination.host, destination, identity, known, carrier.dial)
    except OSError as error:
        raise UnreachableHolderError(_failure(f"ssh to `{destination.host}`", error)) from error
    _tell_way(session, destination.ready)
    return session


async def _distinct(addresses: Sequence[str], port: int) -> list[str]:
    """Return names and addresses without those that lead where an earlier one leads."""
    kept: list[str] = []
    seen: set[str] = set()
    for address in addresses:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(address, port, type=socket.SOCK_STREAM)
        except OSError:
            found = []  # connecting says why
        leads_to = {str(info[4][0]) for info in found}
        if not leads_to or leads_to - seen:
            kept.append(address)
        seen |= leads_to
    return kept


def _tell_way(session: StreamSession, ready: Ready) -> None:
    """Tell a session whose transports are not TCP where they lead, so that it notices our change of address.

    Behind a NAT that is not quite where ssh went; what begins at another address then does so for both.
    """
    for address in ready.addresses[:1]:
        session.peername = address, ready.port
        session.sockname = source_towards(session.peername), 0


async def _connect(
    address: str, destination: Destination, identity: HostKey, known: HolderKey, dial: Dial | None = None
) -> StreamSession:
    port = destination.ready.port
    return await connect(address, port, identity=identity, judge=known.judge, options=_STREAMS, dial=dial)


def _failure(way: str, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"{way} does not answer"
    return f"{way}: {(error.strerror or str(error)).lower()}"


async def _converse(
    console: Console, session: StreamSession, known: HolderKey, destination: Destination
) -> End:
    try:
        reader, writer = await session.open_connection(b"terminal", sealed=True)
    except ConnectionError as error:
        return End(status=FAILED, message=f"`{known.host}`: {error}")
    carrier = destination.carrier

    def hint() -> str:
        return known.hint() or (carrier.hint() if carrier else "")

    client = Client(
        console,
        session,
        reader,
        writer,
        host=destination.host,
        options=destination.options,
        terminal_kind=os.environ.get("TERM", ""),
        hint=hint,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, client.resized)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, client.leave, f"ended by {signal.Signals(number).name}", FAILED)
    return await client.run()


async def _part(session: StreamSession) -> None:
    """Let the holder hear the last message, if it can be reached."""
    if session.state == "connected":
        try:
            await asyncio.wait_for(session.close(), _LAST_WORDS_S)
            return
        except TimeoutError:
            pass
    session.abort()
