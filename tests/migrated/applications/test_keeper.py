"""What one user's sessions at rest may take of the daemon."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrated.applications import keeper as keeper_module
from migrated.applications import share as share_module
from migrated.applications.holding import Parcel
from migrated.applications.keeper import Keeper
from migrated.applications.wire import Descriptors
from migrated.continuations.store import ContinuationStore
from sessionlayer.continuations.values import Continuation
from tests.migrated.continuations.samples import HOST_KEY, stored

CONNECTION = SimpleNamespace(local_address="::1", local_port=1, remote_address="::1", remote_port=2)
CUSTODY: Any = SimpleNamespace(take_back=dict, keep=lambda *_: None, drop=lambda _: None)


class FakeCollected:
    """Keeps all descriptors open."""

    state = b""

    def __init__(self, kept: tuple[int, ...]) -> None:
        self.kept = kept
        self.withdrawn = False

    def release(self) -> None:
        pass

    def withdraw(self) -> None:
        self.withdrawn = True


class Bench:
    """A keeper whose sessions and disk are as simple as can be."""

    def __init__(self) -> None:
        session = SimpleNamespace(socket=SimpleNamespace(inode=1, own=None))
        core = SimpleNamespace(
            sessions=SimpleNamespace(of_id=lambda _: session),
            save=lambda _: None,
            journal=SimpleNamespace(tell=lambda *_, **__: None),
        )
        store = SimpleNamespace(entries={}, save=lambda rows: {}, remove=lambda ids: None)
        self.collected: list[FakeCollected] = []
        self.keeper = Keeper(
            cast("Any", core),
            cast("Any", store),
            cast("Any", SimpleNamespace(collect=self._collect)),
            cast("Any", SimpleNamespace(take_back=dict, keep=lambda *_: None, drop=lambda _: None)),
        )

    def _collect(self, _names: object, numbers: tuple[int, ...], *_: object) -> FakeCollected:
        self.collected.append(FakeCollected(numbers))
        return self.collected[-1]

    def close(self) -> None:
        for holding in self.keeper.holdings:
            holding.close()


def parcel(number: int, uid: int, descriptors: int) -> Parcel:
    return Parcel(
        session_id=number.to_bytes(16, "big"),
        uid=uid,
        pid=1,
        program="p",
        client=None,
        continuation=Continuation(descriptors=tuple(f"d{n}" for n in range(descriptors))),
        content=b"",
        descriptors=Descriptors(os.dup(0) for _ in range(descriptors)),
        expires_at=None,
    )


def test_one_user_cannot_have_all_descriptors_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    monkeypatch.setattr(share_module, "KEPT_SHARE", limit // 10)  # ten for each user, or a few more
    most = limit // (limit // 10)
    bench = Bench()
    first, second, third, other, nothing = (
        parcel(1, 1000, most - 2),
        parcel(2, 1000, 2),
        parcel(3, 1000, 1),
        parcel(4, 1001, most),
        parcel(5, 1000, 0),
    )
    try:
        assert not bench.keeper.put_to_rest([first])
        refused = bench.keeper.put_to_rest([second, third, other, nothing])
        assert list(refused) == [third.session_id]
        assert refused[third.session_id].code == "quota"
        assert bench.collected[2].withdrawn
        assert len(third.descriptors) == 1  # still the program's
    finally:
        third.descriptors.close()
        bench.close()


def test_continuations_of_sessions_that_are_not_on_record_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded: list[Any] = []
    monkeypatch.setattr(keeper_module, "reconcile", guarded.append)
    store = ContinuationStore(tmp_path, HOST_KEY)
    store.save([stored(1), stored(2), stored(3)])
    told: list[tuple[str, str]] = []
    journal = SimpleNamespace(
        tell=lambda name, *, level=0, owner=0, session="", **_: told.append((name, session))
    )
    discarded: list[bytes] = []
    keeper = Keeper(
        cast("Any", SimpleNamespace(journal=journal)),
        store,
        cast("Any", SimpleNamespace(discard=discarded.append)),
        CUSTODY,
    )
    record = SimpleNamespace(session_id=(2).to_bytes(16, "big"), connection=CONNECTION)

    async def start() -> None:
        keeper.reconcile([cast("Any", SimpleNamespace(record=record, inode=0))])
        await asyncio.sleep(0)

    try:
        asyncio.run(start())
        assert list(store.entries) == [record.session_id]
        assert [holding.session_id for holding in keeper.holdings] == [record.session_id]
        assert discarded == [b"tcp", b"tcp"]
        assert [name for name, _ in told] == ["ended", "ended"]
        assert len(guarded[0]) == 1
    finally:
        store.close()
