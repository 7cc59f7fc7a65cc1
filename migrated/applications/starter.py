"""Start the processes of complete continuations, each with one end of a socket to speak with us."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from migrated.applications.client import Client
from migrated.applications.holding import Parcel
from migrated.applications.wire import duplicates
from migrated.continuations.bounds import Sender, StartRefusedError
from migrated.continuations.spawn import STANDARD, start
from sessionlayer.continuations.values import CONNECTION, Process

_log = logging.getLogger(__name__)


class Starter:
    """Starts processes, and waits for their ends.

    Args:
        admit: makes a client of our end of a socket; the process has the other.
    """

    def __init__(self, admit: Callable[[socket.socket, Sender], Client]) -> None:
        self._admit = admit
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        parcel: Parcel,
        beside: Sequence[int],
        *,
        started: Callable[[Client], None],
        failed: Callable[[str], None],
    ) -> None:
        """Start the process of a complete continuation.

        Args:
            parcel: the continuation.
            beside: its descriptors but for the connection, which stay the caller's. Those that are named like
                standard ones are the process's own.
            started: called with the process, which has not said anything yet.
            failed: called with the reason if it can't be started.

        Raises:
            OSError: there is no descriptor left.
        """
        process, sender = _process(parcel), _sender(parcel)
        standard = _standard(parcel, beside)
        kept = duplicates(standard.values())
        numbers = dict(zip(standard, kept.numbers, strict=True))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)

        async def run() -> None:
            try:
                with kept, theirs:
                    running = await start(process, sender, theirs.fileno(), standard=numbers)
            except StartRefusedError as error:
                ours.close()
                failed(str(error))
                return
            as_whom = replace(sender, pid=running.pid, uid=process.euid, gid=process.egid)
            started(self._admit(ours, as_whom))
            await running.wait()

        task = asyncio.create_task(run(), name="process")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("starting a process failed", exc_info=error)


def _process(parcel: Parcel) -> Process:
    process = parcel.continuation.process
    assert process is not None
    return process


def _sender(parcel: Parcel) -> Sender:
    """Return who returned the continuation. Its groups were judged then, and the store seals them."""
    process = _process(parcel)
    groups = frozenset((process.gid, process.egid, *process.groups))
    return Sender(pid=parcel.pid, uid=parcel.uid, gid=process.gid, groups=groups)


def _standard(parcel: Parcel, beside: Sequence[int]) -> dict[str, int]:
    names = (name for name in parcel.continuation.descriptors if name != CONNECTION)
    return {name: number for name, number in zip(names, beside, strict=True) if name in STANDARD}
