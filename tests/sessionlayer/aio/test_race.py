"""Attempts to connect that overlap, against a port that does not answer."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sessionlayer.aio import race
from tests.sessionlayer.aio.fake_clock import run
from tests.sessionlayer.aio.pairs import LOOPBACK


class Network:
    """Attempts, in the order in which they were made; the test decides how each one ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts: list[asyncio.Future[socket.socket]] = []
        monkeypatch.setattr(race, "connect_tcp", self.connect)

    async def connect(self, _host: str, _port: int) -> socket.socket:
        attempt: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self.attempts.append(attempt)
        return await attempt


def test_a_further_attempt_starts_every_second_and_any_of_them_may_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        racing = asyncio.create_task(race.race_to_connect((LOOPBACK, 1), race.Hint()))
        await asyncio.sleep(1.5)
        assert len(network.attempts) == 2
        with socket.socket() as sock:
            network.attempts[0].set_result(sock)
            assert await racing is sock
        await asyncio.sleep(0)
        assert network.attempts[1].cancelled()

    run(main())


def test_a_hint_starts_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network, hint = Network(monkeypatch), race.Hint()
        racing = asyncio.create_task(race.race_to_connect((LOOPBACK, 1), hint))
        await asyncio.sleep(0.1)
        hint.give()
        await asyncio.sleep(0.1)
        assert len(network.attempts) == 2
        racing.cancel()
        await asyncio.wait({racing})
        await asyncio.sleep(0)
        assert all(attempt.cancelled() for attempt in network.attempts)

    run(main())


def test_failure_and_silence_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        racing = asyncio.create_task(race.race_to_connect((LOOPBACK, 1), race.Hint()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        network.attempts[0].set_exception(ConnectionRefusedError("nobody there"))
        with pytest.raises(ConnectionRefusedError):
            await racing
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await race.race_to_connect((LOOPBACK, 1), race.Hint())
        assert 2.9 < asyncio.get_running_loop().time() - began < 3.5

    run(main())
