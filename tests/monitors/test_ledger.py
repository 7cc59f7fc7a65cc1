from __future__ import annotations

import pytest

from monitors.events import FactMeasured
from monitors.ledger import Key, Ledger, Standing

SHORT, EVER = "wifi.signal", "data-used"
ETH0: Key = (EVER, "eth0")


def ledger() -> Ledger:
    return Ledger({SHORT: Standing(10.0, 5.0), EVER: Standing(None, 60.0)})


def said(value: float | None, fact: str = EVER, interface: str = "eth0") -> FactMeasured:
    lifetime_s = 10.0 if fact == SHORT and value is not None else None
    return FactMeasured(fact=fact, value=value, interface=interface, lifetime_s=lifetime_s)


def test_a_value_is_said_once_and_when_it_changes() -> None:
    book = ledger()
    assert list(book.settle({ETH0: 1.0}, 0.0)) == [said(1.0)]
    assert list(book.settle({ETH0: 1.0}, 1.0)) == []
    assert list(book.settle({ETH0: 2.0}, 2.0)) == [said(2.0)]
    assert book.value(ETH0) == 2.0


def test_a_value_is_said_again_before_it_runs_out() -> None:
    book = ledger()
    wifi = {(SHORT, "wlan0"): -70.0}
    times = [second for second in range(21) if list(book.settle(wifi, float(second)))]
    assert times == [0, 5, 10, 15, 20]
    assert list(book.settle(wifi, 25.0)) == [said(-70.0, SHORT, "wlan0")]


def test_what_is_known_no_longer_is_said_once() -> None:
    book = ledger()
    list(book.settle({ETH0: 1.0}, 0.0))
    assert list(book.settle({}, 1.0)) == [said(None)]
    assert list(book.settle({}, 2.0)) == []
    assert book.value(ETH0) is None
    assert list(book.settle({ETH0: 1.0}, 3.0)) == [said(1.0)]


def test_small_changes_wait_until_it_is_due() -> None:
    book = ledger()

    def never(_key: Key, _old: object, _new: object) -> bool:
        return False

    list(book.settle({ETH0: 1.0}, 0.0, never))
    assert list(book.settle({ETH0: 9.0}, 59.0, never)) == []
    assert list(book.settle({ETH0: 9.0}, 60.0, never)) == [said(9.0)]


@pytest.mark.parametrize("now", [{ETH0: 2.0}, {}])
def test_what_was_refused_is_said_again(now: dict[Key, float]) -> None:
    book = ledger()
    list(book.settle({ETH0: 1.0}, 0.0))
    refused = book.settle(now, 1.0)
    first = next(refused)
    refused.close()
    assert list(book.settle(now, 2.0)) == [first]
