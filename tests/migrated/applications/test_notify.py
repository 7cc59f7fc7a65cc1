"""What programs hear under `notify` and `ignore`, and what `when` changes for live sessions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine import Connection, Engine, SessionDescription
from migrated.applications.service import Applications
from migrated.continuations.store import ContinuationStore
from migrated.resources import discover as discover_resources
from migrated.sessions import Condition
from monitors.events import FactMeasured
from policylang import parse_policy
from sessionlayer.application.messages import (
    Denied,
    Ended,
    Freeze,
    Granted,
    KeepRunning,
    RegisterHandler,
    Resume,
    Suspend,
)
from sessionlayer.protocol.keys import HostKey
from tests.migrated.applications.programs import Program, program

SESSION = bytes(range(16))


class Bench:
    """A suspended session of a program that has registered a handler, under a policy."""

    def __init__(self, folder: Path, policy: str) -> None:
        result = parse_policy(f"monitor-policy {{ {policy} }}", "test.policy")
        assert result.policy is not None
        self.engine = Engine(result.policy)
        connection = Connection(
            proto="tcp",
            local_address="10.0.0.5",
            local_port=40000,
            remote_address="18.31.0.9",
            remote_port=22,
        )
        description = SessionDescription(id=SESSION.hex(), connections=(connection,))
        self.engine.add_session(description, ("eth0", "10.0.0.5"), 0.0)
        self.session: Any = SimpleNamespace(
            session_id=SESSION,
            name=SESSION.hex(),
            short=SESSION.hex()[:8],
            uid=os.getuid(),
            peer=None,
            program="test",
            condition=Condition.LIVE,
            because=("no link",),
            frozen=False,
            departing=None,
            since=1000.0,
            description=description,
        )
        core = SimpleNamespace(
            engine=self.engine,
            sessions=SimpleNamespace(of_id={SESSION: self.session}.get),
            journal=SimpleNamespace(tell=lambda *_, **__: None),
            now=lambda: 0.0,
        )
        self.applications = Applications(
            cast("Any", core),
            folder / "application.sock",
            lambda inode: None,
            expected=lambda inode: False,
            store=ContinuationStore(folder / "state", HostKey.generate(os.urandom)),
            resources=discover_resources(plugins=False),
            health_changed=lambda: None,
        )

    def suspend(self) -> None:
        self.session.condition, self.session.frozen = Condition.SUSPENDED, True
        self.applications.suspended(self.session)

    def resume(self) -> None:
        self.session.condition, self.session.frozen = Condition.LIVE, False
        self.applications.live(self.session)

    def end(self) -> None:
        self.applications.ended(self.session, "lost", "its connection has ended")


@asynccontextmanager
async def attached(folder: Path, policy: str, *, lazy: bool = False) -> AsyncIterator[tuple[Bench, Program]]:
    bench = Bench(folder, policy)
    bench.applications.start((), guarded=False)
    try:
        async with program(folder) as someone, asyncio.timeout(60):
            someone.say(RegisterHandler(number=1, session=SESSION, lazy=lazy))
            assert await someone.hear() == Granted(number=1)
            yield bench, someone
    finally:
        bench.applications.close()


def suspension(*, required: bool) -> Suspend:
    return Suspend(session=SESSION, because=("no link",), deadline_s=10.0, required=required)


END = Ended(session=SESSION, code="lost", reason="its connection has ended")

Play = Callable[[Bench, Program], Awaitable[None]]


def play(folder: Path, policy: str, script: Play, *, lazy: bool = False) -> None:
    async def run() -> None:
        async with attached(folder, policy, lazy=lazy) as (bench, someone):
            await script(bench, someone)

    asyncio.run(run())


@pytest.mark.parametrize("policy", ["resume lazy", "ignore resume lazy notify"])
def test_news_is_told_under_notify(tmp_path: Path, policy: str) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.suspend()
        assert await someone.hear() == suspension(required=False)
        bench.resume()
        assert await someone.hear() == Resume(session=SESSION)
        bench.end()
        assert await someone.hear() == END

    play(tmp_path, policy, script)


@pytest.mark.parametrize(("policy", "lazy"), [("resume lazy ignore", False), ("ignore", True)])
def test_ignore_swallows_the_news_but_not_the_end(tmp_path: Path, policy: str, lazy: bool) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.suspend()
        bench.resume()
        bench.end()
        assert await someone.hear() == END

    play(tmp_path, policy, script, lazy=lazy)


def test_a_continuation_is_asked_for_under_ignore_and_its_program_hears_the_rest(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.suspend()
        assert await someone.hear() == suspension(required=True)
        someone.say(KeepRunning(session=SESSION))
        someone.say(Freeze(number=2, session=SESSION))
        assert await someone.hear() == suspension(required=True)
        assert await someone.hear() == Granted(number=2)
        bench.resume()
        assert await someone.hear() == Resume(session=SESSION)

    play(tmp_path, "ignore", script)


def test_who_did_not_hear_of_a_suspension_is_asked_when_it_is_needed(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.suspend()
        stopping = asyncio.create_task(bench.applications.stop())
        assert await someone.hear() == suspension(required=True)
        someone.say(KeepRunning(session=SESSION))
        await stopping
        bench.resume()
        assert await someone.hear() == Resume(session=SESSION)

    play(tmp_path, "resume lazy ignore", script)


def test_who_did_not_hear_of_a_suspension_has_nothing_to_answer(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.suspend()
        someone.say(KeepRunning(session=SESSION))
        answer = await someone.hear()
        assert isinstance(answer, Denied)
        assert answer.code == "not-suspended"

    play(tmp_path, "resume lazy ignore", script)


def test_a_fact_of_the_moment_decides_what_is_told(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.suspend()
        bench.resume()
        bench.engine.handle(FactMeasured(fact="keepalive-age", value=90.0, session=SESSION.hex()), 1.0)
        bench.suspend()
        assert await someone.hear() == suspension(required=False)

    play(tmp_path, "resume lazy ignore when keepalive-age > 60s notify", script)


def test_a_fact_of_the_moment_decides_when_a_session_expires(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "expire after 100s when keepalive-age > 60s expire after 10s")
    lifetimes = bench.applications._lifetimes
    assert lifetimes.expires_at(bench.session) == 1100.0
    bench.engine.handle(FactMeasured(fact="keepalive-age", value=90.0, session=SESSION.hex()), 1.0)
    assert lifetimes.expires_at(bench.session) == 1010.0


def test_a_fact_of_the_moment_decides_whether_a_continuation_is_asked_for(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        bench.engine.handle(FactMeasured(fact="keepalive-age", value=90.0, session=SESSION.hex()), 1.0)
        bench.suspend()
        assert await someone.hear() == suspension(required=True)
        bench.resume()
        assert await someone.hear() == Resume(session=SESSION)

    play(tmp_path, "resume lazy when keepalive-age > 60s resume eager", script)
