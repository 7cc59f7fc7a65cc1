from __future__ import annotations

import asyncio
import logging
import re
from itertools import pairwise
from pathlib import Path

import pytest

from monitors import counters
from monitors.counters import (
    LIFETIME_S,
    NOT_COUNTED,
    POLL_S,
    CountersMonitor,
    CountersTable,
    Settings,
    migrate_monitors,
)
from monitors.events import Event, FactMeasured
from monitors.mailbox import MailboxFullError
from monitors.spec import SettingsError
from monitors.surroundings import Solitude
from monitors.testing import Recorder, check_monitor
from monitors.usage import Counted, Reading, Record, Usage
from monitors.usage_file import FILE_NAME, UsageFile
from tests.monitors.kernel import check_on_this_kernel

NOVEMBER, DECEMBER = "2026-11", "2026-12"
MIDDLE_OF_NOVEMBER = 1_794_700_800.0
MEGABYTE = 1_000_000


def reading(received: int, name: str = "eth0", index: int = 2, boot: str = "b") -> Reading:
    return Reading(boot, {name: Counted(index, received, 0)})


def throughput(value: float | None, interface: str = "eth0") -> FactMeasured:
    lifetime_s = None if value is None else LIFETIME_S
    return FactMeasured(fact="throughput", value=value, interface=interface, lifetime_s=lifetime_s)


def data_used(value: float | None, interface: str = "eth0") -> FactMeasured:
    return FactMeasured(fact="data-used", value=value, interface=interface)


class Story:
    """A table that is told every ``POLL_S`` how many bytes a link has received."""

    def __init__(self) -> None:
        self.table = CountersTable(Usage())
        self.now = 0.0
        self.events: list[FactMeasured] = []

    def look(self, now: Reading, month: str = NOVEMBER) -> list[FactMeasured]:
        events = list(self.table.receive(now, month, self.now))
        self.events += events
        self.now += POLL_S
        return events

    def of(self, fact: str) -> list[float]:
        return [float(event.value) for event in self.events if event.fact == fact and event.value is not None]


def test_throughput_is_known_from_the_second_look_on() -> None:
    story = Story()
    assert story.look(reading(1 << 40)) == [data_used(0.0)]
    assert story.look(reading((1 << 40) + 625_000)) == [data_used(625_000.0), throughput(1_000_000.0)]


def test_small_changes_of_the_throughput_wait_until_it_would_run_out() -> None:
    story = Story()
    amount = 0
    for rate in (1_000_000, 1_000_000, 1_050_000, 1_090_000, 2_000_000, 2_100_000, 2_100_000, 0):
        story.look(reading(amount))
        amount += int(rate * POLL_S / 8)
    assert story.of("throughput") == [1e6, 1.05e6, 2e6, 2.1e6]


def test_a_link_that_falls_silent_is_at_nothing_soon() -> None:
    story = Story()
    for amount in (0, 6_000, 6_000, 6_000, 6_000, 6_000):
        story.look(reading(amount))
    assert story.of("throughput") == [9_600.0, 0.0, 0.0]
    assert story.events[2] == throughput(0.0)


def test_a_throughput_never_runs_out_while_somebody_looks() -> None:
    story = Story()
    times: list[float] = []
    for _ in range(20):
        now = story.now
        times += [now for event in story.look(reading(5)) if event.fact == "throughput"]
    assert max(later - earlier for earlier, later in pairwise(times)) < LIFETIME_S


def test_data_are_told_in_steps() -> None:
    story = Story()
    for amount in [0, *range(1_000, 31_000, 1_000)]:
        story.look(reading(amount))
        story.now -= POLL_S - 0.01  # nothing is due by time
    assert story.of("data-used") == [0.0, 10_000.0, 20_000.0, 30_000.0]
    story = Story()
    for step in range(40):
        story.look(reading(0 if step == 0 else 10**9 + step * 100_000))
        story.now -= POLL_S - 0.01
    used = story.of("data-used")
    assert [later - earlier for earlier, later in pairwise(used[1:])] == [MEGABYTE] * 3


def test_a_new_month_is_told_at_once() -> None:
    story = Story()
    story.look(reading(0))
    story.look(reading(5_000_000))
    assert story.look(reading(5_000_100), DECEMBER)[0] == data_used(100.0)


def test_a_link_that_goes_is_unknown_and_goes_on_when_it_comes_back() -> None:
    story = Story()
    story.look(reading(0))
    story.look(reading(MEGABYTE))
    assert set(story.look(Reading("b", {}))) == {data_used(None), throughput(None)}
    # How long it took for the second megabyte nobody knows.
    assert story.look(reading(2 * MEGABYTE)) == [data_used(2.0 * MEGABYTE)]


def test_a_link_that_was_made_again_is_told_again_within_a_minute() -> None:
    """Its facts were forgotten with it, and both looks saw a link of that name."""
    story = Story()
    times: list[float] = []
    for turn in range(30):
        now = story.now
        events = story.look(reading(0, index=2 if turn < 3 else 9))
        times += [now for event in events if event.fact == "data-used"]
    assert times == [0.0, 60.0, 120.0]


def test_which_links_count() -> None:
    usual, chosen = Settings(), Settings(links=("wwan*", "ppp0"))
    outside = ["eth0", "wlan0", "wwan0", "ppp0", "wg0", "enp3s0", "br0"]
    inside = ["lo", "veth12ab", "docker0", "br-0123456789ab", "virbr0", "vnet3", "ifb0"]
    assert [name for name in outside + inside if usual.counts(name)] == outside
    assert [name for name in outside + inside if chosen.counts(name)] == ["wwan0", "ppp0"]


def test_the_documentation_names_the_links_that_do_not_count() -> None:
    text = (Path(__file__).parents[2] / "docs" / "monitors.md").read_text()
    (sentence,) = re.findall(
        r"Without `links` every link is counted but those .*?: (.*?)\.\n", text, re.DOTALL
    )
    assert tuple(re.findall(r"`(.*?)`", sentence)) == NOT_COUNTED


class Host:
    """Counters and a calendar that a test sets."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)
        self.now = MIDDLE_OF_NOVEMBER

    def read(self) -> Reading:
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    def monitor(self, folder: Path | None, settings: Settings | None = None) -> CountersMonitor:
        return CountersMonitor(
            settings or Settings(), folder, read_links=self.read, clock=lambda: self.now, poll_s=0.001
        )


async def until(monitor: CountersMonitor, wanted: Event) -> list[Event]:
    """Run a monitor until it says something, and end it."""
    recorder = Recorder()
    task = asyncio.create_task(monitor.run(recorder))
    await recorder.wait_for(lambda event: event == wanted)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    return recorder.events


def test_what_was_counted_survives_the_end(tmp_path: Path) -> None:
    first = Host(reading(0), reading(MEGABYTE))
    asyncio.run(until(first.monitor(tmp_path), data_used(float(MEGABYTE))))
    # Meanwhile it carried half a megabyte more, which nobody saw.
    second = Host(reading(MEGABYTE * 3 // 2))
    events = asyncio.run(until(second.monitor(tmp_path), data_used(1.5 * MEGABYTE)))
    assert events[0] == data_used(1.5 * MEGABYTE)


def test_it_is_written_down_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "SAVE_S", 0.0)

    class Doomed(Host):
        """It looks at what is kept before it tells of the third look, as if it were killed then."""

        def read(self) -> Reading:
            if len(self.readings) == 1:
                kept.append(UsageFile(tmp_path).load())
            return super().read()

    kept: list[Record | None] = []
    host = Doomed(reading(0), reading(MEGABYTE), reading(2 * MEGABYTE))
    asyncio.run(until(host.monitor(tmp_path), data_used(2.0 * MEGABYTE)))
    assert kept[0] is not None
    assert kept[0].months == {NOVEMBER: {"eth0": MEGABYTE}}


def test_a_month_starts_when_the_settings_say(tmp_path: Path) -> None:
    host = Host(reading(0), reading(MEGABYTE))
    asyncio.run(until(host.monitor(tmp_path, Settings(month_starts_on=28)), data_used(float(MEGABYTE))))
    kept = UsageFile(tmp_path).load()
    assert kept is not None
    assert list(kept.months) == ["2026-10"]


def test_other_links_are_not_even_kept(tmp_path: Path) -> None:
    host = Host(Reading("b", {"lo": Counted(1, 5, 5), "eth0": Counted(2, 0, 0)}))
    events = asyncio.run(until(host.monitor(tmp_path), data_used(0.0)))
    assert {event.interface for event in events} == {"eth0"}
    assert "lo" not in (tmp_path / FILE_NAME).read_text()


def test_a_damaged_file_is_named_and_counting_begins_at_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_text("gone")
    asyncio.run(until(Host(reading(7)).monitor(tmp_path), data_used(0.0)))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "counters.json.damaged-1" in record.getMessage()
    assert "counted from 0" in record.getMessage()


def test_a_full_disk_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "SAVE_S", 0.0)
    (tmp_path / FILE_NAME).with_suffix(".new").mkdir()
    host = Host(*[reading(0)] * 20, reading(MEGABYTE))
    asyncio.run(until(host.monitor(tmp_path), data_used(float(MEGABYTE))))
    (record,) = caplog.records
    assert "can't be kept" in record.getMessage()


def test_without_a_folder_it_counts_all_the_same() -> None:
    host = Host(reading(0), reading(MEGABYTE))
    asyncio.run(until(host.monitor(None), data_used(float(MEGABYTE))))


def test_a_refused_report_ends_the_run_and_loses_no_bytes() -> None:
    host = Host(reading(0), reading(MEGABYTE))
    monitor = host.monitor(None)
    with pytest.raises(MailboxFullError):
        asyncio.run(monitor.run(Recorder(refuse=True)))
    asyncio.run(until(monitor, data_used(float(MEGABYTE))))


@pytest.mark.usefixtures("quick_disk")
def test_it_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "SAVE_S", 0.0)
    host = Host(reading(0))
    recorder = asyncio.run(check_monitor(lambda: host.monitor(tmp_path), run_s=0.3))
    assert recorder.events == [data_used(0.0), throughput(0.0)]


@pytest.mark.usefixtures("quick_disk")
def test_it_keeps_the_contract_on_this_host(tmp_path: Path) -> None:
    asyncio.run(check_on_this_kernel(lambda: CountersMonitor(Settings(links=("*",)), tmp_path), run_s=0.2))


def test_the_settings_are_read(tmp_path: Path) -> None:
    table = {"month_starts_on": 15, "links": ["wwan*"]}
    (monitor,) = migrate_monitors(Solitude({"counters": table}, tmp_path))
    assert [fact.name for fact in monitor.facts] == ["data-used", "throughput"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"month_starts_on": 29}, "`month_starts_on` is 29; expected a whole number from 1 to 28"),
        ({"month_starts_on": "1"}, "`month_starts_on`"),
        ({"links": "wwan*"}, "`links`"),
        ({"month_start_on": 1}, "did you mean `month_starts_on`"),
    ],
)
def test_settings_that_are_wrong_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        migrate_monitors(Solitude({"counters": table}))
