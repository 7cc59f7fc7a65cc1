"""Nothing but diagnostics comes out of any text, soon, and each with a place inside it.

`make fuzz MINUTES=10` goes on where these tests stop.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policylang import load_policy, parse_policy
from policylang.loader import MAX_FILES, MAX_POLICY_BYTES
from policylang.sets import MAX_SET_VALUES
from tests.policylang.fuzzing import TOKENS, assert_places, assert_sound, damaged, examine, seeds, smallest

BOMB_S = 10.0
"""How long the worst text may take, of processor time: a hundred times what was measured for most."""

NOWHERE = Path("/nonexistent")


def in_block(body: str) -> str:
    return f"monitor-policy {{ {body} }}"


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text(text: str) -> None:
    for wrapped in (text, in_block(text)):
        examine(wrapped.encode("utf-8", "surrogatepass"), NOWHERE)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40), st.sampled_from(["", " "]))
def test_any_sequence_of_words(words: list[str], between: str) -> None:
    text = between.join(words)
    for wrapped in (text, in_block(text)):
        examine(wrapped.encode(), NOWHERE)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_damage_to_a_valid_policy(random: Random) -> None:
    examine(damaged(random, CORPUS), NOWHERE)


CORPUS = seeds()


def test_what_is_damaged_was_whole() -> None:
    """Damage to what is refused as it is would never reach the checker."""
    whole = [data for data in CORPUS if parse_policy(data.decode(), folder=NOWHERE).policy is not None]
    assert len(whole) >= len(CORPUS) * 3 // 4


def test_what_fails_is_shown_small(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, folder: Path) -> frozenset[str]:
        assert b"{" not in data
        return frozenset()

    monkeypatch.setattr("tests.policylang.fuzzing.examine", broken)
    assert smallest(CORPUS[0], NOWHERE) == b"{"


BOMBS: dict[str, Callable[[], str]] = {
    "nested-on": lambda: in_block("on proto tcp " * 20_000 + "margin 1"),
    "nested-when": lambda: in_block("when hour = 1 " * 20_000 + "margin 1"),
    "nested-blocks": lambda: in_block("on proto tcp { " * 20_000),
    "braces": lambda: "{" * 100_000,
    "closing-braces": lambda: in_block("}" * 100_000),
    "else": lambda: in_block("on proto tcp margin 1 " + "else " * 50_000),
    "else-chain": lambda: in_block("on proto tcp margin 1 else " * 20_000 + "margin 1"),
    "mistakes": lambda: in_block("bogus\n" * 100_000),
    "wrong-values": lambda: in_block("margin 01\n" * 20_000),
    "unknown-facts": lambda: in_block("when rttt > 1 margin 1\n" * 5_000),
    "unknown-services": lambda: in_block("on port sssh margin 1\n" * 10_000),
    "unknown-sets": lambda: in_block("on port $A margin 1\n" * 5_000),
    "long-word": lambda: in_block(f"on user {'a' * 900_000} margin 1"),
    "long-unknown-service": lambda: in_block(f"on port {'a' * 900_000} margin 1"),
    "long-number": lambda: in_block(f"margin {'9' * 900_000}"),
    "long-duration": lambda: in_block(f"settle {'9' * 900_000}s"),
    "long-fraction": lambda: in_block(f"settle 1.{'9' * 900_000}s"),
    "long-measure": lambda: in_block(f"when rtt > {'9' * 900_000}s score-interface * 1"),
    "long-port": lambda: in_block(f"on port {'9' * 400_000}-{'9' * 400_000} margin 1"),
    "long-address": lambda: in_block(f"on remote-ip {'1.' * 400_000} margin 1"),
    "long-prefix": lambda: in_block(f"on remote-ip 10.0.0.0/{'9' * 900_000} margin 1"),
    "long-unit": lambda: in_block(f"settle 1{'s' * 900_000}"),
    "long-list": lambda: in_block(f"on port {'22,' * 50_000}23 margin 1"),
    "long-pattern": lambda: in_block(f"score-interface {'*[a]' * 200_000} 1"),
    "open-brackets": lambda: in_block(f"score-interface {'[' * 900_000} 1"),
    "long-comment": lambda: "#" * 1_000_000,
    "many-comments": lambda: "#\n" * 500_000,
    "long-string": lambda: in_block('include "' + "a" * 900_000),
    "semicolons": lambda: in_block(";" * 200_000),
    "blanks": lambda: " \n" * 500_000,
    "operators": lambda: in_block("when " + "<" * 900_000),
    "dots": lambda: in_block("when " + "a." * 400_000 + " > 1 margin 1"),
    "zeros": lambda: in_block("score-interface * " + "0" * 900_000),
    "dashes": lambda: in_block("on port " + "1-" * 400_000 + " margin 1"),
    "spaces-in-a-range": lambda: in_block("on port 1" + " " * 900_000 + "-2 margin 1"),
    "spaces-after-a-number": lambda: in_block("on port 1" + " " * 900_000 + "margin 1"),
    "quotes": lambda: in_block('"' * 900_000),
    "dollars": lambda: in_block("$" * 900_000),
    "sets-of-sets": lambda: (
        "define A0 = ssh " + " ".join(f"define A{n + 1} = {', '.join([f'$A{n}'] * 10)}" for n in range(60))
    ),
    "sets-used-often": lambda: (
        f"define A = {', '.join(map(str, range(4000)))} " + in_block("on port $A margin 1 " * 50)
    ),
    "sets-of-wrong-values": lambda: (
        f"define A = {', '.join(f'x{n}' for n in range(4000))} " + in_block("on port $A margin 1 " * 5)
    ),
    "patterns-of-sets": lambda: (
        f"define A = {', '.join(f'x{n}' for n in range(4000))} " + in_block("score-interface $A 1 " * 100)
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_text_takes_long(name: str) -> None:
    text = BOMBS[name]()
    assert len(text) <= MAX_POLICY_BYTES
    start = process_time()
    result = parse_policy(text, folder=NOWHERE)
    assert process_time() - start < BOMB_S
    assert_sound(result, text)


def test_sets_of_sets_stop_growing() -> None:
    text = BOMBS["sets-of-sets"]()
    codes = [d.code for d in parse_policy(text).diagnostics]
    assert codes
    assert set(codes) == {"too-large"}
    assert 10**3 < MAX_SET_VALUES < 10**4


def test_files_that_include_each_other_twice_over_stop(tmp_path: Path) -> None:
    """Each of thirty files takes in the next one twice: a thousand million files, if nobody counted."""
    names = [f"{n:02}.policy" for n in range(30)]
    for name, following in pairwise(names):
        (tmp_path / name).write_text(f'include "{following}"\n' * 2)
    (tmp_path / names[-1]).write_text(in_block("margin 1"))
    start = process_time()
    result = load_policy([tmp_path / names[0]])
    assert process_time() - start < BOMB_S
    assert {d.code for d in result.diagnostics} == {"bad-include"}
    assert len(result.sources) <= MAX_FILES


def test_a_pattern_of_itself_is_a_circle_and_no_more(tmp_path: Path) -> None:
    for name in ("a.policy", "b.policy", "c.policy"):
        (tmp_path / name).write_text('include "*.policy"')
    result = load_policy([tmp_path / "a.policy"])
    assert {d.code for d in result.diagnostics} == {"bad-include"}
    for source in result.sources:
        assert_places(tuple(d for d in result.diagnostics if d.span.file == source.file), source.text or "")


def test_large_files_that_are_included_often_take_no_longer_than_they_must(tmp_path: Path) -> None:
    (tmp_path / "large.policy").write_text(in_block("margin 1\n" * 2000))
    (tmp_path / "all.policy").write_text('include "large.policy"\n' * 20)
    start = process_time()
    result = load_policy([tmp_path / "all.policy"])
    assert process_time() - start < BOMB_S
    assert result.policy is not None
    assert len(result.policy.statements) == 40_000
