from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.agenda import Agenda

TIMES = st.integers(0, 20).map(float)
STEPS = st.tuples(st.sampled_from("abcd"), st.none() | TIMES) | st.tuples(st.just("pop"), TIMES)


@given(st.lists(STEPS, max_size=60))
def test_it_is_a_dictionary_of_times(steps: list[tuple[str, float | None]]) -> None:
    agenda: Agenda[str] = Agenda()
    expected: dict[str, float] = {}
    for thing, at in steps:
        if thing != "pop":
            agenda.set(thing, at)
            expected.pop(thing, None)
            if at is not None:
                expected[thing] = at
        else:
            assert at is not None
            due = {thing for thing, time in expected.items() if time <= at}
            popped = agenda.pop(at)
            assert len(popped) == len(due)
            assert set(popped) == due
            assert [expected[t] for t in popped] == sorted(expected[t] for t in popped)
            expected = {thing: time for thing, time in expected.items() if thing not in due}
        assert agenda.next_deadline() == min(expected.values(), default=None)


def test_what_is_put_off_again_and_again_does_not_fill_the_memory() -> None:
    agenda: Agenda[str] = Agenda()
    for number in range(10_000):
        agenda.set("a", float(number))
    assert len(agenda._heap) < 200
    assert agenda.pop(1e9) == ["a"]
