"""Segments of connections without a socket are dropped, and others are not."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from migrated.kernel.endpoint import EndPoint
from migrated.kernel.guard import (
    Ends,
    GuardError,
    guard,
    guarded,
    prepare_guard,
    reconcile,
    remove_if_empty,
    unguard,
)
from migrated.kernel.nfset import ELEMENTS_MAX
from migrated.lab import Lab, is_privileged

T = TypeVar("T")
Inside = Callable[[Callable[[], T]], T]

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        not (is_privileged() and shutil.which("nft")), reason="needs `unshare -Ur` and nftables"
    ),
]


@pytest.fixture
def inside() -> Iterator[Inside[object]]:
    with Lab() as lab:
        yield lab.host("alone").call


def ends(number: int) -> Ends:
    return Ends(
        local=EndPoint(address=f"10.0.{number >> 8}.{number & 255}", port=22),
        remote=EndPoint(address="192.0.2.1", port=1000 + number),
    )


SIX = Ends(local=EndPoint(address="fd00::1", port=8000), remote=EndPoint(address="fd00::2", port=40000))


def test_what_is_guarded_is_told(inside: Inside[object]) -> None:
    def work() -> None:
        assert guarded() == frozenset()
        guard([ends(1), ends(2), SIX])
        guard([ends(2)])
        assert guarded() == {ends(1), ends(2), SIX}
        unguard([ends(2), ends(3)])
        assert guarded() == {ends(1), SIX}

    inside(work)


def test_a_starting_daemon_sets_it_right(inside: Inside[object]) -> None:
    def work() -> None:
        guard([ends(1), ends(2)])
        reconcile([ends(2), SIX])
        assert guarded() == {ends(2), SIX}

    inside(work)


def test_the_table_stays_until_it_is_empty(inside: Inside[object]) -> None:
    def work() -> None:
        remove_if_empty()
        guard([ends(1)])
        prepare_guard()
        remove_if_empty()
        assert guarded() == {ends(1)}
        unguard([ends(1)])
        remove_if_empty()
        unguard([ends(1)])
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
        assert tables.stdout == ""

    inside(work)


def test_ten_thousand_at_once(inside: Inside[object]) -> None:
    many = [ends(number) for number in range(10 * ELEMENTS_MAX)]

    def work() -> None:
        guard(many)
        assert guarded() == frozenset(many)
        unguard(many)
        assert guarded() == frozenset()

    inside(work)


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_segments_for_guarded_ends_get_no_answer(
    inside: Inside[object], family: socket.AddressFamily, address: str
) -> None:
    def work() -> None:
        with socket.create_server((address, 0), family=family) as listener:
            port = listener.getsockname()[1]
            client = socket.socket(family)
            client.bind((address, 0))
            gone = Ends(
                local=EndPoint(address=address, port=port),
                remote=EndPoint(address=address, port=client.getsockname()[1]),
            )
            guard([gone])
            client.setblocking(False)
            assert client.connect_ex((address, port)) != 0
            with socket.create_connection((address, port)) as other:
                accepted, peer = listener.accept()
                assert peer[:2] == other.getsockname()[:2]  # ours came first, and was not heard
                accepted.close()
            client.close()

    inside(work)


def test_without_nft_nothing_is_released(inside: Inside[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(GuardError, match="install nftables"):
        inside(lambda: guard([ends(1)]))
