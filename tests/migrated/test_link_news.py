"""What people are told of links and of the host's sleep: what is news to them, and once."""

from __future__ import annotations

import logging

import pytest

from migrated.journal import Journal
from migrated.link_news import LinkNews
from monitors.events import Event, FactMeasured, LinkState, OperState


def told_of(events: list[Event], caplog: pytest.LogCaptureFixture) -> list[str]:
    news = LinkNews(Journal())
    with caplog.at_level(logging.INFO, "migrated"):
        for event in events:
            news.take_in(event)
    return [record.getMessage() for record in caplog.records]


def link(*, carrier: bool) -> LinkState:
    state = OperState.UP if carrier else OperState.DOWN
    return LinkState(interface="eth0", index=2, up=True, carrier=carrier, operstate=state)


def test_a_link_is_told_of_when_it_comes_and_when_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = [link(carrier=True), link(carrier=True), link(carrier=False), link(carrier=True)]
    assert told_of(events, caplog) == ["link-up", "link-down", "link-up"]


def test_a_link_that_was_never_there_is_not_missed(caplog: pytest.LogCaptureFixture) -> None:
    assert told_of([link(carrier=False)], caplog) == []


def test_each_waking_is_told_of_and_nothing_else_that_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = [
        FactMeasured(fact="woken", value=False),
        FactMeasured(fact="asleep", value=True),
        FactMeasured(fact="asleep", value=False),
        FactMeasured(fact="woken", value=True),
        FactMeasured(fact="on-battery", value=True),
    ]
    assert told_of(events, caplog) == ["falling-asleep", "woken"]
