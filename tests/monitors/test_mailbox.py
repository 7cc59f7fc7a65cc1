from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.events import Event, LinkGone
from monitors.mailbox import Mailbox, MailboxFullError, subject
from tests.monitors.samples import address, cut, gone, link

EVENTS: list[Event] = [link(), cut(), LinkGone(interface="eth0", index=2), link(3, "ppp0"), cut(3, "ppp0")]
EVENTS += [
    address(),
    gone(address()),
    address("fd00::1"),
    gone(address("fd00::1")),
    address(interface="ppp0"),
]


def test_events_arrive_in_order_and_once() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        for event in EVENTS:
            mailbox.put(event)
        assert await mailbox.take() == tuple(EVENTS)
        assert len(mailbox) == 0

    asyncio.run(play())


def test_the_reader_waits_for_an_event() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.take())
        await asyncio.sleep(0)
        assert not reader.done()
        mailbox.put(link())
        assert await reader == (link(),)

    asyncio.run(play())


def test_close_lets_the_reader_have_what_waits_and_then_nothing() -> None:
    async def play() -> None:
        mailbox = Mailbox()
        mailbox.put(link())
        mailbox.close()
        assert await mailbox.take() == (link(),)
        assert await mailbox.take() == ()

    asyncio.run(play())


def test_a_full_mailbox_keeps_the_latest_of_each_subject_in_order_of_report() -> None:
    mailbox = Mailbox(limit=4)
    for event in (link(), address(), cut(), link(), cut()):
        mailbox.put(event)
    assert asyncio.run(mailbox.take()) == (address(), link(), cut())
    assert mailbox.merged == 2
    assert mailbox.refused == 0


def test_a_mailbox_full_of_different_subjects_refuses_and_keeps_what_it_has() -> None:
    mailbox = Mailbox(limit=2)
    mailbox.put(link(2))
    mailbox.put(link(3, "ppp0"))
    with pytest.raises(MailboxFullError, match="2 events about different"):
        mailbox.put(link(4, "wlan0"))
    assert mailbox.refused == 1
    assert asyncio.run(mailbox.take()) == (link(2), link(3, "ppp0"))
    mailbox.put(link(4, "wlan0"))
    assert len(mailbox) == 1


def test_a_renamed_link_is_two_subjects() -> None:
    assert subject(LinkGone(interface="eth0", index=2)) != subject(link(2, "wan0"))


@given(st.lists(st.sampled_from(EVENTS), max_size=60), st.integers(1, 12))
def test_the_last_state_of_every_subject_arrives_unless_refused(events: list[Event], limit: int) -> None:
    mailbox = Mailbox(limit)
    taken: list[Event] = []
    for event in events:
        try:
            mailbox.put(event)
        except MailboxFullError:
            continue
        taken.append(event)
        assert len(mailbox) <= limit
    mailbox.close()
    received = asyncio.run(mailbox.take())
    assert {subject(e): e for e in received} == {subject(e): e for e in taken}
    assert len(taken) == len(received) + mailbox.merged
    assert len(events) == len(taken) + mailbox.refused
