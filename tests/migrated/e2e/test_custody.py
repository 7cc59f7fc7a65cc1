"""What suspended sessions keep open outlives the daemon, and is closed when they have it back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from migrated.custody import SOCKET_NAME
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.counting import PATIENCE_S, Counts, counts

__all__ = ["counts"]  # a fixture

NO_TABLE = "add table inet migrate; delete table inet migrate"
UNFIT = f"{NO_TABLE}; add table inet migrate; add set inet migrate released4 {{type mark;}}"
"""What nobody can enter connections into, so that they are not released but kept."""


@pytest.fixture
def guardless(arena: Arena) -> Iterator[None]:
    """Keep the server's connections from being released."""
    arena.net.server.run(["nft", UNFIT], check=True)
    yield
    arena.net.server.run(["nft", NO_TABLE], check=True)


def custodian(arena: Arena) -> int:
    """Return the custodian of the server's daemon, or 0."""
    path = str(arena.there.folder / "run" / SOCKET_NAME)
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdigit() and path.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                return int(entry.name)
    return 0


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def await_sockets(arena: Arena, number: int) -> None:
    """Wait until so many TCP connections are in custody; a custodian that has none may have ended."""
    until(lambda: len(sockets_of(pid) if (pid := custodian(arena)) else ()) == number)


def sockets_of(pid: int) -> set[int]:
    """Return the TCP sockets that a process has open, by inode; none of one that ends just now."""
    found = set()
    with suppress(OSError):
        tcp = {line.split()[9] for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]}
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed just now
                kind, _, inode = str(entry.readlink()).partition(":")
                if kind == "socket" and inode.strip("[]") in tcp:
                    found.add(int(inode.strip("[]")))
    return found


@pytest.mark.usefixtures("guardless")
@pytest.mark.parametrize("style", ["internal", "complete"])
def test_a_connection_that_could_not_be_released_outlives_the_daemon(
    arena: Arena, counts: Counts, style: str
) -> None:
    counting = counts(style)
    counting.cut()
    counting.server.line("granted")
    arena.there.kill()
    await_sockets(arena, 1)
    arena.net.server.run(["nft", NO_TABLE], check=True)
    arena.there.start()
    if style == "internal":
        counting.server.line("daemon gone")
    counting.plug()
    counting.progresses()
    await_sockets(arena, 0)


@pytest.mark.usefixtures("guardless")
def test_a_custodian_that_is_killed_is_replaced_before_the_daemon_is(arena: Arena, counts: Counts) -> None:
    counting = counts("complete")
    mark = arena.there.mark()
    counting.cut()
    counting.server.line("granted")
    await_sockets(arena, 1)
    first = custodian(arena)
    os.kill(first, signal.SIGKILL)
    arena.there.await_event("custody", since=mark)
    until(lambda: custodian(arena) not in (0, first))
    await_sockets(arena, 1)
    arena.there.kill()
    await_sockets(arena, 1)
    arena.net.server.run(["nft", NO_TABLE], check=True)
    arena.there.start()
    counting.plug()
    counting.progresses()


def test_a_daemon_that_dies_while_it_starts_a_process_takes_no_connection_along(
    arena: Arena, counts: Counts
) -> None:
    counting = counts("late")  # no process has the connection before it may
    counting.cut()
    counting.server.line("granted")
    mark = arena.there.mark()
    counting.plug()
    await_sockets(arena, 1)
    arena.there.kill()
    assert not arena.there.since(mark, "invoked")
    arena.there.start()
    (arena.there.folder / "run" / "go-on").touch()
    counting.progresses()
