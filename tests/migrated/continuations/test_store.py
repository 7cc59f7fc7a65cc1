from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from migrated.continuations.quota import Quota, Usage
from migrated.continuations.store import AlteredError, ContinuationStore, StoredContinuation
from migrated.database import StoreError
from sessionlayer.continuations.limits import RESOURCES_MAX
from sessionlayer.continuations.values import Kind
from sessionlayer.protocol.keys import HostKey
from tests.migrated.continuations.samples import HOST_KEY, UID, stored

Opener = Callable[..., ContinuationStore]


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Return a function that opens the store anew, closing it first as the end of a daemon would."""
    opened: list[ContinuationStore] = []

    def open_store(quota: Quota = Quota(), host_key: HostKey = HOST_KEY) -> ContinuationStore:  # noqa: B008
        for store in opened:
            store.close()
        opened.append(ContinuationStore(tmp_path / "state", host_key, quota))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "continuations.sqlite"


def tamper(database: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(database) as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def test_what_is_saved_is_there_after_a_restart(opener: Opener) -> None:
    store = opener()
    complete = replace(stored(2, expires_at=1.6e9), kind=Kind.COMPLETE, resources=b"")
    assert store.save([stored(1), complete]) == {}
    assert store.save([stored(1, version=1)]) == {}
    for reopened in (False, True):
        again = opener() if reopened else store
        assert again.load(stored(1).session_id) == stored(1, version=1)
        assert again.load(complete.session_id) == complete
        assert again.load(b"never known") is None
        assert set(again.entries) == {stored(1).session_id, complete.session_id}


def test_what_is_removed_stays_so(opener: Opener) -> None:
    store = opener()
    store.save([stored(number) for number in range(4)])
    store.remove([stored(1).session_id, stored(2).session_id, b"never known", stored(1).session_id])
    assert store.usage(UID).count == 2
    for reopened in (False, True):
        again = opener() if reopened else store
        assert set(again.entries) == {stored(0).session_id, stored(3).session_id}


def test_resources_are_compressed_and_come_back(opener: Opener) -> None:
    store = opener()
    resources = b"a segment that nobody has read yet" * 10_000
    store.save([stored(1, resources=resources)])
    entry = store.entries[stored(1).session_id]
    assert entry.size < len(resources) / 100
    loaded = opener().load(stored(1).session_id)
    assert loaded is not None
    assert loaded.resources == resources


def test_resources_that_are_too_large_are_refused(opener: Opener) -> None:
    store = opener()
    large = stored(1, resources=bytes(RESOURCES_MAX + 1))
    assert store.save([large, stored(2)]) == {
        large.session_id: f"its descriptors and connections take {RESOURCES_MAX + 1} bytes, "
        f"at most {RESOURCES_MAX} are allowed"
    }
    assert set(store.entries) == {stored(2).session_id}


def test_the_quota_is_each_users_own(opener: Opener) -> None:
    quota = Quota(count=2)
    store = opener(quota)
    refused = store.save([*(stored(number) for number in range(3)), stored(9, uid=1)])
    assert refused == {
        stored(2).session_id: f"the quota of user {UID} is used up: 2 continuations are stored already"
    }
    assert store.usage(UID).count == 2
    assert store.save([stored(1, version=2)]) == {}, "one in place of another needs no room"
    again = opener(quota)
    assert list(again.save([stored(2)])) == [stored(2).session_id]
    again.remove([stored(0).session_id])
    assert again.save([stored(2)]) == {}
    assert (again.usage(UID).count, again.usage(1).count, again.usage(2)) == (2, 1, Usage())


def test_the_quota_of_bytes(opener: Opener) -> None:
    random = os.urandom(3000)
    store = opener(Quota(size=4000))
    assert store.save([stored(1, resources=random)]) == {}
    before = store.usage(UID)
    (reason,) = store.save([stored(2, resources=random)]).values()
    assert "bytes, " in reason
    assert reason.endswith("would be stored, and 4000 are allowed")
    (reason,) = store.save([stored(1, version=2, resources=os.urandom(6000))]).values()
    assert store.usage(UID) == before
    assert store.load(stored(1).session_id) == stored(1, resources=random)


ALTERATIONS = {
    "another user": "UPDATE continuations SET uid = 0",
    "another program": "UPDATE continuations SET program = 'sh'",
    "another kind": "UPDATE continuations SET kind = 'complete'",
    "younger": "UPDATE continuations SET stored_at = stored_at + 1",
    "never to expire": "UPDATE continuations SET expires_at = NULL",
    "another session": "UPDATE continuations SET id = x'00000000000000000000000000000009'",
    "no id": "UPDATE continuations SET id = NULL",
    "another size": "UPDATE continuations SET size = 0",
    "no user": "UPDATE continuations SET uid = 'root'",
    "a text that is none": "UPDATE continuations SET program = CAST(x'ff' AS TEXT)",
    "another digest": "UPDATE continuations SET digest = randomblob(32)",
    "another seal": "UPDATE continuations SET seal = randomblob(32)",
    "a seal that is a text": "UPDATE continuations SET seal = 'käse'",
}


@pytest.mark.parametrize("statement", ALTERATIONS.values(), ids=ALTERATIONS.keys())
def test_an_altered_row_is_refused_at_once(
    opener: Opener, database: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    opener().save([stored(1, expires_at=1.6e9)])
    opener().close()
    tamper(database, statement)
    store = opener()
    assert (dict(store.entries), len(store.altered), store.usage(UID)) == ({}, 1, Usage())
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    (session_id,) = store.altered
    with pytest.raises(AlteredError, match="it is not what this daemon stored: somebody changed it"):
        store.load(session_id)


@pytest.mark.parametrize("column", ["content", "resources"])
@pytest.mark.parametrize("value", ["x'00'", "x''", "'text'"])
def test_altered_contents_are_refused_when_they_are_loaded(
    opener: Opener, database: Path, column: str, value: str
) -> None:
    opener().save([stored(1)])
    opener().close()
    tamper(database, f"UPDATE continuations SET {column} = {value}")
    store = opener()
    session_id = stored(1).session_id
    for _ in range(2):
        with pytest.raises(AlteredError):
            store.load(session_id)
    assert (len(store.entries), set(store.altered), store.usage(UID)) == (0, {session_id}, Usage())


def test_a_row_of_another_session_does_not_pass_for_this_one(opener: Opener, database: Path) -> None:
    opener().save([stored(1), stored(2, version=2)])
    opener().close()
    columns = "digest, seal, content, resources"
    theirs = f"SELECT {columns} FROM continuations WHERE id = ?"
    statement = f"UPDATE continuations SET ({columns}) = ({theirs}) WHERE id = ?"
    tamper(database, statement, stored(1).session_id, stored(2).session_id)
    store = opener()
    assert store.altered == {stored(2).session_id}
    assert store.load(stored(1).session_id) == stored(1)


def test_an_altered_row_can_be_replaced_and_removed(opener: Opener, database: Path) -> None:
    opener().save([stored(1), stored(2)])
    opener(host_key=HostKey.from_private(bytes(32)))
    store = opener(host_key=HostKey.from_private(b"\x01" * 32))
    assert store.altered == {stored(1).session_id, stored(2).session_id}
    store.save([stored(1, version=5)])
    store.remove([stored(2).session_id])
    assert (store.load(stored(1).session_id), store.altered) == (stored(1, version=5), frozenset())


def test_a_full_disk_changes_nothing(opener: Opener) -> None:
    store = opener()
    store.save([stored(1)])
    (pages,) = store._database.execute("PRAGMA page_count")[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    before = store.usage(UID)
    many: list[StoredContinuation] = [stored(n, version=2, resources=os.urandom(50_000)) for n in range(9)]
    with pytest.raises(StoreError, match="full"):
        store.save(many)
    assert (store.usage(UID), set(store.entries)) == (before, {stored(1).session_id})
    assert store.load(stored(1).session_id) == stored(1)
    store._database.execute("PRAGMA max_page_count = 1000000")
    assert store.save(many) == {}
    assert opener().load(many[1].session_id) == many[1]


def test_a_store_that_cannot_be_written_changes_nothing(opener: Opener) -> None:
    store = opener()
    store.save([stored(1)])
    store._database.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="readonly"):
        store.save([stored(1, version=2), stored(2)])
    with pytest.raises(StoreError, match="readonly"):
        store.remove([stored(1).session_id])
    assert store.load(stored(1).session_id) == stored(1)
    assert store.usage(UID).count == 1


def test_a_second_daemon_is_kept_out(opener: Opener, tmp_path: Path) -> None:
    opener().save([stored(1)])
    with pytest.raises(StoreError, match="in use by another daemon"):
        ContinuationStore(tmp_path / "state", HOST_KEY)


def test_the_file_is_private_whatever_the_umask(opener: Opener, database: Path) -> None:
    before = os.umask(0)
    try:
        opener().save([stored(1)])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in database.parent.iterdir()} == {0o600}


def test_a_damaged_file_is_moved_aside(
    opener: Opener, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opener().close()
    database.write_bytes(b"\xa5" * 5000)
    assert opener().save([stored(1)]) == {}
    assert database.with_name("continuations.sqlite.damaged-1").exists()
    assert [record.getMessage() for record in caplog.records] == ["store-damaged"]


def test_every_change_waits_for_the_disk(opener: Opener) -> None:
    full = 2
    assert opener()._database.execute("PRAGMA synchronous") == [(full,)]
