"""What a full disk, or somebody who writes into the store, does to suspended sessions."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from migrated.continuations.store import FILE_NAME
from migrated.control.messages import ExpireContinuation
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.counting import Counts, counts

__all__ = ["counts"]  # a fixture


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Return an arena whose daemons have reason to complain."""
    with Arena(tmp_path_factory.mktemp("faults")) as arena:
        yield arena


def test_a_disk_that_is_full_leaves_the_program_the_connection(arena: Arena, counts: Counts) -> None:
    counting = counts("internal")
    with full_disk(arena):
        counting.server.line("daemon gone")
        counting.server.line(r"session (\w+)")
        counting.cut()
        counting.server.line("denied store")
        counting.plug()
        counting.server.line("resumed")
        counting.progresses()


def test_an_altered_continuation_is_never_invoked(arena: Arena, counts: Counts) -> None:
    counting = counts("internal")
    counting.cut()
    counting.server.line("granted")
    arena.there.kill()
    with sqlite3.connect(arena.there.folder / "state" / FILE_NAME) as database:
        database.execute("UPDATE continuations SET content = content || 'x'")
    database.close()
    mark = arena.there.mark()
    arena.there.start()
    counting.server.line("daemon gone")
    counting.plug()
    told = arena.there.await_event("refused", since=mark, session=counting.session)
    assert "not what this daemon stored" in told.fields["reason"]
    assert arena.there.session(counting.session).state == "suspended"
    arena.there.ask(ExpireContinuation(session=counting.session))
    counting.server.line("ended expired")


@contextmanager
def full_disk(arena: Arena) -> Iterator[None]:
    """Give the server's daemon a disk that is full, and take it away again."""
    state = arena.there.folder / "state"
    arena.there.stop()
    aside = state.rename(state.with_name("aside"))
    state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "none", str(state)], check=True)
    try:
        shutil.copytree(aside, state, dirs_exist_ok=True)
        arena.there.start()
        with suppress(OSError), (state / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        yield
    finally:
        if arena.there.running:
            arena.there.stop()
        subprocess.run(["umount", str(state)], check=True)
        state.rmdir()
        aside.rename(state)
    arena.there.start()
