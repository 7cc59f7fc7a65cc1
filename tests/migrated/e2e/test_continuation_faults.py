"""What a full disk, or somebody who writes into the store, does to suspended sessions."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from migrated.continuations.store import FILE_NAME, ContinuationStore
from migrated.keyfile import read_or_make_key
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.counting import PATIENCE_S, Counts, counts

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
    counting.server.line("ended lost")
    told = arena.there.await_event("ended", since=mark, session=counting.session)
    assert "not what the daemon had stored" in told.fields["reason"]
    assert arena.there.since(mark, "invoked", session=counting.session) == []


def test_a_changed_row_is_told_as_soon_as_its_program_registers_again(arena: Arena, counts: Counts) -> None:
    counting = counts("internal")
    counting.cut()
    counting.server.line("granted")
    arena.there.kill()
    with sqlite3.connect(arena.there.folder / "state" / FILE_NAME) as database:
        database.execute("UPDATE continuations SET uid = uid + 1")
    database.close()
    arena.there.start()
    counting.server.line("daemon gone")
    counting.server.line("ended lost")  # no link is back yet


def test_one_that_only_a_newer_daemon_reads_is_kept_and_its_program_told(
    arena: Arena, counts: Counts
) -> None:
    counting = counts("internal")
    counting.cut()
    counting.server.line("granted")
    arena.there.kill()
    with stored_there(arena) as store:
        (session_id,) = (id_ for id_ in store.entries if id_.hex().startswith(counting.session))
        readable = store.load(session_id)
        assert readable is not None
        newer = readable.content[:4] + b"\xff\xff" + readable.content[6:]
        store.save([replace(readable, content=newer)])
    arena.there.start()
    counting.server.line("daemon gone")
    counting.plug()
    counting.server.line("waiting .*written by a newer migrate-sessions.*")
    assert arena.there.session(counting.session).state == "suspended"
    arena.there.kill()
    with stored_there(arena) as store:
        store.save([readable])
    arena.there.start()
    counting.server.line("daemon gone")
    counting.server.line(r"invoked \d+", PATIENCE_S)
    counting.progresses()


@contextmanager
def stored_there(arena: Arena) -> Iterator[ContinuationStore]:
    """Open the store of the server's daemon, which is not running, with its own key."""
    state = arena.there.folder / "state"
    key, _ = read_or_make_key(state / "host.key")
    store = ContinuationStore(state, key)
    try:
        yield store
    finally:
        store.close()


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
