"""logind's word for when the host is about to sleep, and a little time to act before it does.

Rules:

* A delay lock makes logind wait after it has announced a sleep until the lock is released, for
  ``InhibitDelayMaxSec=`` of logind.conf(5) (5 s) at most. It is released as soon as what the announcement
  leads to has had its time, so that nobody waits for a lid to do something, and taken again after the sleep.
* Whoever may not have a lock, or wants none, hears of the sleep all the same.

Source: org.freedesktop.login1(5), "Signals" and "Methods"; systemd's "Inhibitor Locks".
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack

from monitors.dbus import Service, take_descriptor
from monitors.services import PROPERTIES, BusError, Call, Ownership, RefusedError, ServiceSource, Wanted

NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
MANAGER = f"{NAME}.Manager"

_log = logging.getLogger(__name__)


def open_service() -> ServiceSource:
    """Return logind on the system bus, not yet connected."""
    return Service(NAME, Wanted(interface=MANAGER, member="PrepareForSleep", signature="b"))


async def take_delay_lock() -> int:
    """Return a file descriptor that delays sleep until it is closed.

    Raises:
        BusError: there is no bus, it failed, or logind refuses the lock.
    """
    words = ("sleep", "Migrate", "Tell the hosts at the other ends of sessions", "delay")
    call = Call(path=PATH, interface=MANAGER, member="Inhibit", signature="ssss", body=words, answer="h")
    return await take_descriptor(NAME, call)


async def sleep_announcements(
    delay_s: float,
    open_logind: Callable[[], ServiceSource] = open_service,
    take_lock: Callable[[], Awaitable[int]] = take_delay_lock,
) -> AsyncGenerator[bool | None, None]:
    """Yield whether the host is about to sleep, now and at each change; ``None`` while logind does not run.

    Args:
        delay_s: how long the sleep is put off after it was yielded, in seconds; 0 for not at all.
        open_logind: opens logind.
        take_lock: returns a file descriptor that puts sleep off until it is closed.

    Raises:
        BusError: there is no bus, or it failed, or logind answers what can't be understood.
    """
    with ExitStack() as lock:
        async with open_logind() as logind:
            while True:
                for news in await logind.receive():
                    if news is Ownership.STOPPED:
                        lock.close()
                        yield None
                        continue
                    asleep = await _is_preparing(logind) if news is Ownership.STARTED else bool(news.body[0])
                    if not asleep and delay_s:
                        lock.close()
                        await _hold(lock, take_lock)
                    yield asleep
                    if asleep:
                        await asyncio.sleep(delay_s)
                        lock.close()


async def _is_preparing(logind: ServiceSource) -> bool:
    call = Call(
        path=PATH,
        interface=PROPERTIES,
        member="Get",
        signature="ss",
        body=(MANAGER, "PreparingForSleep"),
        answer="v",
    )
    (asleep,) = await logind.call(call)
    if not isinstance(asleep, bool):
        raise BusError(f"logind's `PreparingForSleep` is {asleep!r:.80}, neither true nor false")
    return asleep


async def _hold(lock: ExitStack, take_lock: Callable[[], Awaitable[int]]) -> None:
    try:
        lock.callback(os.close, await take_lock())
    except RefusedError as error:
        _log.info("sleep can't be put off: %s", error)
