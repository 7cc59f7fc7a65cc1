"""The first gateway that answers is used, and nobody waits for long for one that does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from migrated.streams import choosing
from migrated.streams.addresses import Endpoint
from migrated.streams.choosing import CANDIDATE_S, first_that_answers
from migrated.streams.client import Gateway
from migrated.streams.outcomes import Outcome, StreamProgramError
from tests.sessionlayer.aio.fake_clock import run

A, B, C = (Gateway(place=Endpoint(host, 6448)) for host in "abc")
DOWN = StreamProgramError("cannot reach it", Outcome.UNREACHABLE)
STRANGER = StreamProgramError("it refuses", Outcome.UNTRUSTED)
SILENT = None
UP = object()


class World:
    """Gateways that answer as they are told, what is said of them, and how long it took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.said: list[str] = []
        self.took_s = 0.0
        monkeypatch.setattr(choosing, "associate", self._associate)

    async def _associate(self, gateway: Gateway, *_: Any, **__: Any) -> Any:
        self.asked.append(gateway.place.host)
        answer = self.answers[gateway.place.host]
        if answer is SILENT:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, StreamProgramError):
            raise answer
        return answer

    def choose(self, *gateways: Gateway) -> tuple[Gateway, object]:
        async def work() -> tuple[Gateway, object]:
            began = asyncio.get_running_loop().time()
            try:
                return await first_that_answers(gateways, self.said.append)
            finally:
                self.took_s = asyncio.get_running_loop().time() - began

        found: list[tuple[Gateway, object]] = []

        async def play() -> None:
            found.append(await work())

        run(play())
        return found[0]


def test_the_first_is_used_if_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a=UP, b=UP)
    assert world.choose(A, B) == (A, UP)
    assert (world.asked, world.said) == (["a"], [])


def test_the_next_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a=DOWN, b=SILENT, c=UP)
    assert world.choose(A, B, C) == (C, UP)
    assert world.took_s == pytest.approx(CANDIDATE_S, abs=0.1)
    assert world.said == [
        "cannot reach it; trying b:6448",
        "cannot reach the gateway b:6448 within 4 s; trying c:6448",
        "going through the gateway c:6448",
    ]


def test_one_that_is_not_trusted_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a=STRANGER, b=UP)
    with pytest.raises(StreamProgramError, match="it refuses") as caught:
        world.choose(A, B)
    assert caught.value.outcome is Outcome.UNTRUSTED
    assert world.asked == ["a"]


def test_it_is_said_that_none_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a=DOWN, b=DOWN)
    with pytest.raises(StreamProgramError, match="cannot reach it; none of the 2 gateways answers") as caught:
        world.choose(A, B)
    assert caught.value.outcome is Outcome.UNREACHABLE


def test_a_single_one_fails_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a=DOWN)
    with pytest.raises(StreamProgramError, match=r"^cannot reach it$"):
        world.choose(A)
