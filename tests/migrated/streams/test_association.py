"""Connections wait for an association that may come back, but not for long for a gateway that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from migrated.streams import choosing as module
from migrated.streams.addresses import Endpoint
from migrated.streams.association import PATIENCE_S, Association
from migrated.streams.client import Gateway
from migrated.streams.outcomes import Outcome, StreamProgramError
from tests.sessionlayer.aio.fake_clock import run

GATEWAY = Gateway(place=Endpoint("gateway.example", 6448))
REFUSED = StreamProgramError("cannot reach the gateway: connection refused", Outcome.UNREACHABLE)
STRANGER = StreamProgramError("the gateway refuses: stranger", Outcome.UNTRUSTED)


@dataclass
class FakeSession:
    state: str = "connected"

    def on_event(self, _: object) -> None:
        """Hear of outages, of which there are none."""


class World:
    """A gateway that answers as it is told, what is said of it, and when it was asked."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *answers: FakeSession | StreamProgramError | None
    ) -> None:
        self.answers = list(answers)
        self.said: list[str] = []
        self.asked_at: list[float] = []
        monkeypatch.setattr(module, "associate", self._associate)

    async def _associate(self, *_: object, close_s: float) -> FakeSession:
        self.asked_at.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, StreamProgramError):
            raise answer
        assert answer is not None
        return answer

    def play(self, story: Callable[[Association], Awaitable[None]]) -> None:
        async def work() -> None:
            association = Association([GATEWAY], self.said.append)
            await association.begin()
            self.asked_at.clear()
            await story(association)

        run(work())


async def refusal(association: Association) -> tuple[float, str]:
    """Return after how many seconds there is no session, and why."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(StreamProgramError) as caught:
        await association.session()
    return loop.time() - began, str(caught.value)


def test_a_gateway_that_is_gone_lets_nobody_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeSession("closed"), REFUSED)

    async def story(association: Association) -> None:
        for _ in range(2):
            world.asked_at.clear()
            (waited, why), (late, _) = await asyncio.gather(refusal(association), refusal(association))
            assert waited == pytest.approx(PATIENCE_S, abs=0.5)
            assert late == pytest.approx(PATIENCE_S, abs=0.5)
            assert why == "cannot reach the gateway gateway.example:6448 within 10 s"
            gaps = [b - a for a, b in zip(world.asked_at, world.asked_at[1:], strict=False)]
            assert gaps[:3] == pytest.approx([1, 2, 4], abs=0.3)

    world.play(story)
    assert world.said == [f"{REFUSED} (tried again for connections that need it)"]


def test_a_gateway_that_says_nothing_lets_nobody_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeSession("closed"), None)

    async def story(association: Association) -> None:
        waited, why = await refusal(association)
        assert waited == pytest.approx(PATIENCE_S, abs=0.5)
        assert "within 10 s" in why

    world.play(story)


def test_a_gateway_that_comes_back_is_used_by_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    back = FakeSession()
    world = World(monkeypatch, FakeSession("closed"), REFUSED, REFUSED, back)

    async def story(association: Association) -> None:
        found: list[object] = list(await asyncio.gather(association.session(), association.session()))
        assert found == [back, back]
        assert len(world.asked_at) == 3

    world.play(story)
    assert world.said[1:] == ["the gateway gateway.example:6448 answers again"]


def test_a_gateway_that_refuses_us_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeSession("closed"), STRANGER)

    async def story(association: Association) -> None:
        for _ in range(3):
            waited, _ = await refusal(association)
            assert waited < 0.5

    world.play(story)
    assert world.said == [f"{STRANGER} (tried again for connections that need it)"]


def test_a_session_that_is_suspended_is_the_one_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    suspended = FakeSession("suspended")
    world = World(monkeypatch, suspended)

    async def story(association: Association) -> None:
        session: object = await association.session()
        assert session is suspended

    world.play(story)
    assert world.asked_at == []
