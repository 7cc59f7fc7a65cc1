"""What is in force after a save, and what it does to what is under way."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine import Connection, Move, SessionDescription
from migrated.policies import PolicyInForce, Reading
from migrated.watching import folders as folders_module
from migrated.watching import watcher as watcher_module
from monitors.events import AddressPresent, LinkState, OperState
from policylang.loader import PolicyFile
from tests.migrated.watching.follower import IN_FORCE_S, WAIT_S, Follower, following
from tests.migrated.watching.styles import in_place, policy, replaced_folder, write_and_rename

pytestmark = pytest.mark.alone

A_WHILE_S = 0.6
"""Longer than a save takes to be in force."""


def play(file: Path, scene: Callable[[Follower], Awaitable[None]]) -> None:
    async def played() -> None:
        async with following(file.parent / "*.policy") as follower:
            await scene(follower)

    asyncio.run(played())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.d" / "a.policy"
    file.parent.mkdir()
    file.write_text(policy(1))
    return file


def test_a_mistake_keeps_the_old_policy_and_a_good_file_is_taken_afterwards(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(follower: Follower) -> None:
        begun = time.time()
        await asyncio.to_thread(in_place, file, "monitor-policy { marjin 3 }\n")
        took = [await follower.until(lambda: follower.policies.last_error != "")]
        assert follower.policies.last_error.startswith(f"{file}:1:18: ")
        assert (follower.texts(), follower.policies.generation) == (policy(1), 1)
        report = follower.policies.report()
        assert report.last_error_at is not None
        assert begun - 1 <= report.last_error_at <= time.time() + 1
        took.append(await follower.in_force_after(policy(2), in_place, file, policy(2)))
        assert (follower.policies.last_error, follower.policies.generation) == ("", 2)
        assert follower.policies.report().last_error_at is None
        assert max(took) <= IN_FORCE_S, took

    caplog.set_level(logging.INFO)
    play(file, scene)
    told = [record.message for record in caplog.records if record.name == "migrated"]
    assert told == ["policy-refused", "policy-loaded"]


def test_a_mistake_that_is_taken_back_is_no_new_policy(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(follower: Follower) -> None:
        before = follower.policies.policy
        await asyncio.to_thread(in_place, file, "monitor-policy {\n")
        await follower.until(lambda: follower.policies.last_error != "")
        await asyncio.to_thread(in_place, file, policy(1))
        assert await follower.until(lambda: not follower.policies.last_error) <= IN_FORCE_S
        assert follower.policies.policy is before

    caplog.set_level(logging.INFO)
    play(file, scene)
    told = [record.message for record in caplog.records if record.name == "migrated"]
    assert told == ["policy-refused", "policy-restored"]


def test_a_file_that_says_the_same_is_not_loaded_again_unless_it_must(file: Path) -> None:
    async def scene(follower: Follower) -> None:
        await asyncio.to_thread(file.touch)
        await asyncio.to_thread(write_and_rename, file, policy(1))
        await asyncio.sleep(A_WHILE_S)
        assert follower.policies.generation == 1
        follower.reloader.reload()
        assert await follower.until(lambda: follower.policies.generation == 2) <= IN_FORCE_S

    play(file, scene)


def test_half_a_file_is_never_in_force(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "OPEN_S", 60.0)  # however long it takes to write it
    whole = policy(1) + "monitor-policy { margin 9 }\n"

    async def scene(follower: Follower) -> None:
        seen = set()

        async def write_in_parts() -> None:
            with file.open("w") as opened:
                for part in ("", policy(1), "monitor-policy {", " margin 9 }\n"):
                    opened.write(part)
                    opened.flush()
                    for _ in range(10):
                        await asyncio.sleep(0.04)
                        seen.add((follower.texts(), follower.policies.last_error))

        await write_in_parts()
        took = await follower.until(lambda: follower.texts() == whole)
        assert seen == {(policy(1), "")}
        assert took <= IN_FORCE_S

    play(file, scene)


def test_a_program_that_never_closes_its_file_is_not_waited_for_ever(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "OPEN_S", 0.5)

    async def scene(follower: Follower) -> None:
        with file.open("w") as opened:
            opened.write(policy(2))
            opened.flush()
            begun = time.monotonic()
            took = await follower.until(lambda: follower.texts() == policy(2))
        assert time.monotonic() - begun >= 0.4
        assert took <= 1.5

    play(file, scene)


def test_a_file_that_is_open_in_a_folder_that_is_gone_is_not_waited_for(file: Path) -> None:
    async def scene(follower: Follower) -> None:
        with file.open("w") as opened:
            opened.write("monitor-policy {")
            opened.flush()
            await asyncio.sleep(0.1)
            assert await follower.in_force_after(policy(2), replaced_folder, file, policy(2)) <= IN_FORCE_S

    play(file, scene)


def test_saves_that_do_not_end_do_not_put_the_policy_off(file: Path) -> None:
    async def scene(follower: Follower) -> None:
        begun = time.monotonic()
        number = 1
        while number < 50 or time.monotonic() - begun < 2.0:  # a machine that stands still saves nothing
            number += 1
            await asyncio.to_thread(in_place, file, policy(number))
            await asyncio.sleep(0.03)
        assert follower.policies.generation > 1, "nothing was in force while files were saved"
        assert await follower.until(lambda: follower.texts() == policy(number)) <= IN_FORCE_S

    play(file, scene)


def test_what_changes_while_it_is_read_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = PolicyInForce.read
    taken: list[str] = []
    read, changed = threading.Event(), threading.Event()

    def read_slowly(self: PolicyInForce, files: list[PolicyFile]) -> Reading:
        reading = real(self, files)
        read.set()
        changed.wait(WAIT_S)  # as if it were a very large policy
        return reading

    async def scene(follower: Follower) -> None:
        monkeypatch.setattr(PolicyInForce, "read", read_slowly)
        take = follower.policies.take

        def taking(reading: Reading, *, forced: bool = False) -> object:
            taken.append(reading.result.sources[-1].text or "")
            return take(reading, forced=forced)

        monkeypatch.setattr(follower.policies, "take", taking)
        await asyncio.to_thread(in_place, file, policy(2))
        assert await asyncio.to_thread(read.wait, WAIT_S)
        await asyncio.to_thread(in_place, file, policy(3))
        await follower.until(lambda: follower.reloader._watcher.pending)
        changed.set()
        await follower.until(lambda: follower.texts() == policy(3))

    play(file, scene)
    assert policy(2) not in taken
    assert policy(3) in taken


def test_clocks_go_on_over_a_reload(file: Path) -> None:
    """A better link proves itself for as long as `settle` says, counted from when it was the better one."""
    settle_s = 60.0
    text = f"monitor-policy {{ score-interface eth0 10 settle {settle_s * 1000:.0f}ms }}\n"
    file.write_text(text)

    async def scene(follower: Follower) -> None:
        now = asyncio.get_running_loop().time
        for name, index in (("wlan0", 1), ("eth0", 2)):
            state = LinkState(interface=name, index=index, up=True, carrier=True, operstate=OperState.UP)
            follower.engine.handle(state, now())
        follower.engine.handle(_address("wlan0", 1), now())
        follower.engine.add_session(_session(), ("wlan0", "10.1.0.5"), now())
        begun = now()
        follower.engine.handle(_address("eth0", 2), begun)
        await asyncio.sleep(0.3)
        other = text + "monitor-policy { margin 2 }\n"
        assert await follower.in_force_after(other, in_place, file, other) <= IN_FORCE_S
        (due,) = {follower.engine.next_deadline()}
        assert due == pytest.approx(begun + settle_s)
        assert follower.engine.handle_timer(begun + settle_s - 0.01) == ()
        (decision,) = follower.engine.handle_timer(begun + settle_s)
        assert isinstance(decision, Move)
        assert decision.to.name == "eth0"

    play(file, scene)


def test_without_inotify_it_looks_more_often_and_says_so_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(watcher_module, "FolderWatch", exhausted)

    async def scene(follower: Follower) -> None:
        for score in (2, 3):
            took = await follower.in_force_after(policy(score), write_and_rename, file, policy(score))
            assert took <= IN_FORCE_S + watcher_module.QUIET_S

    play(file, scene)
    told = [record.message for record in caplog.records if "inotify" in record.message]
    assert told == ["looking for changed files every 0.25 s, because inotify instance limit reached"]


def test_without_watches_left_it_does_so_too(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(folders_module.FolderWatch, "_begin", exhausted)

    async def scene(follower: Follower) -> None:
        assert await follower.in_force_after(policy(2), in_place, file, policy(2)) <= IN_FORCE_S + 0.2

    play(file, scene)
    assert len([record for record in caplog.records if "watch limit" in record.message]) == 1


def test_what_no_event_tells_is_found_by_looking(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module.Watcher, "_hear", lambda *_: None)
    monkeypatch.setattr(watcher_module, "POLL_S", 0.2)

    async def scene(follower: Follower) -> None:
        assert await follower.in_force_after(policy(2), in_place, file, policy(2)) <= 1.0

    play(file, scene)


def _address(name: str, index: int) -> AddressPresent:
    return AddressPresent(
        interface=name,
        index=index,
        label=name,
        address=f"10.{index}.0.5",
        prefix_length=24,
        family=4,
        usable=True,
    )


def _session() -> SessionDescription:
    connection = Connection(
        proto="tcp",
        local_address="10.1.0.5",
        local_port=40000,
        remote_address="18.31.0.9",
        remote_port=22,
    )
    return SessionDescription(id="aa", connections=(connection,))
