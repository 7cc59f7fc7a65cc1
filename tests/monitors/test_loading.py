from __future__ import annotations

import sys
import threading
import time

from monitors.loading import LoadTimeoutError, call_all


def refuse() -> int:
    raise ValueError("no")


def leave() -> int:
    sys.exit("bye")


def test_calls_are_made_at_the_same_time_and_answered_in_their_order() -> None:
    together = threading.Barrier(3)

    def wait() -> int:
        return together.wait(60.0)

    assert sorted(str(outcome) for outcome in call_all([wait, wait, wait], 60.0)) == ["0", "1", "2"]
    assert call_all([lambda: "a", lambda: "b"], 60.0) == ["a", "b"]


def test_what_a_call_raises_is_its_outcome() -> None:
    one, other, third = call_all([refuse, leave, lambda: 3], 60.0)
    assert isinstance(one, ValueError)
    assert isinstance(other, SystemExit)
    assert third == 3


def test_nothing_to_call_begins_no_thread() -> None:
    assert call_all([], 10.0) == []


def test_a_call_that_hangs_is_given_up_and_holds_up_no_other() -> None:
    release = threading.Event()
    began = time.monotonic()
    hung, good = call_all([lambda: release.wait(60.0), lambda: True], limit_s=3.0)
    release.set()
    assert isinstance(hung, LoadTimeoutError)
    assert str(hung) == "it did not load within 3 s"
    assert good is True
    assert time.monotonic() - began < 30.0


def test_a_call_that_never_rests_is_interrupted() -> None:
    threads: list[threading.Thread] = []

    def burn() -> int:
        threads.append(threading.current_thread())
        while True:
            sum(range(1000))

    (outcome,) = call_all([burn], limit_s=2.0)  # it has to have begun by then
    assert isinstance(outcome, LoadTimeoutError)
    threads[0].join(60.0)
    assert not threads[0].is_alive()


def test_many_calls_that_hang_share_one_limit() -> None:
    release = threading.Event()
    began = time.monotonic()
    outcomes = call_all([lambda: release.wait(60.0)] * 20, limit_s=1.0)
    release.set()
    assert all(isinstance(outcome, LoadTimeoutError) for outcome in outcomes)
    assert time.monotonic() - began < 20 * 1.0 / 2
