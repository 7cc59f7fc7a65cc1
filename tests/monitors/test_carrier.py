from __future__ import annotations

import asyncio
from functools import partial
from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.carrier import FLAPS_S, GAIN_DELAY_S, LOSSES_MAX, CarrierMonitor, CarrierTable, FlapCounter
from monitors.events import Event, FactMeasured, LinkGone, LinkState, OperState
from monitors.mailbox import MailboxFullError
from monitors.messages import Change, Snapshot
from monitors.testing import Recorder, ScriptedFeed, check_monitor
from tests.monitors.samples import address, cut, gone, link

OFF = link(up=False, carrier=False, operstate=OperState.DOWN)
RISING = link(operstate=OperState.LOWER_LAYER_DOWN)
GONE = LinkGone(interface="eth0", index=2)


def told(*links: LinkState) -> CarrierTable:
    """Return a table that has reported these links."""
    table = CarrierTable()
    assert list(table.receive(Snapshot(links=links), 0.0)) == list(links)
    return table


@pytest.mark.parametrize("state", [link(), cut(), OFF, RISING])
def test_a_new_link_is_reported_at_once(state: LinkState) -> None:
    table = CarrierTable()
    assert list(table.receive(state, 0.0)) == [state]
    assert table.next_deadline() is None


@pytest.mark.parametrize("state", [link(), cut(), OFF])
def test_nothing_is_reported_twice_in_a_row(state: LinkState) -> None:
    table = told(state)
    assert list(table.receive(state, 1.0)) == []
    assert list(table.receive(Snapshot(links=(state,)), 2.0)) == []
    assert table.next_deadline() is None


@pytest.mark.parametrize(
    "loss", [cut(), OFF, RISING, link(operstate=OperState.DORMANT), link(interface="wan0")]
)
def test_a_loss_is_reported_at_once(loss: LinkState) -> None:
    assert loss in list(told(link()).receive(loss, 0.0))


def test_a_gain_waits_for_its_last_message() -> None:
    table = told(cut())
    assert list(table.receive(RISING, 1.0)) == []
    assert list(table.receive(link(), 1.004)) == []
    deadline = table.next_deadline()
    assert deadline == pytest.approx(
        1.0 + GAIN_DELAY_S
    )  # from the first message, so that it cannot wait for ever
    assert list(table.due(1.009)) == []
    assert list(table.due(1.0 + GAIN_DELAY_S)) == [link()]
    assert table.next_deadline() is None


def test_a_gain_that_is_taken_back_is_never_reported() -> None:
    table = told(cut())
    assert list(table.receive(link(), 1.0)) == []
    assert list(table.receive(cut(), 1.005)) == []
    assert table.next_deadline() is None


def test_a_loss_while_a_gain_waits_is_reported_at_once() -> None:
    table = told(cut())
    assert list(table.receive(link(), 1.0)) == []
    assert list(table.receive(OFF, 1.005)) == [OFF]
    assert table.next_deadline() is None


def test_a_deleted_link_is_gone_at_once_and_once() -> None:
    table = told(cut())
    assert list(table.receive(link(), 1.0)) == []
    assert list(table.receive(GONE, 1.001)) == [GONE]
    assert list(table.receive(GONE, 1.002)) == []
    assert list(table.due(9.0)) == []


def test_a_renamed_link_is_gone_under_its_old_name() -> None:
    renamed = link(interface="wan0")
    assert list(told(link()).receive(renamed, 1.0)) == [GONE, renamed]


def test_a_snapshot_tells_what_vanished_meanwhile() -> None:
    table = told(link(), link(3, "ppp0"))
    events = list(table.receive(Snapshot(links=(cut(3, "ppp0"), link(4, "wlan0"))), 1.0))
    assert events == [GONE, cut(3, "ppp0"), link(4, "wlan0")]


def test_addresses_are_not_its_business() -> None:
    table = told(link())
    assert list(table.receive(address(), 1.0)) == []
    assert list(table.receive(gone(address()), 1.0)) == []


def test_what_was_refused_is_still_to_be_reported() -> None:
    table = told(link())
    refused = table.receive(cut(), 1.0)
    assert next(refused) == cut()
    refused.close()
    assert list(table.receive(Snapshot(links=(cut(),)), 2.0)) == [cut()]
    refused = table.receive(GONE, 3.0)
    assert next(refused) == GONE
    refused.close()
    assert list(table.receive(Snapshot(links=()), 4.0)) == [GONE]


STATES = st.builds(
    link,
    st.integers(2, 4),
    st.sampled_from(["eth0", "ppp0"]),
    up=st.booleans(),
    carrier=st.booleans(),
    operstate=st.sampled_from([OperState.UP, OperState.DOWN, OperState.LOWER_LAYER_DOWN]),
)
GOING = st.builds(LinkGone, interface=st.just("eth0"), index=st.integers(2, 4))
SNAPSHOTS = st.lists(STATES, max_size=3, unique_by=lambda s: s.index).map(lambda s: Snapshot(links=tuple(s)))
STEPS = st.lists(st.tuples(st.floats(0, 0.02), STATES | GOING | SNAPSHOTS), max_size=40)


def truth(world: dict[int, LinkState], change: Change) -> None:
    match change:
        case LinkState():
            world[change.index] = change
        case LinkGone():
            world.pop(change.index, None)
        case Snapshot():
            world.clear()
            world.update({state.index: state for state in change.links})


@given(STEPS)
def test_losses_are_known_at_once_and_everything_after_the_delay(steps: list[tuple[float, Change]]) -> None:
    table, now = CarrierTable(), 0.0
    real: dict[int, LinkState] = {}
    heard: dict[int, LinkState] = {}
    last: dict[tuple[str, int], Event] = {}

    def hear(event: Event) -> None:
        assert isinstance(event, (LinkState, LinkGone))
        assert last.get((event.interface, event.index)) != event
        last[event.interface, event.index] = event
        truth(heard, event)

    for wait_s, change in steps:
        now += wait_s
        for event in table.due(now):
            hear(event)
        truth(real, change)
        for event in table.receive(change, now):
            hear(event)
        assert heard.keys() == real.keys()
        for index, state in heard.items():
            assert real[index].usable or not state.usable
            assert real[index].carrier or not state.carrier
    for event in table.due(now + GAIN_DELAY_S):
        hear(event)
    assert heard == real
    assert table.next_deadline() is None


def flaps(count: int, interface: str = "eth0") -> FactMeasured:
    return FactMeasured(fact="flaps", value=float(count), interface=interface)


def counter(*steps: tuple[float, LinkState | LinkGone]) -> FlapCounter:
    """Return a counter that has heard these events and told what followed."""
    counted = FlapCounter()
    for now, event in steps:
        counted.heard(event, now)
        list(counted.due(now))
    return counted


def test_a_link_that_was_never_lost_is_known_not_to_flap() -> None:
    counted = FlapCounter()
    counted.heard(cut(), 0.0)
    assert list(counted.due(0.0)) == [flaps(0)]
    assert list(counted.due(9.0)) == []
    assert counted.next_deadline() is None


def test_losses_are_counted_until_they_are_old() -> None:
    counted = counter((0.0, link()), (1.0, cut()), (2.0, link()))
    counted.heard(OFF, 3.0)
    assert list(counted.due(3.0)) == [flaps(2)]
    counted.heard(cut(), 4.0)  # it was lost before
    assert list(counted.due(4.0)) == []
    assert counted.next_deadline() == 1.0 + FLAPS_S
    assert list(counted.due(1.0 + FLAPS_S)) == [flaps(1)]
    assert list(counted.due(3.0 + FLAPS_S)) == [flaps(0)]
    assert counted.next_deadline() is None


def test_a_link_that_comes_back_after_it_was_deleted_is_told_of_again() -> None:
    counted = counter((0.0, link()))
    counted.heard(GONE, 1.0)
    assert list(counted.due(1.0)) == []  # there is no such link now
    counted.heard(link(7), 2.0)
    assert list(counted.due(2.0)) == [flaps(1)]
    counted.heard(LinkGone(interface="eth0", index=7), 3.0)
    assert list(counted.due(3.0 + FLAPS_S)) == []
    counted.heard(link(8), 4.0 + FLAPS_S)
    assert list(counted.due(4.0 + FLAPS_S)) == [flaps(0)]


def test_the_deletion_of_a_link_that_was_lost_already_is_no_other_loss() -> None:
    counted = counter((0.0, link()), (1.0, cut()), (2.0, GONE))
    counted.heard(link(), 3.0)
    assert list(counted.due(3.0)) == [flaps(1)]


def test_a_count_that_was_refused_is_still_to_be_told() -> None:
    counted = FlapCounter()
    counted.heard(link(), 0.0)
    refused = counted.due(0.0)
    assert next(refused) == flaps(0)
    refused.close()
    assert list(counted.due(1.0)) == [flaps(0)]


def test_losses_are_remembered_up_to_a_bound() -> None:
    counted = FlapCounter()
    for _ in range(LOSSES_MAX + 10):
        counted.heard(link(), 0.0)
        counted.heard(cut(), 0.0)
    assert list(counted.due(0.0)) == [flaps(LOSSES_MAX)]


def possible(event: LinkState | LinkGone, links: dict[int, LinkState]) -> bool:
    """Return whether this can be reported: what is gone was there, and each name is that of one link."""
    known = links.get(event.index)
    if known is not None:
        return known.interface == event.interface
    names = {state.interface for state in links.values()}
    return isinstance(event, LinkState) and event.interface not in names


HEARD = st.lists(st.tuples(st.floats(0, 30), STATES | GOING), max_size=60)


@given(HEARD)
def test_who_hears_the_counts_knows_how_often_each_link_was_lost(
    steps: list[tuple[float, LinkState | LinkGone]],
) -> None:
    counted, now = FlapCounter(), 0.0
    links: dict[int, LinkState] = {}
    losses: list[tuple[float, str]] = []
    heard: dict[str, float] = {}
    for wait_s, event in steps:
        now += wait_s
        before = links.get(event.index)
        if not possible(event, links):
            continue
        counted.heard(event, now)
        truth(links, event)
        if before and before.usable and not (isinstance(event, LinkState) and event.usable):
            losses.append((now, event.interface))
        names = {state.interface for state in links.values()}
        heard = {name: count for name, count in heard.items() if name in names}
        for fact in counted.due(now):
            assert isinstance(fact.value, float)
            assert heard.get(fact.interface) != fact.value
            heard[fact.interface] = fact.value
        assert heard == {
            name: sum(at + FLAPS_S > now and lost == name for at, lost in losses) for name in names
        }


def test_the_monitor_reports_a_gain_by_itself() -> None:
    async def play() -> None:
        feed, recorder = ScriptedFeed(), Recorder()
        task = asyncio.create_task(CarrierMonitor(lambda: feed).run(recorder))
        feed.put(Snapshot(links=(cut(),)))
        feed.put(link())
        await recorder.wait_for(lambda event: event == link())
        assert recorder.events == [cut(), flaps(0), link()]
        task.cancel()
        await asyncio.wait({task})
        assert feed.open == 0
        assert list(feed.deadlines)[:2] == [None, None]
        assert feed.deadlines[2] is not None

    asyncio.run(play())


def test_a_second_run_reports_what_vanished_in_between() -> None:
    async def play() -> None:
        feed, recorder = ScriptedFeed(), Recorder()
        monitor = CarrierMonitor(lambda: feed)
        for snapshot, awaited in ((Snapshot(links=(link(),)), link()), (Snapshot(links=()), GONE)):
            feed.put(snapshot)
            task = asyncio.create_task(monitor.run(recorder))
            await recorder.wait_for(partial(eq, awaited))
            task.cancel()
            await asyncio.wait({task})
        assert recorder.events == [link(), flaps(0), GONE]

    asyncio.run(play())


def test_a_refused_report_ends_the_run() -> None:
    async def play() -> None:
        feed = ScriptedFeed()
        feed.put(Snapshot(links=(link(),)))
        await CarrierMonitor(lambda: feed).run(Recorder(refuse=True))

    with pytest.raises(MailboxFullError):
        asyncio.run(play())


def test_it_keeps_the_contract() -> None:
    feed = ScriptedFeed(Snapshot(links=(link(),)))
    recorder = asyncio.run(check_monitor(lambda: CarrierMonitor(lambda: feed), run_s=0.01))
    assert recorder.events == [link(), flaps(0)]
