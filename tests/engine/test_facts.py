from __future__ import annotations

import tracemalloc

import pytest

from engine import facts
from engine.facts import HOST, FactStore, Key, key_of
from monitors.events import FactMeasured
from monitors.facts import Subject


@pytest.mark.parametrize(
    ("event", "subject", "expected"),
    [
        (FactMeasured(fact="x", value=1.0), None, ("host",)),
        (FactMeasured(fact="x", value=1.0, interface="eth0"), None, ("link", "eth0")),
        (
            FactMeasured(fact="x", value=1.0, interface="eth0", peer="::ffff:192.0.2.9"),
            None,
            ("path", "eth0", "192.0.2.9"),
        ),
        (FactMeasured(fact="x", value=1.0, interface="eth0", peer="?"), None, ("path", "eth0", "?")),
        (FactMeasured(fact="x", value=1.0, session="s"), None, ("session", "s")),
        (FactMeasured(fact="x", value=1.0, session="s"), Subject.CONNECTION, ("connection", "s", "")),
        (FactMeasured(fact="x", value=1.0, session="s", connection="1"), None, ("connection", "s", "1")),
        (
            FactMeasured(fact="x", value=1.0, interface="eth0", peer="192.0.2.9"),
            Subject.LINK,
            ("link", "eth0"),
        ),
    ],
)
def test_a_measurement_is_about_what_its_fact_is_about(
    event: FactMeasured, subject: Subject | None, expected: Key
) -> None:
    assert key_of(event, subject) == expected


def test_setting_says_whether_the_value_is_another() -> None:
    store = FactStore()
    assert store.set("hour", HOST, 3.0, 0.0)
    assert not store.set("hour", HOST, 3.0, 0.0, 9.0)
    assert store.set("hour", HOST, 4.0, 0.0)
    assert store.set("hour", HOST, None, 0.0)
    assert not store.set("hour", HOST, None, 0.0)
    assert store.get("hour", HOST) is None


def test_what_is_not_a_number_is_not_known() -> None:
    store = FactStore()
    store.set("hour", HOST, 3.0, 0.0)
    assert store.set("hour", HOST, float("nan"), 0.0)
    assert store.get("hour", HOST) is None


def test_a_value_measured_again_has_the_lifetime_of_the_later_measurement() -> None:
    store = FactStore()
    store.set("hour", HOST, 3.0, 0.0, 5.0)
    store.set("hour", HOST, 3.0, 2.0, 6.0)
    assert store.next_deadline() == 8.0
    assert store.expire(7.9) == []
    store.set("hour", HOST, 3.0, 3.0)
    assert store.next_deadline() is None
    store.set("hour", HOST, 3.0, 4.0, 5.0)
    assert store.expire(9.0) == [("hour", HOST)]
    assert store.get("hour", HOST) is None


def test_what_is_known_of_a_link_goes_with_it_and_with_it_the_paths() -> None:
    store = FactStore()
    for key in (("link", "eth0"), ("path", "eth0", "p"), ("path", "eth1", "p"), ("session", "s")):
        store.set("x", key, 1.0, 0.0, 5.0)
    assert set(store.forget(("link", "eth0"))) == {("x", ("link", "eth0")), ("x", ("path", "eth0", "p"))}
    assert set(store.subjects("x")) == {("path", "eth1", "p"), ("session", "s")}
    store.forget(("peer", "p"))
    store.forget(("session", "s"))
    assert store.subjects("x") == ()
    assert not store._owned
    assert store.next_deadline() is None


def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MAX_FACTS", 3)
    monkeypatch.setattr(facts, "MAX_SUBJECTS", 2)
    store = FactStore()
    for number in range(10):
        store.set(f"x{number}", HOST, 1.0, 0.0)
        store.set("x0", ("link", f"l{number}"), 1.0, 0.0)
    assert [store.get(f"x{number}", HOST) for number in range(5)] == [1.0, 1.0, 1.0, None, None]
    assert store.subjects("x0") == (HOST, ("link", "l0"))
    assert store.set("x0", HOST, 2.0, 0.0)


def test_a_value_older_than_the_one_that_is_known_is_not_taken_in() -> None:
    store = FactStore()
    store.set("hour", HOST, 3.0, 10.0, 5.0)
    assert not store.set("hour", HOST, 4.0, 9.9)
    assert not store.set("hour", HOST, None, 9.9)
    assert store.get("hour", HOST) == 3.0
    assert store.next_deadline() == 15.0
    assert store.set("hour", HOST, 4.0, 10.0)


def test_many_facts_are_cheap() -> None:
    """A hundred thousand must not fill the memory of a daemon at rest."""
    store, count = FactStore(), 10_000
    tracemalloc.start()
    for number in range(count):
        store.set("rto", ("connection", "s", str(number)), 1.5, number / 7, 30.0)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < count * 700
