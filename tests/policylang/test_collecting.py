"""The collector is paused while a policy is read, and never longer."""

from __future__ import annotations

import gc

import pytest

from policylang import parse_policy
from policylang.collecting import collector_paused
from policylang.formatting import format_policy


def test_it_is_paused_within_and_only_within() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_ends_the_pause() -> None:
    with pytest.raises(ValueError, match="no"), collector_paused():
        raise ValueError("no")
    assert gc.isenabled()


@pytest.mark.parametrize("read", [parse_policy, format_policy])
@pytest.mark.parametrize("text", ["monitor-policy { margin 2 }", "monitor-policy { margin }"])
def test_reading_does_not_change_whether_garbage_is_collected(read: object, text: str) -> None:
    assert callable(read)
    read(text)
    assert gc.isenabled()
    gc.disable()
    try:
        read(text)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_nothing_is_collected_while_a_long_policy_is_read() -> None:
    runs = list[int]()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            runs.append(info["generation"])

    lines = "\n".join(f"on port {n} score-interface eth0 {n}" for n in range(1, 500))
    gc.callbacks.append(note)
    try:
        parse_policy(f"monitor-policy {{\n{lines}\n}}")
    finally:
        gc.callbacks.remove(note)
    assert len(runs) < 10
