"""What a program may return, and as whom it may be started again."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from migrated.applications import returning
from migrated.applications.client import Client
from migrated.applications.holding import Holdings, Parcel
from migrated.applications.keeper import Keeper
from migrated.applications.refusal import RefusedError
from migrated.applications.returning import Returning
from migrated.applications.server import ApplicationServer
from migrated.applications.wire import Descriptors, duplicates
from migrated.continuations.bounds import Sender
from migrated.core import Core
from migrated.sessions import Condition
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import ReturnContinuation
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import CONNECTION, Continuation, Process

UID = 2_000_000_001
SESSION = bytes(range(16))
USER = Sender(pid=1, uid=UID, gid=UID, groups=frozenset({UID, 5}))
ROOT = Sender(pid=1, uid=0, gid=0, groups=frozenset())


def process(**changes: object) -> Process:
    plain: dict[str, object] = {"uid": UID, "euid": UID, "gid": UID, "egid": UID, "groups": (5,)}
    return Process(
        argv=("true",),
        environment={},
        directory="/",
        umask=0,
        nice=0,
        **(plain | changes),  # type: ignore[arg-type]
    )


@dataclass
class FakeKeeper:
    """Takes everything."""

    holdings: Holdings = field(default_factory=Holdings)
    batches: list[int] = field(default_factory=list)

    def put_to_rest(self, parcels: Sequence[Parcel]) -> dict[bytes, RefusedError]:
        self.batches.append(len(parcels))
        for parcel in parcels:
            parcel.descriptors.close()
        return {}


class Bench:
    """A `Returning` whose sessions are all suspended, and a program that the kernel knows as ``sender``."""

    def __init__(self, folder: Path, sender: Sender, session_uid: int, connection: socket.socket) -> None:
        state = SimpleNamespace(inode=os.fstat(connection.fileno()).st_ino, own=None)
        self.core = SimpleNamespace(
            sessions=SimpleNamespace(of_id=lambda session_id: self._session(session_id, session_uid, state)),
            journal=SimpleNamespace(tell=lambda *args, **fields: None),
        )
        self.keeper = FakeKeeper()
        self.returning = Returning(
            cast("Core", self.core),
            cast("Keeper", self.keeper),
            expires_at=lambda session: None,
            granted=lambda session, continuation: None,
        )
        self._connection = connection
        self._theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server = ApplicationServer(folder / "s", lambda *args: None, lambda client: None)
        self.client: Client = self.server.admit(ours, sender)

    def _session(self, session_id: bytes, uid: int, state: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(
            session_id=session_id,
            uid=uid,
            program="p",
            short="s",
            socket=state,
            condition=Condition.SUSPENDED,
            frozen=True,
            departing=None,
        )

    def give(
        self, found: Process | None, session_id: bytes = SESSION, program: str = "", filler: int = 0
    ) -> None:
        names = (CONNECTION,) if found is not None else ()
        attributes = {"filler": os.urandom(filler)}
        content = encode(Continuation(descriptors=names, process=found, attributes=attributes))
        with Descriptors([write_memory(content)]) as all_of_them:
            for number in names and [os.dup(self._connection.fileno())]:
                all_of_them.add(number)
            request = ReturnContinuation(number=1, session=session_id, program=program)
            self.returning.take(self.client, request, all_of_them)

    def close(self) -> None:
        self.client.close()
        self._theirs.close()


@contextmanager
def bench(folder: Path, sender: Sender = USER, session_uid: int = UID) -> Iterator[Bench]:
    with socket.socket() as connection:
        found = Bench(folder, sender, session_uid, connection)
        try:
            yield found
        finally:
            found.close()


REFUSED = {
    "root": process(uid=0, euid=0),
    "another user": process(euid=1),
    "root's group": process(gid=0, egid=0),
    "the group of the shadow file": process(groups=(42,)),
}


async def refused(folder: Path, found: Process) -> str:
    with bench(folder) as used, pytest.raises(RefusedError) as caught:
        used.give(found)
    return caught.value.code


@pytest.mark.parametrize("found", REFUSED.values(), ids=REFUSED)
def test_a_program_cannot_have_more_than_itself_started(tmp_path: Path, found: Process) -> None:
    assert asyncio.run(refused(tmp_path, found)) == "permission"


def test_even_root_cannot_give_a_connection_of_one_user_to_another(tmp_path: Path) -> None:
    async def run() -> None:
        with bench(tmp_path, ROOT) as used, pytest.raises(RefusedError, match=f"is user {UID}'s"):
            used.give(process(uid=1, euid=1))

    asyncio.run(run())


def test_one_continuation_of_a_session_waits_and_others_are_not_even_read(tmp_path: Path) -> None:
    async def run() -> list[int]:
        with bench(tmp_path) as used:
            used.give(None)
            for _ in range(3):
                with pytest.raises(RefusedError, match="returned already"):
                    used.give(None)
            await asyncio.sleep(0)
            return used.keeper.batches

    assert asyncio.run(run()) == [1]


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "WAITING_MAX", 10_000)

    async def run() -> list[int]:
        with bench(tmp_path) as used:
            for number in range(6):
                used.give(None, session_id=number.to_bytes(16, "big"), filler=4000)
            return used.keeper.batches

    batches = asyncio.run(run())
    assert (max(batches), sum(batches)) == (3, 6)


def test_a_programs_name_is_short(tmp_path: Path) -> None:
    async def run() -> None:
        with bench(tmp_path) as used, pytest.raises(RefusedError, match="at most 255"):
            used.give(None, program="x" * 256)

    asyncio.run(run())


def test_the_first_descriptor_must_be_a_memory_file(tmp_path: Path) -> None:
    async def run() -> None:
        with bench(tmp_path) as used, duplicates([0]) as standard:
            request = ReturnContinuation(number=1, session=SESSION)
            with pytest.raises(RefusedError, match="no memory file"):
                used.returning.take(used.client, request, standard)

    asyncio.run(run())
