from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from engine import Connection, Engine, SessionDescription
from migrated.config import Recording
from migrated.policies import Outcome, PolicyInForce
from migrated.recording import recorder as module
from migrated.recording.engine import RecordedEngine
from migrated.recording.entries import (
    DecisionGiven,
    Entry,
    FactSeen,
    LinkSeen,
    PolicyLoaded,
    SessionAdded,
    SessionMoved,
    SnapshotBegan,
    SnapshotEnded,
    decode_line,
)
from migrated.recording.files import LogFiles
from migrated.recording.recorder import Recorder
from monitors.events import AddressPresent, FactMeasured, LinkState, OperState
from policylang.loader import PolicyFile, standard_facts

PATIENCE_S = 60.0
SMALL = Recording(files=3, file_size=1 << 16)
POLICY = "monitor-policy { score-interface eth* 5 settle 0s }"


def in_force(folder: Path) -> PolicyInForce:
    """Return a policy in force, read from a file beside the folder of a log."""
    file = folder.parent / "test.policy"
    file.write_text(POLICY)
    policies = PolicyInForce(standard_facts)
    assert policies.take(policies.read([PolicyFile(path=file)])) is Outcome.LOADED
    return policies


def link(name: str, index: int, *, carrier: bool = True) -> LinkState:
    state = OperState.UP if carrier else OperState.DOWN
    return LinkState(interface=name, index=index, up=True, carrier=carrier, operstate=state)


def address(name: str, index: int) -> AddressPresent:
    return AddressPresent(
        interface=name,
        index=index,
        label=name,
        address=f"10.{index}.0.5",
        prefix_length=24,
        family=4,
        usable=True,
    )


def session(name: str) -> SessionDescription:
    connection = Connection(
        proto="tcp",
        local_address="10.1.0.5",
        local_port=40000,
        remote_address="18.31.0.9",
        remote_port=22,
    )
    return SessionDescription(id=name, connections=(connection,))


class Log:
    """A recorder whose files are read, and what it complained of."""

    def __init__(self, folder: Path, limits: Recording = SMALL) -> None:
        self.folder = folder
        self.now = 0.0
        self.complaints: list[str] = []
        self.recorder = Recorder(folder, limits, lambda: self.now, self.complaints.append)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def read(self, file: Path) -> list[Entry]:
        return [decode_line(line) for line in file.read_bytes().splitlines()]


def run(folder: Path, play: Callable[[Log], object], limits: Recording = SMALL) -> Log:
    async def recorded() -> Log:
        log = Log(folder, limits)
        played = play(log)
        if asyncio.iscoroutine(played):
            await played
        await log.recorder.close()
        return log

    return asyncio.run(recorded())


def test_what_an_engine_hears_and_decides_is_written_in_order(tmp_path: Path) -> None:
    def play(log: Log) -> None:
        engine = RecordedEngine(in_force(log.folder), log.recorder)
        for name, index in (("wlan0", 1), ("eth0", 2)):
            engine.handle(link(name, index), 1.0)
            engine.handle(address(name, index), 1.0)
        engine.add_session(session("aa"), ("wlan0", "10.1.0.5"), 2.0)
        assert engine.handle_timer(2.0)
        engine.session_moved("aa", ("eth0", "10.2.0.5"), 3.0)
        engine.remove_session("aa")

    log = run(tmp_path / "events", play)
    (file,) = log.files()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.folder.stat().st_mode) == 0o700
    entries = log.read(file)
    assert isinstance(entries[0], SnapshotBegan)
    assert entries[0].cause == "started"
    kinds = [type(entry).__name__ for entry in entries]
    assert kinds == [
        "SnapshotBegan",
        "SnapshotEnded",
        "PolicyLoaded",
        "LinkSeen",
        "AddressSeen",
        "LinkSeen",
        "AddressSeen",
        "SessionAdded",
        "DecisionGiven",
        "SessionMoved",
        "SessionRemoved",
    ]
    (decision,) = (entry for entry in entries if isinstance(entry, DecisionGiven))
    assert (decision.action, decision.session, decision.to) == ("move", "aa", ("eth0", "10.2.0.5"))
    assert decision.clock == 2.0


def test_a_recorded_engine_decides_as_another(tmp_path: Path) -> None:
    def play(log: Log) -> None:
        policies = in_force(log.folder)
        recorded, plain = RecordedEngine(policies, log.recorder), Engine(policies.policy)
        for engine in (recorded, plain):
            engine.handle(link("eth0", 2), 1.0)
            engine.handle(address("eth0", 2), 1.0)
            engine.add_session(session("aa"), ("wlan0", "10.1.0.5"), 1.0)
        another = in_force(log.folder).policy
        for now in (1.0, 2.0):
            assert recorded.handle_timer(now) == plain.handle_timer(now)
        assert recorded.replace_policy(another, 3.0) == plain.replace_policy(another, 3.0)
        recorded.session_suspended("aa", 4.0)
        plain.session_suspended("aa", 4.0)
        recorded.point_failed("aa", ("eth0", "10.2.0.5"), 4.0)
        plain.point_failed("aa", ("eth0", "10.2.0.5"), 4.0)
        assert recorded.next_deadline() == plain.next_deadline()

    run(tmp_path / "events", play)


def test_files_are_bounded_and_each_begins_with_what_is_known(tmp_path: Path) -> None:
    async def play(log: Log) -> None:
        engine = RecordedEngine(in_force(log.folder), log.recorder)
        engine.handle(link("eth0", 2), 0.0)
        engine.add_session(session("aa"), ("eth0", "10.2.0.5"), 0.0)
        for turn in range(1, 40):
            for _ in range(200):
                engine.session_moved("aa", ("eth0", f"10.2.0.{turn}"), turn)
            log.now = float(turn)
            await log.recorder._flush()

    log = run(tmp_path / "events", play)
    files = log.files()
    assert len(files) == SMALL.files
    assert all(file.stat().st_size < 2 * SMALL.file_size for file in files)
    for file in files:
        entries = log.read(file)
        end = next(number for number, entry in enumerate(entries) if isinstance(entry, SnapshotEnded))
        began, policy, eth0, added = entries[:end]
        assert isinstance(began, SnapshotBegan)
        assert began.cause == "rotated"
        assert isinstance(policy, PolicyLoaded)
        assert isinstance(eth0, LinkSeen)
        assert isinstance(added, SessionAdded)
        assert added.attachment == ("eth0", f"10.2.0.{began.clock:.0f}")
        following = entries[end + 1]
        assert isinstance(following, SessionMoved)
        assert following.attachment == ("eth0", f"10.2.0.{began.clock + 1:.0f}")


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    def play(log: Log) -> None:
        log.recorder.policy(1, ())

    names = [[file.name for file in run(tmp_path, play).files()] for _ in range(4)]
    assert names[0] == ["events-00000001.jsonl"]
    assert names[3] == ["events-00000002.jsonl", "events-00000003.jsonl", "events-00000004.jsonl"]


def test_facts_of_a_snapshot_were_measured_when_they_were(tmp_path: Path) -> None:
    async def play(log: Log) -> None:
        engine = RecordedEngine(in_force(log.folder), log.recorder)
        engine.handle(link("eth0", 2), 0.0)
        for name, lifetime_s in (("short", 5.0), ("long", 60.0), ("ever", None)):
            engine.handle(FactMeasured(fact=name, value=1.0, interface="eth0", lifetime_s=lifetime_s), 0.0)
        engine.handle(FactMeasured(fact="gone", value=1.0), 0.0)
        engine.handle(FactMeasured(fact="gone", value=None), 0.0)
        for value, at in ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0)):
            engine.handle(FactMeasured(fact="late", value=value, measured_at=at), 4.0)
        engine.handle(FactMeasured(fact="over", value=1.0, measured_at=1.0), 4.0)
        engine.handle(FactMeasured(fact="over", value=2.0, lifetime_s=1.0, measured_at=2.0), 4.0)
        engine.handle(FactMeasured(fact="ahead", value=1.0, lifetime_s=60.0, measured_at=1e9), 5.0)
        log.now = 10.0
        log.recorder._lose()

    log = run(tmp_path / "events", play)
    facts = [entry.event for entry in log.read(log.files()[0]) if isinstance(entry, FactSeen)]
    assert [(fact.fact, fact.value, fact.lifetime_s, fact.measured_at) for fact in facts] == [
        ("ahead", 1.0, 60.0, 5.0),
        ("ever", 1.0, None, 0.0),
        ("late", 2.0, None, 3.0),
        ("long", 1.0, 60.0, 0.0),
    ]


def test_a_full_disk_is_told_of_once_and_ends_with_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.write, [False]

    def write(descriptor: int, data: bytes) -> int:
        if not full[0]:
            return real(descriptor, data)
        if len(data) < 30:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:25])

    async def play(log: Log) -> None:
        log.recorder.event(link("eth0", 2), 0.0)
        await log.recorder._flush()
        full[0] = True
        for turn in range(5):
            log.now += module.AGAIN_S
            log.recorder.event(link("eth0", 2, carrier=bool(turn % 2)), log.now)
            await log.recorder._flush()
        full[0] = False
        log.recorder.event(link("wlan0", 3), log.now)
        await log.recorder._flush()  # too early
        assert len(log.read(log.files()[-1])) == 0
        log.now += module.AGAIN_S
        await log.recorder._flush()

    monkeypatch.setattr(os, "write", write)
    log = run(tmp_path, play, Recording(files=100))
    assert log.complaints == ["no space left on device"]
    whole = [log.read(file) for file in log.files()]  # no half line anywhere
    began = whole[-1][0]
    assert isinstance(began, SnapshotBegan)
    links = [entry.event for entry in whole[-1] if isinstance(entry, LinkSeen)]
    assert links == [link("eth0", 2, carrier=False), link("wlan0", 3)]


def test_too_much_for_the_disk_is_lost_and_then_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)

    def play(log: Log) -> None:
        for index in range(1, 30):
            log.recorder.event(link(f"eth{index}", index), 0.0)
        assert len(log.recorder._waiting) <= 10

    log = run(tmp_path, play)
    (file,) = log.files()
    entries = log.read(file)
    assert isinstance(entries[0], SnapshotBegan)
    assert entries[0].cause == "started"
    assert len([entry for entry in entries if isinstance(entry, LinkSeen)]) == 29


def test_it_writes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(log: Log) -> None:
        monkeypatch.setattr(module, "FLUSH_S", 2 * PATIENCE_S)
        running = asyncio.create_task(log.recorder.run())
        for index in range(module.FLUSH_ENTRIES):
            log.recorder.event(link("eth0", index), 0.0)
        async with asyncio.timeout(PATIENCE_S):  # at once, because there is much
            while log.recorder._waiting or not log.recorder._begun:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert len(log.read(log.files()[0])) == module.FLUSH_ENTRIES + 2
        running.cancel()

    run(tmp_path / "events", play)


def test_little_is_written_soon_and_again_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    failures = [OSError(28, "No space left on device")]
    write = LogFiles.write

    def fail_once(files: LogFiles, lines: Iterable[bytes]) -> None:
        if failures:
            raise failures.pop()
        write(files, lines)

    monkeypatch.setattr(LogFiles, "write", fail_once)

    async def play(log: Log) -> None:
        running = asyncio.create_task(log.recorder.run())
        log.recorder.event(link("eth0", 2), 0.0)
        async with asyncio.timeout(PATIENCE_S):
            while failures or not log.recorder._begun:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        running.cancel()

    log = run(tmp_path / "events", play)
    assert log.complaints == ["no space left on device"]
    assert [e.event for e in log.read(log.files()[-1]) if isinstance(e, LinkSeen)] == [link("eth0", 2)]
