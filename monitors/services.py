"""What monitors ask of the services of a message bus and hear from them: values, and no connection.

Source: the D-Bus specification 0.43.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Protocol, Self, TypeVar

LOOK_AGAIN_S = 60.0
"""Seconds after which a bus that is not there, or has failed, is tried again."""

PROPERTIES = "org.freedesktop.DBus.Properties"

_Value = TypeVar("_Value")

_log = logging.getLogger(__name__)


class BusError(Exception):
    """There is no bus, or it failed; the message says how, for people. The connection is of no more use."""


class RefusedError(BusError):
    """A service answered a call with an error; the connection can be used further.

    Attributes:
        name: The error's name, such as ``org.freedesktop.DBus.Error.UnknownObject``.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})")
        self.name = name


class Ownership(Enum):
    """Whether the service runs: the first news of all, and again whenever it is another."""

    STARTED = "started"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a service said unasked. ``body`` has the types of its declared signature, without variants."""

    path: str
    member: str
    body: tuple[object, ...]


News = Ownership | Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A method call.

    Attributes:
        path: The object.
        interface: The method's interface.
        member: The method.
        signature: The types of ``body``.
        body: The arguments.
        answer: The types that the answer must have.
    """

    path: str
    interface: str
    member: str
    signature: str = ""
    body: tuple[object, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Signals to hear: all of this name whose first argument, if one is given, is ``first``."""

    interface: str
    member: str
    signature: str
    first: str = ""


class ServiceSource(Protocol):
    """A service of the bus as monitors see it; used as ``async with``."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def receive(self, deadline: float | None = None) -> tuple[News, ...]:
        """Return the next news, or nothing if the event loop's clock passes ``deadline`` (seconds)."""
        ...

    async def call(self, call: Call) -> tuple[object, ...]:
        """Return the answer to a call."""
        ...


async def follow(
    open_readings: Callable[[], AsyncGenerator[_Value, None]],
    take: Callable[[_Value], None],
    lost: Callable[[BusError], None],
) -> None:
    """Hand over what a service tells, until cancelled, whatever happens to the bus meanwhile.

    Args:
        open_readings: makes an iterator of what the service tells, which raises `BusError` when it can't.
        take: takes each reading.
        lost: is told when there are none any more, and why. They are tried again `LOOK_AGAIN_S` later.

    Raises:
        Exception: what ``take`` or ``lost`` raised.
    """
    told = ""
    while True:
        try:
            async with aclosing(open_readings()) as readings:
                async for reading in readings:
                    take(reading)
        except BusError as error:
            if str(error) != told:
                told = str(error)
                _log.info("%s; tried again every %g s", told, LOOK_AGAIN_S)
            lost(error)
        await asyncio.sleep(LOOK_AGAIN_S)
