"""One service of the system bus: whether it runs, what it answers, and what it says unasked.

The only module that imports dbus_fast, and only where there is a bus: that takes 0.1 s and 3 MB.

Rules:

* Subscribe first, ask second: what changes in between is heard.
* Every local user may send any signal to any program of the system bus. One counts only if its sender owns
  the service's name at that moment, and only the bus itself says who does.
* Calls go to the owner, never to the name: nothing is started that doesn't run.
* A bus that doesn't answer within `ANSWER_LIMIT_S`, closes, sends what can't be read, or sends faster than it
  is listened to has failed: the connection is given up, and with the next one everything is asked anew.
* File descriptors are taken by a connection that lives for one call. One that stayed open for them would have
  to take those of anybody.

Source: the D-Bus specification 0.43, sections "Message Bus Messages" and "Match Rules".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from monitors.services import BusError, Call, News, Ownership, RefusedError, Signal, Wanted

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus
    from dbus_fast.message import Message

ANSWER_LIMIT_S = 10.0
"""How long the bus and its services may take to answer; starting machines are slow."""

NEWS_LIMIT = 4096
"""How many signals of a service may wait to be read."""

_ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
_SOCKET = Path("/var/run/dbus/system_bus_socket")
"""Where the system bus is if `_ADDRESS` does not say it."""

_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_NO_OWNER = "org.freedesktop.DBus.Error.NameHasNoOwner"

_Value = TypeVar("_Value")


class Service:
    """A well-known name of the system bus, over a connection of its own.

    Args:
        name: the well-known name.
        wanted: the signals to hear.
        limit_s: how long the bus and the service may take to answer, in seconds.
    """

    def __init__(self, name: str, *wanted: Wanted, limit_s: float = ANSWER_LIMIT_S) -> None:
        self._name = name
        self._wanted = {(signal.interface, signal.member): signal for signal in wanted}
        self._limit_s = limit_s
        self._bus: MessageBus | None = None
        self._owner: str | None = None
        self._news: list[News] = []
        self._failure: BusError | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect and subscribe.

        Raises:
            BusError: there is no bus, or it failed.
        """
        self._bus = await _connect(self._limit_s)
        try:
            self._bus.add_message_handler(self._hear)
            _end(self._bus).add_done_callback(self._closed)
            await self._subscribe()
        except BaseException:
            await _close(self._bus)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._bus is not None:
            await _close(self._bus)

    async def receive(self, deadline: float | None = None) -> tuple[News, ...]:
        """Return the next news, waiting for some.

        Args:
            deadline: the event loop's time in seconds at which to give up and return nothing.

        Raises:
            BusError: the bus or the service failed.
        """
        try:
            async with asyncio.timeout_at(deadline):
                while not self._news and self._failure is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return ()
        if self._failure is not None:
            raise self._failure
        news, self._news = tuple(self._news), []
        return news

    async def call(self, call: Call) -> tuple[object, ...]:
        """Return the answer to a call, without variants.

        Raises:
            RefusedError: the service answered with an error, or does not run.
            BusError: the bus failed, or the answer has other types than it should.
        """
        if not self._owner:
            raise RefusedError(_NO_OWNER, f"`{self._name}` does not run")
        return await self._ask(self._owner, call)

    async def _subscribe(self) -> None:
        await self._match(_BUS, _BUS, "NameOwnerChanged", self._name)
        for signal in self._wanted.values():
            await self._match(self._name, signal.interface, signal.member, signal.first)
        owner = await self._ask_owner()
        if self._owner is None:  # no signal was quicker, whose word is newer
            self._own(owner)

    async def _match(self, sender: str, interface: str, member: str, first: str) -> None:
        rule = f"type='signal',sender='{sender}',interface='{interface}',member='{member}'"
        if first:
            rule += f",arg0='{first}'"
        await self._ask(_BUS, _to_bus("AddMatch", rule))

    async def _ask_owner(self) -> str:
        try:
            (owner,) = await self._ask(_BUS, _to_bus("GetNameOwner", self._name, answer="s"))
        except RefusedError as error:
            if error.name != _NO_OWNER:
                raise
            return ""
        return str(owner)

    async def _ask(self, destination: str, call: Call) -> tuple[object, ...]:
        assert self._bus is not None
        who = f"`{self._name if destination == self._owner else destination}`"
        reply = await _within(self._limit_s, who, _send(self._bus, destination, call))
        return _answer(who, call, reply)

    def _hear(self, message: Message) -> None:
        from dbus_fast.constants import MessageType

        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == _BUS:
            if message.member == "NameOwnerChanged" and message.signature == "sss":
                name, _, owner = message.body
                if name == self._name:
                    self._own(owner)
        elif message.sender == self._owner and (
            wanted := self._wanted.get((message.interface or "", message.member or ""))
        ):
            self._take(message, wanted)

    def _take(self, message: Message, wanted: Wanted) -> None:
        if message.signature != wanted.signature:
            self._fail(
                f"`{self._name}` says `{wanted.member}` with `{message.signature}`, not `{wanted.signature}`"
            )
        elif not wanted.first or message.body[0] == wanted.first:
            body = _plain(message.body)
            self._put(Signal(path=message.path or "", member=wanted.member, body=body))

    def _own(self, owner: str) -> None:
        if self._owner or not owner:
            self._put(Ownership.STOPPED)
        if owner:
            self._put(Ownership.STARTED)
        self._owner = owner

    def _put(self, news: News) -> None:
        if len(self._news) == NEWS_LIMIT:
            self._fail(f"`{self._name}` says more than can be listened to")
            return
        self._news.append(news)
        self._changed.set()

    def _closed(self, ended: asyncio.Future[None]) -> None:
        self._fail(f"the connection to the system bus was lost{_because(_error_of(ended))}")

    def _fail(self, text: str) -> None:
        if self._failure is None:
            self._failure = BusError(text)
        self._changed.set()


async def take_descriptor(name: str, call: Call, limit_s: float = ANSWER_LIMIT_S) -> int:
    """Return the one file descriptor that a service answers with; whoever calls closes it.

    Args:
        name: the service's well-known name.
        call: a call whose answer is ``h``.
        limit_s: how long the bus and the service may take to answer, in seconds.

    Raises:
        RefusedError: the service answered with an error, or does not run.
        BusError: there is no bus, it failed, or the answer is another.
    """
    bus = await _connect(limit_s, descriptors=True)
    try:
        reply = await _within(limit_s, f"`{name}`", _send(bus, name, call))
        try:
            _answer(f"`{name}`", call, reply)
            return os.dup(reply.unix_fds[0])
        except IndexError:
            raise BusError(f"`{name}` answers `{call.member}` without a file descriptor") from None
        finally:
            for descriptor in reply.unix_fds:
                os.close(descriptor)
    finally:
        await _close(bus)


async def _connect(limit_s: float, *, descriptors: bool = False) -> MessageBus:
    if not _may_be_there():
        raise BusError("this host has no system bus")
    from dbus_fast.aio import MessageBus
    from dbus_fast.constants import BusType
    from dbus_fast.errors import InvalidAddressError

    try:
        bus = MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=descriptors)
    except InvalidAddressError as error:
        raise BusError(f"`{_ADDRESS}` can't be used{_because(error)}") from error
    try:
        return await _within(limit_s, "the system bus", bus.connect())
    except BaseException:
        if bus.connected:  # just when it was given up
            await _close(bus)
        raise


def _may_be_there() -> bool:
    return bool(os.environ.get(_ADDRESS)) or _SOCKET.exists()


async def _close(bus: MessageBus) -> None:
    bus.disconnect()
    # It was shut down for reading too, so this is the next turn of the loop.
    await asyncio.wait({_end(bus)}, timeout=1.0)


def _end(bus: MessageBus) -> asyncio.Future[None]:
    """Return what is done when the connection has ended, with an error if the other side ended it."""
    ended: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    ended.add_done_callback(_error_of)  # which asyncio would complain of if nobody looked at it
    return ended


def _error_of(ended: asyncio.Future[None]) -> BaseException | None:
    return None if ended.cancelled() else ended.exception()


async def _send(bus: MessageBus, destination: str, call: Call) -> Message:
    from dbus_fast.constants import MessageFlag
    from dbus_fast.message import Message

    if not bus.connected:  # the library would write to whatever has its file descriptor now
        raise BusError("the connection to the system bus was lost")
    return await bus.call(
        Message(
            destination=destination,
            path=call.path,
            interface=call.interface,
            member=call.member,
            signature=call.signature,
            body=list(call.body),
            flags=MessageFlag.NO_AUTOSTART,
        )
    )


async def _within(limit_s: float, who: str, work: Awaitable[_Value]) -> _Value:
    """Return what a coroutine of dbus_fast returns; everything else that may become of it is a `BusError`.

    Whatever the other end sends can surface here as an error of any type: of the socket, of text that can't
    be decoded, of indices.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
        if not task.done():
            raise BusError(f"{who} does not answer within {limit_s:g} s")
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, BusError):
            raise error
        raise BusError(f"{who} can't be spoken to{_because(error)}") from error
    finally:
        task.cancel()


def _because(error: BaseException | str | None) -> str:
    text = " ".join(str(error or "").split())
    return f": {text:.200}" if text else ""


def _to_bus(member: str, argument: str, *, answer: str = "") -> Call:
    return Call(path=_BUS_PATH, interface=_BUS, member=member, signature="s", body=(argument,), answer=answer)


def _answer(who: str, call: Call, reply: Message) -> tuple[object, ...]:
    from dbus_fast.constants import MessageType

    if reply.message_type is MessageType.ERROR:
        why = _because(reply.body[0] if reply.signature.startswith("s") else None)
        raise RefusedError(reply.error_name or "", f"{who} refuses `{call.member}`{why}")
    if reply.signature != call.answer:
        raise BusError(f"{who} answers `{call.member}` with `{reply.signature}`, not `{call.answer}`")
    return _plain(reply.body)


def _plain(body: list[object]) -> tuple[object, ...]:
    from dbus_fast.unpack import unpack_variants

    return tuple(unpack_variants(body))
