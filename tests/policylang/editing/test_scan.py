from __future__ import annotations

import pytest

from policylang.editing.scan import (
    Block,
    blocks,
    include_at,
    include_patterns,
    named_set_at,
    named_sets,
    set_definitions,
)
from tests.policylang.editing.around import cursor


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("define a = 1, 2", [("a", ("1", "2"))]),
        ("define a = 1, # two\n  2 define b = $a, x", [("a", ("1", "2")), ("b", ("$a", "x"))]),
        ('define a = "x y", z', [("a", ('"x y"', "z"))]),
        ("# define a = 1", []),
        ('include "define a = 1"', []),
        ("define a", []),
        ("define = 3", []),
        ("define a =", [("a", ())]),
        ("define a = 1,", [("a", ("1",))]),
    ],
)
def test_definitions(text: str, found: list[tuple[str, tuple[str, ...]]]) -> None:
    assert [(definition.name, definition.values) for definition in set_definitions(text)] == found


def test_where_a_set_is_named() -> None:
    text = 'define a = 1 # $a\non user $a, "$a", $ab, not$a score-interface $a 3 define a-b = $a'
    assert [(place.name, text[place.start - 1 : place.end]) for place in named_sets(text)] == [
        ("a", " a"),
        ("a", "$a"),
        ("ab", "$ab"),
        ("a", "$a"),
        ("a-b", " a-b"),
        ("a", "$a"),
    ]


@pytest.mark.parametrize(
    ("marked", "name"),
    [
        ("on user |$a", "a"),
        ("on user $|a", "a"),
        ("on user $a|", "a"),
        ("define |ab = 3", "ab"),
        ("define| ab = 3", ""),
        ("on user $a |", ""),
        ("# $|a", ""),
    ],
)
def test_the_set_at_a_place(marked: str, name: str) -> None:
    place = named_set_at(*cursor(marked))
    assert (place.name if place else "") == name


@pytest.mark.parametrize(
    ("marked", "found"),
    [
        ('include "|a.policy"', '"a.policy"'),
        ('inc|lude\n"a.policy"', '"a.policy"'),
        ('include "a.policy"\n|', ""),
        ('on user "a|"', ""),
    ],
)
def test_the_include_at_a_place(marked: str, found: str) -> None:
    include = include_at(*cursor(marked))
    assert (include.text if include else "") == found


def test_what_is_included() -> None:
    text = 'include "a/*.policy" # include "b"\nmonitor-policy { include "c" on user "include" margin 1 }'
    assert include_patterns(text) == ("a/*.policy", "c")


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("monitor-policy { on user a { margin 1 } } monitor-policy { }", [(0, 41), (42, 60)]),
        ("monitor-policy { on user a { margin 1", [(0, 37)]),
        ('# monitor-policy {\ndefine monitor = "}"', []),
        ("} } monitor-policy { }", [(4, 22)]),
    ],
)
def test_blocks(text: str, covered: list[tuple[int, int]]) -> None:
    assert blocks(text) == tuple(Block(*pair) for pair in covered)
