"""By which names other hosts go, with a resolver that the tests make up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import Connection, Engine, SessionDescription
from migrated import hosts
from migrated.hosts import HostNames, names_in, read_hosts, resolve
from policylang import parse_policy
from policylang.ast import Policy

PATIENCE_S = 60.0
NOBODY_KNOWS = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
GONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def policy(text: str) -> Policy:
    result = parse_policy(f"monitor-policy {{ {text} }}", "test.policy")
    assert result.policy is not None
    return result.policy


class Journal:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, name: str, **fields: Any) -> None:
        assert name == "hosts-unknown"
        self.told.append(fields)


class Bench:
    """Names, and a resolver whose answers a test changes."""

    def __init__(self, folder: Path, answers: dict[str, set[str] | OSError]) -> None:
        self.answers = answers
        self.wanted = list(answers)
        self.changes = 0
        self.journal = Journal()
        self.file = folder / "hosts"
        self._round = asyncio.Event()
        self.before_answers: Callable[[], object] = lambda: None
        fake: Any = self.journal
        self.names = HostNames(fake, self._wanted, self._changed, resolve=self._resolve, hosts_file=self.file)

    def _wanted(self) -> list[str]:
        self._round.set()
        return self.wanted

    def _changed(self) -> None:
        self.changes += 1

    def _resolve(self, name: str) -> frozenset[str]:
        self.before_answers()
        answer = self.answers[name]
        if isinstance(answer, OSError):
            raise answer
        return frozenset(answer)

    async def look(self) -> None:
        """Have everything looked up once more: the round after the next begins when the next is over."""
        for _ in range(2):
            self._round.clear()
            self.names.look()
            await self._round.wait()


@asynccontextmanager
async def followed(folder: Path, **answers: set[str] | OSError) -> AsyncIterator[Bench]:
    bench = Bench(folder, answers)
    following = asyncio.create_task(bench.names.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await bench.look()
            yield bench
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def test_the_names_of_a_policy_are_those_that_are_no_patterns() -> None:
    text = """
        define LAB = a.example, *.b.example
        on remote-host $LAB score-interface * 1
        when hour > 5 { on port 22 remote-host not c.example, "D.example." migrate never }
        else on user e.example adopt
    """
    assert names_in(policy(text)) == {"a.example", "c.example", "D.example."}


def test_an_address_goes_by_all_names_that_lead_to_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1", "fd00::1"}, b={"10.0.0.1"}) as bench:
            assert bench.names.of("10.0.0.1") == ("a", "b")
            assert bench.names.of("::ffff:10.0.0.1") == ("a", "b")
            assert bench.names.of("FD00::1") == ("a",)
            assert bench.names.of("10.0.0.2") == ()
            assert bench.journal.told == []

    asyncio.run(run())


def test_the_file_of_hosts_names_addresses_too(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        "10.0.0.1\tc a # the printer\nfd00::0:1 d\n10.0.0.1 e\nnonsense f\n\n# g\n"
    )

    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1"}) as bench:
            assert bench.names.of("10.0.0.1") == ("a", "c", "e")
            assert bench.names.of("fd00::1") == ("d",)

    asyncio.run(run())


def test_whoever_waits_is_told_when_names_change_and_only_then(tmp_path: Path) -> None:
    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1"}) as bench:
            assert bench.changes == 1
            await bench.look()
            assert bench.changes == 1
            bench.answers["a"] = {"10.0.0.2"}
            await bench.look()
            assert bench.changes == 2
            assert (bench.names.of("10.0.0.1"), bench.names.of("10.0.0.2")) == ((), ("a",))

    asyncio.run(run())


def test_names_that_no_policy_wants_any_more_are_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1"}) as bench:
            bench.wanted = []
            await bench.look()
            assert bench.names.of("10.0.0.1") == ()

    asyncio.run(run())


def test_a_resolver_that_fails_is_told_once_and_takes_nothing_away(tmp_path: Path) -> None:
    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1"}, b=GONE) as bench:
            bench.answers["a"] = NOBODY_KNOWS
            await bench.look()
            await bench.look()
            assert bench.names.of("10.0.0.1") == ("a",)
            assert [(told["hosts"], told["reason"]) for told in bench.journal.told] == [
                (["b"], "name or service not known"),
                (["a"], "temporary failure in name resolution"),
            ]
            bench.answers["a"] = {"10.0.0.1"}
            await bench.look()
            bench.answers["a"] = NOBODY_KNOWS
            await bench.look()
            assert len(bench.journal.told) == 3

    asyncio.run(run())


def test_a_name_that_is_gone_has_no_addresses(tmp_path: Path) -> None:
    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1"}) as bench:
            bench.answers["a"] = GONE
            await bench.look()
            assert bench.names.of("10.0.0.1") == ()

    asyncio.run(run())


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let a test set free the resolver that keeps it waiting."""
    monkeypatch.setattr(hosts, "RESOLVE_S", 0.05)
    monkeypatch.setattr(hosts, "LOOKUPS_MAX", 2)
    free = threading.Event()
    yield free
    free.set()


def test_a_resolver_that_does_not_answer_keeps_few_threads_and_nobody_waiting(
    tmp_path: Path, stuck: threading.Event
) -> None:
    def resolving() -> int:
        return sum(thread.name.startswith("resolve ") for thread in threading.enumerate())

    async def run() -> None:
        bench = Bench(tmp_path, {name: {"10.0.0.1"} for name in "abcde"})
        bench.before_answers = lambda: stuck.wait(PATIENCE_S)
        following = asyncio.create_task(bench.names.run())
        await bench.look()
        assert resolving() == 2
        assert len(bench.journal.told[0]["hosts"]) == 5
        assert "gives no answer" in bench.journal.told[0]["reason"]
        stuck.set()
        while bench.names.of("10.0.0.1") != tuple("abcde"):
            await bench.look()
        following.cancel()

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


def test_a_policy_with_too_many_names_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "NAMES_MAX", 2)

    async def run() -> None:
        async with followed(tmp_path, a={"10.0.0.1"}, b={"10.0.0.1"}, c={"10.0.0.1"}) as bench:
            assert bench.names.of("10.0.0.1") == ("a", "b")
            assert [told["hosts"] for told in bench.journal.told] == [["c"]]

    asyncio.run(run())


def test_a_file_of_hosts_that_is_not_there_names_nothing(tmp_path: Path) -> None:
    assert read_hosts(tmp_path / "none") == {}


def test_an_address_is_a_name_of_its_own() -> None:
    assert resolve("10.0.0.1") == {"10.0.0.1"}
    assert resolve("fd00::01") == {"fd00::1"}


@pytest.mark.parametrize("name", ["x" * 64 + ".example", ".", "a..b"])
def test_what_can_be_no_name_is_an_error_like_others(name: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        resolve(name)


def test_names_decide_whether_a_connection_is_adopted() -> None:
    engine = Engine(policy("on remote-host A.example., *.b.example adopt"))

    def adopted(*names: str) -> bool:
        connection = Connection(
            proto="tcp",
            local_address="10.0.0.5",
            local_port=1,
            remote_address="10.0.0.1",
            remote_port=2,
            remote_hosts=names,
        )
        return engine.adopts(SessionDescription(id="x", connections=(connection,))).adopt

    assert adopted("c", "a.EXAMPLE")
    assert adopted("x.b.example")
    assert not adopted("b.example")
    assert not adopted()
