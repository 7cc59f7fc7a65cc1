from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Connection as EngineConnection
from engine import SessionDescription
from migrated.kernel.freeze import OwnOptions
from migrated.store import SCHEMA_VERSION, Store, StoredSession, StoreError
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Connection, Role
from tests.processes import killed_at_last

Opener = Callable[[], Store]


def a_session(number: int, *, moves: int = 0, state: SessionState = SessionState.SETTLED) -> StoredSession:
    session_id = number.to_bytes(16, "big")
    return StoredSession(
        record=SessionRecord(
            session_id=session_id,
            peer_key=bytes(32),
            connection=Connection(
                local_address="10.0.0.5",
                local_port=40000,
                remote_address="18.31.0.9",
                remote_port=22,
                role=Role.CLIENT,
            ),
            epoch=7,
            state=state,
            moves=moves,
        ),
        inode=4711,
        uid=1000,
        program="ssh",
        own=OwnOptions(mark=0, user_timeout_ms=0, transparent=False, keepalive=True, device="eth0"),
        description=SessionDescription(
            id=session_id.hex(),
            connections=(
                EngineConnection(
                    proto="tcp",
                    local_address="10.0.0.5",
                    local_port=40000,
                    remote_address="18.31.0.9",
                    remote_port=22,
                    user="me",
                ),
            ),
        ),
        suspended=True,
        adopted_at=1.5e9,
        peer_address="18.31.0.9",
        peer_port=6447,
    )


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Return a function that opens the store anew, closing it first as the end of a daemon would."""
    opened: list[Store] = []

    def open_store() -> Store:
        for store in opened:
            store.close()
        opened.append(Store(tmp_path / "state"))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sessions.sqlite"


def test_what_is_saved_is_there_after_a_restart(opener: Opener) -> None:
    store = opener()
    store.save_session(a_session(2))
    store.save_session(a_session(1))
    store.save_session(a_session(1, moves=3))
    assert opener().sessions() == (a_session(1, moves=3), a_session(2))


def test_what_is_forgotten_stays_so(opener: Opener) -> None:
    store = opener()
    store.save_session(a_session(1))
    store.forget_session(a_session(1).record.session_id)
    store.forget_session(b"never known")
    assert opener().sessions() == ()


def test_keys_of_peers(opener: Opener) -> None:
    store = opener()
    assert store.known_key("a") is None
    store.remember_key("a", bytes(32))
    store.remember_key("b", b"\x01" * 32)
    store.remember_key("b", b"\x02" * 32)
    store.forget_key("a")
    store.forget_key("never known")
    assert (opener().known_key("a"), opener().known_key("b")) == (None, b"\x02" * 32)


@given(
    st.lists(
        st.tuples(st.sampled_from(["save", "forget", "reopen"]), st.integers(0, 3), st.integers(0, 9)),
        max_size=12,
    )
)
def test_it_is_a_dictionary_that_survives(steps: list[tuple[str, int, int]]) -> None:
    import tempfile

    expected: dict[int, StoredSession] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "s")
        for step, number, moves in steps:
            match step:
                case "save":
                    expected[number] = a_session(number, moves=moves)
                    store.save_session(expected[number])
                case "forget":
                    expected.pop(number, None)
                    store.forget_session(number.to_bytes(16, "big"))
                case _:
                    store.close()
                    store = Store(Path(folder) / "s")
            assert store.sessions() == tuple(expected[key] for key in sorted(expected))
        store.close()


@pytest.mark.parametrize("state", SessionState)
def test_every_state_can_be_stored(opener: Opener, state: SessionState) -> None:
    opener().save_session(a_session(1, state=state))
    assert opener().sessions()[0].record.state is state


def test_all_files_are_private_whatever_the_umask(opener: Opener, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = opener()
        store.host_key()
        store.save_session(a_session(1))
    finally:
        os.umask(before)
    folder = tmp_path / "state"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {"host.key", "sessions.sqlite"} <= {path.name for path in folder.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_the_host_key_is_made_once(opener: Opener, tmp_path: Path) -> None:
    first = opener().host_key()
    assert opener().host_key().private_bytes == first.private_bytes
    assert sorted(path.name for path in (tmp_path / "state").iterdir() if "key" in path.name) == ["host.key"]


def test_a_host_key_that_others_may_read_is_refused(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    store.host_key()
    (tmp_path / "state" / "host.key").chmod(0o640)
    with pytest.raises(StoreError, match=r"its mode is 0640\); run `chmod 600 .*host\.key`"):
        store.host_key()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"migrate-host-key-1 AAAA\n", b"\xff\xfe"])
def test_a_damaged_host_key_is_never_replaced(opener: Opener, tmp_path: Path, content: bytes) -> None:
    store = opener()
    file = tmp_path / "state" / "host.key"
    file.touch(0o600)
    file.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        store.host_key()
    assert file.read_bytes() == content


def test_a_folder_that_others_may_write_to_is_refused(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(StoreError, match="others may write"):
        opener()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot make the folder .*: not a directory"):
        Store(tmp_path / "file" / "state")


def test_a_second_daemon_is_kept_out(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    with pytest.raises(StoreError, match="in use by another daemon"):
        Store(tmp_path / "state")
    store.save_session(a_session(1))


@pytest.mark.parametrize("length", [10, 5000])
def test_a_damaged_database_is_moved_aside(
    opener: Opener, database: Path, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    opener().close()
    for generation in ("1", "2"):
        database.write_bytes(b"\xa5" * length)
        store = opener()
        assert store.sessions() == ()
        store.save_session(a_session(1))
        store.close()
        assert database.with_name(f"sessions.sqlite.damaged-{generation}").read_bytes() == b"\xa5" * length
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_database_that_is_damaged_in_the_middle(opener: Opener, database: Path) -> None:
    store = opener()
    for number in range(200):
        store.save_session(a_session(number))
    store.close()
    content = bytearray(database.read_bytes())
    content[3 * 4096 : 6 * 4096] = b"\xa5" * (3 * 4096)
    database.write_bytes(content)
    assert opener().sessions() == ()


def test_a_newer_store_is_left_alone(opener: Opener, database: Path) -> None:
    opener().close()
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer migrated"):
        opener()
    assert [path.name for path in database.parent.iterdir() if "damaged" in path.name] == []


def test_a_row_that_cannot_be_read_costs_only_itself(
    opener: Opener, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = opener()
    store.save_session(a_session(1))
    store.close()
    connection = sqlite3.connect(database)
    connection.execute("INSERT INTO sessions VALUES (?, ?)", (b"\x02" * 16, b'{"record": {}}'))
    connection.execute("INSERT INTO sessions VALUES (?, ?)", (b"\x03" * 16, "text\xff"))
    connection.commit()
    connection.close()
    assert opener().sessions() == (a_session(1),)
    assert len(caplog.records) == 2


WRITER = """
import sys
from pathlib import Path
from migrated.store import Store
from tests.migrated.test_store import a_session
store = Store(Path(sys.argv[1]))
for number in range(1_000_000):
    store.save_session(a_session(number % 50, moves=number))
    print(number, flush=True)
"""


def test_a_killed_daemon_loses_nothing_that_it_saved(opener: Opener, tmp_path: Path) -> None:
    for count in (1, 30, 77):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "state")]
        root = Path(__file__).parents[2]
        with killed_at_last(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root)) as writer:
            assert writer.stdout is not None
            saved = [int(writer.stdout.readline()) for _ in range(count)][-1]
        found = opener().sessions()
        opener().close()
        assert max(session.record.moves for session in found) >= saved
        assert len(found) >= min(count, 50)
