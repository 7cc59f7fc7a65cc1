from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors import tcp_readers
from monitors.diag import TcpDetails
from monitors.discovery import discover
from monitors.events import Event, FactMeasured
from monitors.mailbox import MailboxFullError
from monitors.spec import NotAvailableError, SettingsError
from monitors.surroundings import Solitude, WatchedConnection
from monitors.tcp import (
    DETAILS_S,
    FEW,
    LIFETIME_S,
    MATERIAL,
    REST_S,
    TROUBLE_S,
    ConnectionTable,
    TcpMonitor,
    migrate_monitors,
)
from monitors.tcp_readers import DiagReader, ProcReader, Reading, count_timeouts, open_reader
from monitors.testing import FakeSurroundings, Recorder, check_monitor
from tests.monitors.watched import connection

CALM = TcpDetails(
    retransmits=0,
    backoff=0,
    rto_us=204_000,
    unacked=0,
    lost=0,
    rtt_us=4000,
    rttvar_us=1000,
    delivery_rate=1000,
)
TROUBLE = CALM._replace(retransmits=1, backoff=1, rto_us=408_000, unacked=3, lost=3)


def played(*steps: tuple[float, TcpDetails], detailed: bool = True) -> list[list[FactMeasured]]:
    """Return what a table reports at each step of one connection."""
    table = ConnectionTable()
    table.detailed = detailed
    table.watch([connection()])
    told = []
    for now, details in steps:
        events: list[Event] = []
        table.take([(1, details)], now, events.append)
        told.append([event for event in events if isinstance(event, FactMeasured)])
    return told


def values(events: Sequence[FactMeasured]) -> dict[str, object]:
    return {event.fact: event.value for event in events}


def test_all_that_is_known_of_a_connection_is_told_at_first() -> None:
    (first,) = played((0.0, CALM))
    assert values(first) == {
        "retransmits": 0.0,
        "rto": 0.204,
        "tcp.backoff": 0.0,
        "tcp.rtt": 0.004,
        "tcp.rttvar": 0.001,
        "tcp.delivery-rate": 8000.0,
        "tcp.lost": 0.0,
        "tcp.unacked": 0.0,
    }
    assert {(event.session, event.connection) for event in first} == {("ssh", "1")}
    assert {event.lifetime_s for event in first} == {None}


def test_what_was_not_measured_yet_is_not_known() -> None:
    (first,) = played((0.0, CALM._replace(rtt_us=0, rttvar_us=250_000, delivery_rate=0)))
    assert values(first).keys().isdisjoint({"tcp.rtt", "tcp.rttvar", "tcp.delivery-rate"})


def test_a_reader_without_details_has_none_to_tell() -> None:
    (first, second) = played((0.0, CALM), (9.0, CALM._replace(rtt_us=1)), detailed=False)
    assert values(first) == {"retransmits": 0.0, "rto": 0.204}
    assert second == []


def test_an_idle_connection_is_told_of_once() -> None:
    assert played((0.0, CALM), (1.0, CALM), (100.0, CALM))[1:] == [[], []]


def test_a_small_change_is_not_told_and_small_changes_add_up() -> None:
    rtos = [204_000, 220_000, 230_000, 240_000]
    told = played(*((float(n), CALM._replace(rto_us=rto)) for n, rto in enumerate(rtos)))
    assert [values(events).get("rto") for events in told] == [0.204, None, 0.230, None]


def test_details_are_told_every_few_seconds_and_their_last_state_is() -> None:
    busy = [(float(n), CALM._replace(rtt_us=4000 * (n + 1))) for n in range(8)]
    still = [(8.0 + n, CALM._replace(rtt_us=32_000)) for n in range(8)]
    told = [values(events).get("tcp.rtt") for events in played(*busy, *still)]
    assert told == [0.004, *[None] * 4, 0.024, *[None] * 4, 0.032, *[None] * 5]


def test_the_word_of_trouble_is_repeated_before_it_ends() -> None:
    steps = [(n * TROUBLE_S, TROUBLE) for n in range(20)]
    told = [(now, event) for (now, _), events in zip(steps, played(*steps), strict=True) for event in events]
    for fact in ("retransmits", "rto"):
        times = [now for now, event in told if event.fact == fact]
        assert {event.lifetime_s for _, event in told if event.fact == fact} == {LIFETIME_S}
        assert times == [0.0, 1.5, 3.0, 4.5]


def test_the_end_of_trouble_is_told_even_where_the_value_is_the_same() -> None:
    (_, after) = played((0.0, TROUBLE), (1.0, TROUBLE._replace(retransmits=0)))
    word = {event.fact: (event.value, event.lifetime_s) for event in after}
    assert (word["retransmits"], word["rto"]) == ((0.0, None), (0.408, None))


def test_every_retransmission_is_told_at_once() -> None:
    told = played(*((n / 10, TROUBLE._replace(retransmits=n)) for n in range(5)))
    assert [values(events)["retransmits"] for events in told] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_only_connections_that_are_watched_are_told_of() -> None:
    table, events = ConnectionTable(), list[Event]()
    table.take([(1, CALM)], 0.0, events.append)
    assert events == []
    table.watch([connection()])
    table.take([(1, TROUBLE)], 0.0, events.append)
    assert table.in_trouble()
    table.watch([])
    assert not table.in_trouble()
    table.watch([connection()])
    events.clear()
    table.take([(1, CALM)], 1.0, events.append)
    assert len(events) == 8  # it may have been elsewhere meanwhile


def test_a_socket_that_is_another_sessions_now_is_told_of_anew() -> None:
    table, events = ConnectionTable(), list[Event]()
    for session in ("ssh", "mail"):
        table.watch([connection(session=session)])
        table.take([(1, CALM)], 0.0, events.append)
    assert [event.session for event in events if isinstance(event, FactMeasured)] == ["ssh"] * 8 + [
        "mail"
    ] * 8


DETAILS = st.builds(
    TcpDetails,
    retransmits=st.integers(0, 3),
    backoff=st.integers(0, 3),
    rto_us=st.sampled_from([200_000, 210_000, 260_000, 400_000]),
    unacked=st.integers(0, 2),
    lost=st.just(0),
    rtt_us=st.sampled_from([0, 1000, 1050, 3000]),
    rttvar_us=st.just(10),
    delivery_rate=st.sampled_from([0, 10, 1000]),
)


@given(st.lists(st.tuples(st.floats(0, 8), DETAILS, st.booleans()), max_size=40))
def test_who_hears_the_reports_is_never_far_from_the_truth(
    steps: list[tuple[float, TcpDetails, bool]],
) -> None:
    table, now = ConnectionTable(), 0.0
    table.watch([connection()])
    heard: dict[str, tuple[object, float]] = {}
    full = False

    def hear(event: Event) -> None:
        assert isinstance(event, FactMeasured)
        if full:
            raise MailboxFullError("full")
        heard[event.fact] = (event.value, now + (event.lifetime_s or float("inf")))

    for wait_s, details, refused in steps:
        now, full = now + wait_s, refused
        try:
            table.take([(1, details)], now, hear)
        except MailboxFullError:
            continue
        assert heard["retransmits"][0] == details.retransmits
        rto, until = heard["rto"]
        assert isinstance(rto, float)
        assert abs(rto - details.rto_us / 1e6) <= MATERIAL * rto + 1e-9
        assert (until < float("inf")) is (details.retransmits > 0)
        assert until > now + LIFETIME_S / 2 - 1e-9
        if wait_s >= DETAILS_S:
            assert heard["tcp.unacked"][0] == details.unacked


class FakeReader:
    """Readings that a test sets by hand; ``watched`` are the connections of each call of ``watch``."""

    detailed = True

    def __init__(self, readings: Mapping[int, TcpDetails]) -> None:
        self.readings = dict(readings)
        self.watched: list[list[int]] = []
        self.reads = 0

    def watch(self, connections: Sequence[WatchedConnection]) -> None:
        self.watched.append([each.inode for each in connections])

    def read(self) -> Iterator[list[Reading]]:
        self.reads += 1
        yield list(self.readings.items())


class Pace:
    """A monitor with a clock that only its own pauses move; ``times`` are its readings."""

    def __init__(self, seconds: float, connections: int = FEW + 1) -> None:
        self.now = 0.0
        self.timeouts: int | None = 0
        self.around = FakeSurroundings()
        self.around.set(connections=[connection(inode) for inode in range(1, connections + 1)])
        self.reader = FakeReader({1: CALM})
        self.times: list[float] = []
        self._end = seconds
        self._over = asyncio.Event()

    async def play(self, *scene: tuple[float, Callable[[], None]]) -> None:
        """Run the monitor; each part of the scene is played at its time."""
        waiting = sorted(scene, key=lambda part: part[0])

        async def sleep(seconds: float) -> None:
            self.now += seconds
            while waiting and waiting[0][0] <= self.now:
                waiting.pop(0)[1]()
            if self.now >= self._end:
                self._over.set()
                await asyncio.Event().wait()
            await asyncio.sleep(0)

        def read() -> Iterator[list[Reading]]:
            self.times.append(self.now)
            yield list(self.reader.readings.items())

        self.reader.read = read  # type: ignore[method-assign]
        monitor = TcpMonitor(
            self.around,
            open_reader=lambda _: self.reader,
            count_timeouts=lambda: self.timeouts,
            clock=lambda: self.now,
            sleep=sleep,
        )
        task = asyncio.create_task(monitor.run(Recorder()))
        await self._over.wait()
        task.cancel()
        await asyncio.wait({task})


def test_calm_connections_are_read_now_and_then() -> None:
    async def scene() -> None:
        pace = Pace(12.0)
        await pace.play()
        assert pace.times == [0.0, REST_S, 2 * REST_S]

    asyncio.run(scene())


def test_they_are_read_when_there_was_a_timeout() -> None:
    async def scene() -> None:
        pace = Pace(9.0)

        def one_more() -> None:
            assert pace.timeouts is not None
            pace.timeouts += 1

        await pace.play((2.0, one_more), (3.0, one_more))
        assert pace.times == [0.0, 2.0, 3.0, 3.0 + REST_S]

    asyncio.run(scene())


def test_few_are_read_once_a_second() -> None:
    async def scene() -> None:
        pace = Pace(3.5, FEW)
        await pace.play()
        assert pace.times == [0.0, 1.0, 2.0, 3.0]

    asyncio.run(scene())


def test_in_trouble_they_are_read_all_the_time() -> None:
    async def scene() -> None:
        pace = Pace(4.0)

        def trouble() -> None:
            pace.timeouts = 1
            pace.reader.readings[1] = TROUBLE

        await pace.play((2.0, trouble), (3.0, lambda: pace.reader.readings.update({1: CALM})))
        assert pace.times == [0.0, *(2.0 + TROUBLE_S * n for n in range(5))]

    asyncio.run(scene())


def test_where_timeouts_are_not_told_they_are_read_once_a_second() -> None:
    async def scene() -> None:
        pace = Pace(3.5)
        pace.timeouts = None
        await pace.play()
        assert pace.times == [0.0, 1.0, 2.0, 3.0]

    asyncio.run(scene())


def test_a_new_connection_is_read_soon_and_nothing_without_connections() -> None:
    async def scene() -> None:
        pace = Pace(5.0)
        inodes = range(7, FEW + 9)
        await pace.play((2.0, lambda: pace.around.set(connections=[connection(inode) for inode in inodes])))
        assert pace.times == [0.0, 2.0]
        assert pace.reader.watched[1:] == [list(inodes)]

        around, reader = FakeSurroundings(), FakeReader({1: CALM})
        task = asyncio.create_task(TcpMonitor(around, open_reader=lambda _: reader).run(Recorder()))
        for _ in range(5):
            await asyncio.sleep(0)
        assert reader.reads == 0
        around.set(connections=[connection()])
        for _ in range(5):
            await asyncio.sleep(0)
        assert reader.reads == 1
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(scene())


def test_many_connections_keep_nobody_waiting() -> None:
    """A mailbox that is emptied in between never overflows."""

    async def play() -> None:
        count, waiting, longest = 4000, 0, 0
        connections = [connection(inode) for inode in range(1, count + 1)]

        class Reader(FakeReader):
            def read(self) -> Iterator[list[Reading]]:
                for first in range(1, count, 32):
                    yield [(inode, CALM) for inode in range(first, first + 32)]

        def report(_event: Event) -> None:
            nonlocal waiting, longest
            waiting += 1
            longest = max(longest, waiting)

        async def empty() -> None:
            nonlocal waiting
            while True:
                waiting = 0
                await asyncio.sleep(0)

        around = FakeSurroundings()
        around.set(connections=connections)
        ticks = iter(range(1_000_000))
        monitor = TcpMonitor(around, open_reader=lambda _: Reader({}), clock=lambda: next(ticks) / 1000)
        tasks = {asyncio.create_task(monitor.run(report)), asyncio.create_task(empty())}
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert 0 < longest <= 1000

    asyncio.run(play())


def test_it_keeps_the_contract() -> None:
    around = FakeSurroundings()
    around.set(connections=[connection()])
    reader = FakeReader({1: CALM})
    recorder = asyncio.run(
        check_monitor(lambda: TcpMonitor(around, open_reader=lambda _: reader), run_s=0.01)
    )
    assert len(recorder.events) == 8


def test_it_is_among_the_built_in_monitors() -> None:
    found = {monitor.name: monitor for monitor in discover(plugins=False).monitors}
    assert isinstance(found["tcp"], TcpMonitor)


def test_settings() -> None:
    assert migrate_monitors(Solitude({"tcp": {"source": "proc"}}))
    with pytest.raises(SettingsError, match="source"):
        migrate_monitors(Solitude({"tcp": {"source": "psychic"}}))


def table_of(folder: Path, *rows: str) -> Path:
    path = folder / "tcp"
    path.write_text("  sl  local_address rem_address   st ...\n" + "\n".join(rows) + "\n")
    return path


def test_the_table_of_the_kernel(tmp_path: Path) -> None:
    """As proc(5) has it: retransmissions in hexadecimal, the time-out in ticks of 10 ms."""
    ends = "0100007F:1F90 0100007F:D431 01 00000000:00000010 01:00000014"
    tables = (
        table_of(
            tmp_path,
            f"   0: {ends} 0000000A  1000        0 4711 2 0000000000000000 81 4 30 10 -1",
            f"   1: {ends} 00000000  1000        0 4712 2 0000000000000000 20 4 30 10 -1",
            "   2: 0100007F:1F90 0100007F:D432 06 00000000:00000000 03:00000014 00000000 0 0 0 3 0",
        ),
        tmp_path / "tcp6",
    )
    reader = ProcReader(tables)
    reader.watch([connection(4711)])
    (found,) = list(reader.read())
    assert found == [(4711, TcpDetails(10, 0, 810_000, 0, 0, 0, 0, 0))]


def test_without_sock_diag_the_tables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = (table_of(tmp_path), tmp_path / "tcp6")
    assert isinstance(open_reader("sock_diag", tables), DiagReader)
    assert isinstance(open_reader("proc", tables), ProcReader)
    monkeypatch.setattr(tcp_readers, "is_available", lambda: False)
    assert isinstance(open_reader("sock_diag", tables), ProcReader)
    with pytest.raises(NotAvailableError, match="sock_diag"):
        open_reader("sock_diag", (tmp_path / "nothing",))


def test_the_count_of_timeouts(tmp_path: Path) -> None:
    statistics = tmp_path / "netstat"
    assert count_timeouts(statistics) is None
    statistics.write_text("TcpExt: A TCPTimeouts B\nTcpExt: 1 42 3\nIpExt: A\nIpExt: 1\n")
    assert count_timeouts(statistics) == 42
    assert count_timeouts() is not None


def test_a_refusal_is_no_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> bool:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(tcp_readers, "is_available", refuse)
    with pytest.raises(PermissionError):
        open_reader("sock_diag")
