"""The daemon as its monitors see it, asked from its own loop and from others."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from engine import AttachmentPoint
from migrated.core import Core
from migrated.peers import Peer
from migrated.sessions import ManagedSession, SessionTable
from migrated.surroundings import DaemonSurroundings
from monitors.surroundings import KeepAlive, Surroundings, WatchedPath
from sessionlayer.protocol.association import Association
from sessionlayer.protocol.commands import Command, ProbeAnswered, SendDatagram
from sessionlayer.protocol.values import Path as DatagramPath
from tests.migrated.test_peers import peers_in
from tests.migrated.test_watched import ETH, OTHER, PEER, WIFI, move, point, session
from tests.sessionlayer.protocol.pairs import UDP_PORT, host_keys, shake_hands

T = TypeVar("T")
PATIENCE_S = 60.0
OVER_ETH = WatchedPath(interface="eth0", local_address=ETH[1], peer=PEER, in_use=True)


@dataclass
class FakeEngine:
    there: tuple[AttachmentPoint, ...] = (point(ETH), point(WIFI))

    def points(self) -> tuple[AttachmentPoint, ...]:
        return self.there


@dataclass
class FakeCore:
    """The parts of the core that are asked for, and a peer's daemon at the end of a wire."""

    there: Association
    engine: FakeEngine = field(default_factory=FakeEngine)
    sessions: SessionTable = field(default_factory=SessionTable)
    sent: list[DatagramPath] = field(default_factory=list)
    answers: bool = True
    answered: Callable[[Peer, ProbeAnswered], None] = field(init=False)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def perform(self, peer: Peer, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, SendDatagram):
                self.sent.append(command.path)
                if self.answers:
                    asyncio.get_running_loop().call_soon(self._deliver, peer, command)
            elif isinstance(command, ProbeAnswered):
                self.answered(peer, command)

    def _deliver(self, peer: Peer, question: SendDatagram) -> None:
        arrived = DatagramPath(local_address=PEER, remote_address=ETH[1], remote_port=UDP_PORT)
        for answer in self.there.receive(question.data, arrived, self.now()):
            if isinstance(answer, SendDatagram):
                self.perform(peer, peer.association.receive(answer.data, question.path, self.now()))


@dataclass
class Stage:
    """A daemon with one peer, and what its monitors see."""

    core: FakeCore
    peer: Peer
    surroundings: DaemonSurroundings

    def session(self, number: int, peer: str = PEER) -> ManagedSession:
        made = session(number, peer=peer, key=self.peer.key)
        self.core.sessions.add(made)
        return made

    async def looked(self) -> None:
        """Have the daemon say that it has done something, and wait until monitors can see it."""
        self.surroundings.look(self.core.engine.points())
        async with asyncio.timeout(PATIENCE_S):
            await self.surroundings.changed()


def on_stage(tmp_path: Path, script: Callable[[Stage], Awaitable[T]]) -> T:
    async def run() -> T:
        rng = random.Random(1)
        peers = peers_in(tmp_path / "state")
        keys = (peers.host_key, host_keys(rng)[1])
        both = shake_hands(rng, keys, (ETH[1], PEER))
        way = DatagramPath(local_address=PEER, remote_address=ETH[1], remote_port=UDP_PORT)
        now = asyncio.get_running_loop().time()
        core = FakeCore(there=Association(both[1], path=way, entropy=rng.randbytes, now=now))
        surroundings = DaemonSurroundings(settings={"wifi": {"every_s": 5}}, state_folder=tmp_path / "state")
        assert (*surroundings.connections(), *surroundings.paths(), *surroundings.peers()) == ()
        surroundings.begin(cast("Core", core), peers, lambda: KEEP_ALIVES)
        core.answered = surroundings.on_answered
        stage = Stage(core, peers._established(both[0], PEER, ETH[1]), surroundings)
        return await script(stage)

    return asyncio.run(run())


KEEP_ALIVES = (KeepAlive(session="aa", healthy=True, well_at=1.0),)


async def turns() -> None:
    """Let the loop do all that can be done at once."""
    for _ in range(5):
        await asyncio.sleep(0)


def elsewhere(asked: Callable[[], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
    """Run something in a thread and a loop of its own, as a plugin's monitor is run.

    It is given up by itself: a thread can't be cancelled, and `asyncio.run` waits for it.
    """
    return asyncio.to_thread(lambda: asyncio.run(asyncio.wait_for(asked(), 2 * PATIENCE_S)))


def test_it_is_what_monitors_expect(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        seen: Surroundings = stage.surroundings
        assert (seen.settings("wifi"), seen.settings("probe")) == ({"every_s": 5}, {})
        assert (seen.state_folder, seen.keep_alives()) == (tmp_path / "state", KEEP_ALIVES)

    on_stage(tmp_path, script)


def test_sessions_are_seen_and_their_peer_and_when_it_was_heard(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        made = stage.session(1)
        await stage.looked()
        (peer,) = stage.surroundings.peers()
        assert (peer.name, peer.sessions) == (PEER, (made.name,))
        assert peer.heard_at == stage.peer.association.heard_at
        assert [seen.session for seen in stage.surroundings.connections()] == [made.name]
        assert [path.interface for path in stage.surroundings.paths()] == ["eth0", "wlan0"]

    on_stage(tmp_path, script)


def test_a_point_that_comes_or_goes_is_noticed_without_a_change_of_sessions(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        stage.session(1)
        await stage.looked()
        stage.core.engine.there = (point(ETH),)
        await stage.looked()
        assert [path.interface for path in stage.surroundings.paths()] == ["eth0"]

    on_stage(tmp_path, script)


def test_nobody_is_woken_for_nothing(tmp_path: Path) -> None:
    async def script(stage: Stage) -> bool:
        made = stage.session(1)
        await stage.looked()
        waiting = asyncio.create_task(stage.surroundings.changed())
        stage.core.sessions.touch(made)
        other = stage.session(2)
        stage.core.sessions.remove(other)
        await turns()
        stage.surroundings._look()
        await turns()
        waiting.cancel()
        return waiting.done()

    assert not on_stage(tmp_path, script)


def test_a_change_wakes_those_who_wait_in_other_threads(tmp_path: Path) -> None:
    async def script(stage: Stage) -> tuple[str, ...]:
        waits = threading.Event()

        async def monitor() -> tuple[str, ...]:
            assert stage.surroundings.connections() == ()
            asyncio.get_running_loop().call_soon(waits.set)
            await stage.surroundings.changed()
            return tuple(each.session for each in stage.surroundings.connections())

        seen = asyncio.create_task(elsewhere(monitor))
        await asyncio.to_thread(waits.wait, PATIENCE_S)
        stage.session(1)
        stage.surroundings.look()
        async with asyncio.timeout(PATIENCE_S):
            return await seen

    assert on_stage(tmp_path, script) == (session(1).name,)


@pytest.mark.parametrize("wait", [lambda c: c, lambda c: asyncio.wait_for(c, PATIENCE_S)])
def test_what_changed_between_a_look_and_the_wait_is_not_missed_and_told_once(
    tmp_path: Path, wait: Callable[[Coroutine[Any, Any, None]], Awaitable[None]]
) -> None:
    async def script(stage: Stage) -> bool:
        stage.surroundings.paths()
        stage.surroundings.touched()
        async with asyncio.timeout(PATIENCE_S):
            await wait(stage.surroundings.changed())
        again = asyncio.create_task(stage.surroundings.changed())
        await turns()
        again.cancel()
        return again.done()

    assert not on_stage(tmp_path, script)


def test_a_thread_that_has_ended_in_mid_wait_harms_nobody(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async def monitor() -> None:
            asyncio.ensure_future(stage.surroundings.changed())  # noqa: RUF006 - cancelled with the loop
            await asyncio.sleep(0)

        await elsewhere(monitor)
        loop = asyncio.new_event_loop()
        stage.surroundings._waiting.add((loop, asyncio.Event()))  # as of one that was never cancelled
        loop.close()
        stage.session(1)
        await stage.looked()

    on_stage(tmp_path, script)


@pytest.mark.parametrize("far", [False, True], ids=["the daemon's loop", "another thread"])
def test_a_probe_measures_the_round_trip(tmp_path: Path, far: bool) -> None:
    async def script(stage: Stage) -> float | None:
        stage.session(1)
        await stage.looked()
        asked = stage.surroundings.probe
        if far:
            return await elsewhere(lambda: asked(OVER_ETH, PATIENCE_S))
        return await asked(OVER_ETH, PATIENCE_S)

    rtt_s = on_stage(tmp_path, script)
    assert rtt_s is not None
    assert 0.0 <= rtt_s < PATIENCE_S


def test_a_probe_goes_to_where_the_peer_is_now(tmp_path: Path) -> None:
    async def script(stage: Stage) -> list[DatagramPath]:
        made = stage.session(1)
        assert made.restored is not None
        moved = made.restored.connection.with_remote("198.51.100.7", 22)
        made.restored = replace(made.restored, connection=moved)
        await stage.looked()
        await stage.surroundings.probe(OVER_ETH, PATIENCE_S)
        return stage.core.sent

    (sent,) = on_stage(tmp_path, script)
    assert sent == DatagramPath(local_address=ETH[1], remote_address="198.51.100.7", remote_port=UDP_PORT)


def test_a_probe_of_a_silent_peer_is_sent(tmp_path: Path) -> None:
    async def script(stage: Stage) -> float | None:
        stage.session(1)
        stage.peer.silent = True
        await stage.looked()
        return await stage.surroundings.probe(OVER_ETH, PATIENCE_S)

    assert on_stage(tmp_path, script) is not None


def test_a_probe_without_an_answer_is_over_after_its_time(tmp_path: Path) -> None:
    async def script(stage: Stage) -> float | None:
        stage.session(1)
        await stage.looked()
        stage.core.answers = False
        answer = await stage.surroundings.probe(OVER_ETH, 0.05)
        assert stage.surroundings._awaited == {}
        return answer

    assert on_stage(tmp_path, script) is None


@pytest.mark.parametrize("peer", [OTHER, "203.0.113.1"], ids=["no association", "no session"])
def test_a_probe_of_whom_nobody_knows_is_not_sent(tmp_path: Path, peer: str) -> None:
    async def script(stage: Stage) -> tuple[float | None, int]:
        stage.core.sessions.add(session(2, peer=OTHER))
        await stage.looked()
        path = WatchedPath(interface="eth0", local_address=ETH[1], peer=peer, in_use=False)
        return await stage.surroundings.probe(path, 0.01), len(stage.core.sent)

    assert on_stage(tmp_path, script) == (None, 0)


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        stage.session(1)
        await stage.looked()
        asking = asyncio.create_task(stage.surroundings.probe(OVER_ETH, PATIENCE_S))
        await asyncio.sleep(0)
        asking.cancel()
        await turns()
        assert asking.cancelled()
        assert (len(stage.core.sent), stage.surroundings._awaited) == (1, {})

    on_stage(tmp_path, script)


def test_a_move_is_seen(tmp_path: Path) -> None:
    async def script(stage: Stage) -> list[tuple[str, bool]]:
        made = stage.session(1)
        await stage.looked()
        move(stage.core.sessions, made, WIFI)
        await stage.looked()
        return [(path.interface, path.in_use) for path in stage.surroundings.paths()]

    assert on_stage(tmp_path, script) == [("wlan0", True), ("eth0", False)]
