from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from migrated.continuations.store import ContinuationStore
from migrated.database import StoreError
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.values import Tag
from tests.migrated.continuations.samples import HOST_KEY

SSL = Tag(id="lib", name="libssl", value="3.0.17")


def test_vectors_outlive_the_daemon(tmp_path: Path) -> None:
    store = ContinuationStore(tmp_path, HOST_KEY)
    store.vectors.register(1, "sshd", [])
    store.vectors.register(1, "sshd", [SSL])
    store.vectors.register(2, "käse", [SSL, SSL])
    store.close()
    store = ContinuationStore(tmp_path, HOST_KEY)
    assert store.vectors.offered(1, "sshd") == (SSL,)
    assert store.vectors.offered(2, "käse") == (SSL, SSL)
    assert store.vectors.offered(2, "sshd") == ()
    store.close()


def test_a_refused_vector_leaves_the_one_before(tmp_path: Path) -> None:
    store = ContinuationStore(tmp_path, HOST_KEY)
    store.vectors.register(1, "sshd", [SSL])
    with pytest.raises(ContinuationError):
        store.vectors.register(1, "sshd", [Tag(id="", name="x", value="")])
    assert store.vectors.offered(1, "sshd") == (SSL,)
    store.close()


def test_the_same_again_does_not_touch_the_disk(tmp_path: Path) -> None:
    store = ContinuationStore(tmp_path, HOST_KEY)
    store.vectors.register(1, "sshd", [SSL])
    store._database.execute("PRAGMA query_only = 1")
    store.vectors.register(1, "sshd", [SSL])
    with pytest.raises(StoreError, match="readonly"):
        store.vectors.register(1, "sshd", [])
    store.close()


def test_an_altered_vector_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ContinuationStore(tmp_path, HOST_KEY)
    store.vectors.register(1, "sshd", [SSL])
    store.close()
    with sqlite3.connect(tmp_path / "continuations.sqlite") as connection:
        connection.execute("UPDATE vectors SET uid = 2")
    connection.close()
    store = ContinuationStore(tmp_path, HOST_KEY)
    assert store.vectors.offered(1, "sshd") == store.vectors.offered(2, "sshd") == ()
    assert [record.getMessage() for record in caplog.records] == ["vector-altered"]
    store.close()
