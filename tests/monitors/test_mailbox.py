from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.events import Event, LinkGone
from monitors.mailbox import TURN_LIMIT, Lane, Mailbox, MailboxFullError, Reported, subject
from tests.monitors.samples import address, cut, gone, link

EVENTS: list[Event] = [link(), cut(), LinkGone(interface="eth0", index=2), link(3, "ppp0"), cut(3, "ppp0")]
EVENTS += [
    address(),
    gone(address()),
    address("fd00::1"),
    gone(address("fd00::1")),
    address(interface="ppp0"),
]


def said(event: Event, at: float = 0.0) -> Reported:
    return Reported(event, "test", at)


def put(mailbox: Mailbox | Lane, *events: Event) -> None:
    for event in events:
        mailbox.put(said(event))


async def taken(mailbox: Mailbox) -> tuple[Event, ...]:
    return tuple(reported.event for reported in await mailbox.take())


def test_events_arrive_in_order_and_once() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        put(mailbox, *EVENTS)
        assert await taken(mailbox) == tuple(EVENTS)
        assert len(mailbox) == 0

    asyncio.run(play())


def test_the_reader_waits_for_an_event() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(taken(mailbox))
        await asyncio.sleep(0)
        assert not reader.done()
        put(mailbox, link())
        assert await reader == (link(),)

    asyncio.run(play())


def test_close_lets_the_reader_have_what_waits_and_then_nothing() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        put(mailbox, link())
        mailbox.close()
        assert await taken(mailbox) == (link(),)
        assert await taken(mailbox) == ()

    asyncio.run(play())


def test_a_full_mailbox_keeps_the_latest_of_each_subject_in_order_of_report() -> None:
    mailbox = Mailbox(limit=4)
    put(mailbox, link(), address(), cut(), link(), cut())
    assert asyncio.run(taken(mailbox)) == (address(), link(), cut())
    assert mailbox.merged == 2
    assert mailbox.refused == 0


def test_a_mailbox_full_of_different_subjects_refuses_and_keeps_what_it_has() -> None:
    mailbox = Mailbox(limit=2)
    put(mailbox, link(2))
    put(mailbox, link(3, "ppp0"))
    with pytest.raises(MailboxFullError, match="2 events about different"):
        put(mailbox, link(4, "wlan0"))
    assert mailbox.refused == 1
    assert asyncio.run(taken(mailbox)) == (link(2), link(3, "ppp0"))
    put(mailbox, link(4, "wlan0"))
    assert len(mailbox) == 1


def test_a_renamed_link_is_two_subjects() -> None:
    assert subject(LinkGone(interface="eth0", index=2)) != subject(link(2, "wan0"))


@given(st.lists(st.sampled_from(EVENTS), max_size=60), st.integers(1, 12))
def test_the_last_state_of_every_subject_arrives_unless_refused(events: list[Event], limit: int) -> None:
    mailbox = Mailbox(limit)
    accepted: list[Event] = []
    for event in events:
        try:
            put(mailbox, event)
        except MailboxFullError:
            continue
        accepted.append(event)
        assert len(mailbox) <= limit
    mailbox.close()
    received = asyncio.run(taken(mailbox))
    assert {subject(e): e for e in received} == {subject(e): e for e in accepted}
    assert len(accepted) == len(received) + mailbox.merged
    assert len(events) == len(accepted) + mailbox.refused


def test_each_lane_has_its_own_room_and_crowds_nobody_out() -> None:
    async def play() -> None:
        mailbox = Mailbox(limit=2)
        lane = mailbox.lane()
        put(lane, link(2), link(3, "ppp0"))
        with pytest.raises(MailboxFullError):
            put(lane, link(4, "wlan0"))
        put(mailbox, address())
        assert (len(mailbox), mailbox.refused) == (3, 1)
        assert await taken(mailbox) == (address(), link(2), link(3, "ppp0"))

    asyncio.run(play())


def test_a_report_from_another_thread_wakes_the_reader_once() -> None:
    wakes: list[None] = []
    lane = Lane(lambda: wakes.append(None))
    put(lane, link(), cut())
    assert len(wakes) == 1
    lane.take()
    put(lane, link())
    assert len(wakes) == 2


def test_a_flood_is_read_in_portions_between_which_others_run() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        lane = mailbox.lane()
        put(lane, *[link()] * (2 * TURN_LIMIT))
        assert len(await mailbox.take()) == TURN_LIMIT
        turns: list[None] = []
        asyncio.get_running_loop().call_soon(turns.append, None)
        assert len(await mailbox.take()) == TURN_LIMIT
        assert turns == [None]

    asyncio.run(play())


def test_events_from_threads_all_arrive_in_the_order_of_each() -> None:
    count, threads = 500, 4

    def report(lane: Lane, number: int) -> None:
        for at in range(count):
            lane.put(Reported(link(number), str(number), at))

    async def play() -> None:
        mailbox = Mailbox()
        async with asyncio.TaskGroup() as group:
            for number in range(threads):
                group.create_task(asyncio.to_thread(report, mailbox.lane(), number))
            seen: list[Reported] = []
            while len(seen) < count * threads:
                seen += await mailbox.take()
        for number in range(threads):
            assert [each.at for each in seen if each.monitor == str(number)] == list(range(count))

    asyncio.run(play())
