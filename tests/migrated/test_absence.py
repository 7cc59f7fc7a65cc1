"""Hosts that did not answer are left alone, ever longer, and only so many are remembered."""

from __future__ import annotations

from migrated.absence import ABSENT_MAX, RETRY_FIRST_S, RETRY_LONGEST_S, Absences


def test_a_host_is_asked_again_ever_later() -> None:
    absences, now, waits = Absences(), 0.0, []
    for _ in range(10):
        waits.append(absences.note("host", now))
        assert absences.leave_alone("host", now + waits[-1] - 0.1)
        now += waits[-1]
        assert not absences.leave_alone("host", now)
    assert waits[:3] == [RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S]
    assert waits[-1] == RETRY_LONGEST_S


def test_a_host_that_is_forgotten_is_new() -> None:
    absences = Absences()
    absences.note("host", 0)
    absences.note("host", 0)
    absences.forget("host")
    assert not absences.leave_alone("host", 0)
    assert absences.note("host", 0) == RETRY_FIRST_S


def test_only_so_many_are_remembered_and_those_whose_time_is_up_go_first() -> None:
    absences = Absences()
    for number in range(ABSENT_MAX - 1):
        absences.note(f"host{number}", 0)
    absences.note("late", 10)
    absences.note("later", RETRY_FIRST_S)
    assert absences.leave_alone("late", RETRY_FIRST_S)
    assert not absences.leave_alone("host0", 0)
    for number in range(ABSENT_MAX - 2):
        absences.note(f"other{number}", RETRY_FIRST_S)
    assert absences.leave_alone("late", RETRY_FIRST_S)
    absences.note("one too many", RETRY_FIRST_S)
    assert not absences.leave_alone("late", RETRY_FIRST_S)
