from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policylang import Diagnostic, LoadResult, Severity, forget_grammar, parse_policy
from policylang.ast import (
    Adopt,
    Current,
    Delay,
    ExpireRule,
    Glob,
    Margin,
    MigrateRule,
    NotifyRule,
    On,
    ResumeRule,
    ScoreEffect,
    ScoreInterface,
    Settle,
    Span,
    Statement,
    SuspendRule,
)
from policylang.build import MAX_DEPTH
from policylang.expected import KEYS, RESERVED

TEN_MISTAKES = """\
monitor-policy {
    scor-interface eth* 10
    score-interface eth0 ten
    settle 2
    on proto tpc migrate never
    on port 3010-3001 migrate never
    on remote-ip 999.1.2.3/24 migrate never
    on prot tcp { margin 2 } else { margin 3 }
    on proto tcp { margin }
    onproto tcp score-interfaceeth0 5
    on port shh { migrate never } else migrate always
    score-interface wlan0 5
}
"""


def one(body: str) -> Statement:
    """Return the only statement of a block."""
    (statement,) = statements(body)
    return statement


def statements(body: str) -> tuple[Statement, ...]:
    result = parse_policy(f"monitor-policy {{ {body} }}")
    assert result.policy is not None, result.diagnostics
    return result.policy.statements


def only_error(text: str) -> Diagnostic:
    result = parse_policy(text)
    assert result.policy is None
    (diagnostic,) = result.diagnostics
    return diagnostic


@pytest.mark.parametrize(
    ("text", "pattern", "effect", "amount"),
    [
        ("score-interface * 1", "*", ScoreEffect.SET, 1),
        ("score-interface eth0:1 +5", "eth0:1", ScoreEffect.ADD, 5),
        ("score-interface wl[a-z]?* -5", "wl[a-z]?*", ScoreEffect.ADD, -5),
        ("score-interface [!p]* never", "[!p]*", ScoreEffect.NEVER, 0),
        ("score-interface ppp* avoid", "ppp*", ScoreEffect.AVOID, 0),
        ("score-interface avoid avoid", "avoid", ScoreEffect.AVOID, 0),
        ('score-interface "on" 0', "on", ScoreEffect.SET, 0),
    ],
)
def test_score_interface(text: str, pattern: str, effect: ScoreEffect, amount: int) -> None:
    statement = one(text)
    assert isinstance(statement, ScoreInterface)
    assert isinstance(statement.pattern, Glob)
    assert (statement.pattern.text, statement.effect, statement.amount) == (pattern, effect, amount)


def test_the_attachment_point_in_use() -> None:
    statement = one("score-interface current +3")
    assert isinstance(statement, ScoreInterface)
    assert isinstance(statement.pattern, Current)


@pytest.mark.parametrize(
    ("text", "kind", "attribute", "value"),
    [
        ("migrate never", MigrateRule, "allowed", False),
        ("migrate always", MigrateRule, "allowed", True),
        ("margin 7", Margin, "amount", 7),
        ("settle 300ms", Settle, "duration_s", 0.3),
        ("settle 1.5s", Settle, "duration_s", 1.5),
        ("delay 2m", Delay, "duration_s", 120.0),
        ("adopt", Adopt, "adopt", True),
        ("adopt never", Adopt, "adopt", False),
        ("suspend after 0s", SuspendRule, "after_s", 0.0),
        ("suspend never", SuspendRule, "after_s", None),
        ("expire after 30d", ExpireRule, "after_s", 30 * 86400.0),
        ("expire never", ExpireRule, "after_s", None),
        ("resume eager", ResumeRule, "eager", True),
        ("resume lazy", ResumeRule, "eager", False),
        ("notify", NotifyRule, "notify", True),
        ("ignore", NotifyRule, "notify", False),
    ],
)
def test_simple_statements(text: str, kind: type[Statement], attribute: str, value: object) -> None:
    statement = one(text)
    assert isinstance(statement, kind)
    assert getattr(statement, attribute) == value


def test_layout_never_matters() -> None:
    spread = "on\n proto\n tcp,udp port 22 - 25\n{\n margin\n 1\n;\n;settle\t2s }\r\nelse # comment\n\n adopt"
    tight = "on proto tcp,udp port 22-25{margin 1;settle 2s}else adopt"
    first, second = one(spread), one(tight)
    assert isinstance(first, On)
    assert isinstance(second, On)
    assert [c.key for c in first.conditions] == [c.key for c in second.conditions] == ["proto", "port"]
    for on in (first, second):
        margin, settle = on.body
        assert isinstance(margin, Margin)
        assert isinstance(settle, Settle)
    assert isinstance(first.otherwise[0], Adopt)


def test_an_else_belongs_to_the_nearest_condition() -> None:
    outer = one("on proto tcp on port ssh margin 1 else margin 2")
    assert isinstance(outer, On)
    (inner,) = outer.body
    assert isinstance(inner, On)
    assert outer.otherwise == ()
    assert len(inner.otherwise) == 1


def test_a_block_keeps_an_else_for_the_outer_condition() -> None:
    outer = one("on proto tcp { on port ssh margin 1 } else margin 2")
    assert isinstance(outer, On)
    assert len(outer.otherwise) == 1


def test_a_span_covers_the_statement() -> None:
    result = parse_policy("monitor-policy {\n  on port ssh\n    margin 1\n}", "a.policy")
    assert result.policy is not None
    (on,) = result.policy.statements
    assert on.span == Span(file="a.policy", line=2, column=3, end_line=3, end_column=13)
    assert isinstance(on, On)
    assert on.conditions[0].span == Span(file="a.policy", line=2, column=6, end_line=2, end_column=14)


def test_several_blocks_follow_each_other() -> None:
    result = parse_policy("monitor-policy { margin 1 } monitor-policy { margin 2 }")
    assert result.policy is not None
    assert [s.amount for s in result.policy.statements if isinstance(s, Margin)] == [1, 2]


def test_ten_mistakes_are_ten_errors_each_with_its_place_and_what_to_do() -> None:
    found = parse_policy(TEN_MISTAKES).diagnostics
    expected = [
        (2, 5, "scor-interface", "did you mean `score-interface`?"),
        (3, 26, "ten", "a score such as `10`"),
        (4, 12, "has no unit", "`s`"),
        (5, 14, "`tpc` is not a protocol", "did you mean `tcp`?"),
        (6, 13, "runs backwards", "write `3001-3010`"),
        (7, 18, "`999.1.2.3` is not an IP address", "192.0.2.1"),
        (8, 8, "expected a key", "did you mean `proto`?"),
        (9, 20, "a whole number after `margin`", ""),
        (10, 5, "`onproto`", "put a space after `on`"),
        (11, 13, "`shh` is neither a port nor a known service", "did you mean `ssh`?"),
    ]
    assert [(d.span.line, d.span.column) for d in found] == [(line, column) for line, column, *_ in expected]
    for diagnostic, (_, _, message, help_) in zip(found, expected, strict=True):
        assert diagnostic.severity is Severity.ERROR
        assert message in diagnostic.message
        assert help_ in diagnostic.message + diagnostic.hint


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "expected `monitor-policy`"),
        ("# nothing\n", 2, "expected `monitor-policy`"),
        ("monitor-policy", 1, "expected `{` after `monitor-policy`"),
        ("monitor-policy\n{\n  margin 1\n", 2, "never closed"),
        ("monitor-policy {\n on proto tcp {\n margin 1\n", 2, "never closed"),
        ("monitor-policy {\n margin 1\nmonitor-policy { margin 2 }", 1, "never closed"),
        ("monitor-policy { margin 1 }\n}\n", 2, "found `}`"),
        ("monitor-polcy { margin 1\n on proto tcp { margin 2 } }", 1, "`monitor-polcy`"),
        ("score-interface * 1\non proto tcp { margin 1 }\nmargin 3", 1, "expected `monitor-policy`"),
        ("monitor-policy {\n score-interface eth0\n margin 1\n}", 2, "after `eth0`, found `margin`"),
        ("monitor-policy {\n score-interface eth0 5 6\n}", 2, "found `6`"),
        ("monitor-policy {\n on port ssh http migrate never\n}", 2, "`,`"),
        ("monitor-policy {\n on port ssh, { margin 1 }\n}", 2, "a value after `,`"),
        (
            "monitor-policy {\n on port ssh migrate never; else migrate always\n}",
            2,
            "`else` belongs to nothing",
        ),
        ('monitor-policy {\n on app "x\n margin 3\n}', 2, "quote that begins here is not closed"),
        ("monitor-policy {\n margin 1.5\n}", 2, "a whole number, found `1.5`"),
        ("{" * 5000, 1, "expected `monitor-policy`, found `{`"),
        ("monitor-policy {\n" + "{\n" * 50, 2, "expected a statement or `}`, found `{`"),
        ("monitor-policy {\n{{ margin 1 }\n}", 2, "expected a statement or `}`, found `{`"),
        ("monitor-policy {\n on {{{{ margin 1\n}", 2, "a key such as `proto` after `on`, found `{`"),
        ("monitor-policy { margin 1" + " }" * 5000, 1, "found `}`"),
        ("monitor-policy {\n suspend 5s\n}", 2, "`after` or `never`"),
        (
            "monitor-policy {\n score-interface a averse\n}",
            2,
            "a score such as `10` or `+5`, `avoid` or `never`",
        ),
        (
            "monitor-policy {\n score-server a avoid\n}",
            2,
            "expected a score such as `10` or `+5` or `never`, found `avoid`",
        ),
        ("monitor-policy {\n on proto migrate never\n}", 2, "a value or `not` after `proto`"),
    ],
)
def test_one_mistake_is_one_error(text: str, line: int, message: str) -> None:
    diagnostic = only_error(text)
    assert diagnostic.span.line == line
    assert message in diagnostic.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("when rto > 2s and rto < 3s settle 1s", "conditions nest"),
        ("on port ssh and user ann adopt", "keys follow one `on`"),
        ("on port ssh or http adopt", "list the values with commas"),
    ],
)
def test_there_are_no_words_between_conditions(text: str, hint: str) -> None:
    assert hint in only_error(f"monitor-policy {{ {text} }}").hint


@pytest.mark.parametrize(
    "text", ["settle 5s", "monitor-policy { settle 5s } margin 1", "on port ssh { adopt }"]
)
def test_statements_stand_in_a_block(text: str) -> None:
    assert only_error(text).hint == "statements stand inside of `monitor-policy { … }`"


@pytest.mark.parametrize(
    ("text", "column", "written"),
    [
        ("settle 5 s", 8, "5s"),
        ("settle 5  s # soon", 8, "5s"),
        ("expire after 7 d; margin 2", 14, "7d"),
        ("when rto > 300 ms settle 1s", 12, "300ms"),
        ("when rto > 1s for 1.5 m margin 2", 19, "1.5m"),
        ("when loss > 5 % score-interface * 1", 13, "5%"),
    ],
)
def test_a_unit_that_stands_alone_is_one_mistake(text: str, column: int, written: str) -> None:
    (found,) = parse_policy(f"monitor-policy {{\n{text}\n}}").diagnostics
    assert (found.code, found.span.line, found.span.column) == ("lone-unit", 2, column)
    assert (found.hint, found.replacement) == (f"write `{written}`", written)


@pytest.mark.parametrize("text", ["score-interface a 5 s", "margin 5 s", "settle 5s s", "settle 5s\nm"])
def test_other_words_after_numbers_are_no_units(text: str) -> None:
    assert only_error(f"monitor-policy {{ {text} }}").code == "unexpected"


@pytest.mark.parametrize(
    ("text", "column", "key"),
    [
        ("on port 22, user ann adopt", 11, "user"),
        ("on user ann , port 22 { adopt }", 13, "port"),
        ("on port 22,user not ann adopt", 11, "user"),
        ("on port 22, 23, proto tcp, role client adopt", 15, "proto"),
    ],
)
def test_a_comma_between_conditions_is_one_mistake(text: str, column: int, key: str) -> None:
    (found,) = parse_policy(f"monitor-policy {{\n{text}\n}}").diagnostics
    assert (found.code, found.span.line, found.span.column) == ("comma-before-key", 2, column)
    assert found.hint == f"take it away: `{key}` begins another condition"


def test_a_value_may_be_such_a_word() -> None:
    assert parse_policy("monitor-policy { on user ann, role, port on app ssh, user adopt }").diagnostics == ()
    assert only_error("monitor-policy { on user role 5 adopt }").code == "unexpected"


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("when not metered = yes adopt", 6, "`metered = no`"),
        ("when metered = yes until not metered = yes adopt", 26, "`metered = no`"),
        ("when metered not = yes adopt", 14, "write `!=`"),
        ("on not port 22 adopt", 4, "`on port not 22`"),
    ],
)
def test_not_is_told_its_place(text: str, column: int, hint: str) -> None:
    found = only_error(f"monitor-policy {{\n{text}\n}}")
    assert (found.code, found.span.line, found.span.column) == ("unexpected", 2, column)
    assert hint in found.hint


@pytest.mark.parametrize("text", ["adopt on port ssh", "adopt when hour < 8"])
def test_a_condition_without_a_body_is_told_its_place(text: str) -> None:
    found = only_error(f"monitor-policy {{\n{text}\n}}")
    assert (found.code, found.hint) == (
        "incomplete",
        "conditions stand before the statement that depends on them",
    )


def test_a_name_may_be_such_a_word() -> None:
    assert parse_policy("monitor-policy { on user and, or adopt }").diagnostics == ()


@pytest.mark.parametrize(
    "text",
    [
        "onproto tcp margin 1",
        "score-interfaceeth0 5",
        "on prototcp margin 1",
        "margin1",
        "adoptnever",
        "settle2s",
    ],
)
def test_words_do_not_glue(text: str) -> None:
    assert parse_policy(f"monitor-policy {{ {text} }}").policy is None


@given(
    st.sampled_from(
        ["score-interface", "on", "margin", "migrate", "settle", "adopt", "suspend", "not", "proto"]
    ),
    st.text("abcxyz0123456789-_:.*", min_size=1, max_size=6),
)
def test_a_keyword_ends_where_the_word_ends(keyword: str, tail: str) -> None:
    bodies = {
        "score-interface": "score-interface{} eth0 5",
        "on": "on{} proto tcp margin 1",
        "proto": "on proto{} tcp margin 1",
        "not": "on proto not{} tcp margin 1",
        "margin": "margin{} 1",
        "migrate": "migrate{} never",
        "settle": "settle{} 1s",
        "adopt": "adopt{} never",
        "suspend": "suspend{} after 1s",
    }
    assert parse_policy(f"monitor-policy {{ {bodies[keyword].format('')} }}").policy is not None
    assert parse_policy(f"monitor-policy {{ {bodies[keyword].format(tail)} }}").policy is None


def test_nesting_is_bounded_with_a_message() -> None:
    deepest = "on proto tcp " * MAX_DEPTH + "margin 1"
    assert parse_policy(f"monitor-policy {{ {deepest} }}").policy is not None
    assert only_error(f"monitor-policy {{ on proto tcp {deepest} }}").code == "too-deep"
    assert only_error(f"monitor-policy {{ {'on proto tcp ' * 5000} margin 1 }}").code == "too-deep"


def test_stray_braces_apart_from_each_other_are_several_mistakes() -> None:
    found = parse_policy("monitor-policy {\n {{ margin 1 }}\n margin 2\n { margin 3 }\n}").diagnostics
    assert [diagnostic.span.line for diagnostic in found] == [2, 4]


def test_errors_are_bounded_and_the_last_says_so() -> None:
    found = parse_policy("monitor-policy {" + "bogus;" * 5000 + "}").diagnostics
    assert len(found) == 101
    assert found[-1].code == "too-many"
    assert len(parse_policy("{}" * 5000).diagnostics) == 1


def test_a_hostile_word_is_printed_without_its_escapes() -> None:
    diagnostic = only_error("monitor-policy { on \x1b[31m margin 1 }")
    assert "\x1b" not in diagnostic.message
    assert "`\\x1b[31m`" in diagnostic.message


WORDS = sorted(
    RESERVED | KEYS | {"never", "after", "not", "for", "until", "current", "eager", "{", "}", ";", ","}
)
OPERANDS = [
    "eth*",
    "10",
    "+5",
    "2s",
    "tcp",
    "22-25",
    "10.0.0.0/8",
    "$SET",
    '"x"',
    '"',
    "=",
    "<",
    "#",
    "\n",
    "é\0",
]


def assert_sound(result: LoadResult, text: str) -> None:
    errors = [d for d in result.diagnostics if d.severity is Severity.ERROR]
    assert (result.policy is None) == bool(errors)
    lines = text.split("\n")
    for diagnostic in result.diagnostics:
        assert diagnostic.message
        assert diagnostic.span.line <= len(lines)
        assert (
            diagnostic.span.line == 0
            or 1 <= diagnostic.span.column <= len(lines[diagnostic.span.line - 1]) + 1
        )


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert_sound(parse_policy(text), text)


@given(st.lists(st.sampled_from(WORDS + OPERANDS), max_size=40).map(" ".join))
@example("on proto tcp else else { } } monitor-policy monitor-policy {")
def test_no_sequence_of_our_own_words_raises(words: str) -> None:
    for text in (words, f"monitor-policy {{ {words} }}"):
        assert_sound(parse_policy(text), text)


def test_every_pair_of_words_gives_a_policy_or_errors() -> None:
    for first, second in product(WORDS, WORDS):
        text = f"monitor-policy {{ {first} {second} }}"
        assert_sound(parse_policy(text), text)


def test_messages_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "import sys; from policylang import parse_policy, render_text\n"
        "print(*map(render_text, parse_policy(sys.stdin.read()).diagnostics), sep='\\n')"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            input=TEN_MISTAKES,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(outputs) == 1
    assert "did you mean" in outputs.pop()


def test_what_is_read_after_the_grammar_was_forgotten_is_the_same() -> None:
    text = 'monitor-policy { when loss >= 40% for 5s score-interface "eth 0" -5 }'
    before = parse_policy(text)
    forget_grammar()
    assert parse_policy(text) == before
