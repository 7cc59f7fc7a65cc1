"""`define` and `$NAME`: what a set holds, where it is known, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylang import load_policy, parse_policy
from policylang.ast import Layer, Name, NumberRange, On, PatternSet, Prefix, ScoreInterface, ScoreServer
from policylang.loader import PolicyFile
from policylang.sets import MAX_SET_VALUES


def values(text: str) -> list[object]:
    """Return what the condition of the last statement compares with."""
    result = parse_policy(text)
    assert result.policy is not None, result.diagnostics
    on = result.policy.statements[-1]
    assert isinstance(on, On)
    shown: list[object] = []
    for value in on.conditions[0].values:
        match value:
            case NumberRange(low=low, high=high):
                shown.append((low, high))
            case Prefix(network=network):
                shown.append(str(network))
            case _:
                shown.append(getattr(value, "text", value))
    return shown


def problems(text: str) -> list[tuple[str, int, str]]:
    return [(d.code, d.span.line, f"{d.message} ({d.hint})") for d in parse_policy(text).diagnostics]


@pytest.mark.parametrize(
    ("defined", "condition", "expected"),
    [
        ("ssh, 80-90", "port $A", [(22, 22), (80, 90)]),
        ("ssh, 80-90", "port 1, $A, 2", [(1, 1), (22, 22), (80, 90), (2, 2)]),
        ("10.0.0.1/8, fd00::/8", "remote-ip $A", ["10.0.0.0/8", "fd00::/8"]),
        ("ann, bob", "user not $A", ["ann", "bob"]),
        ("tcp", "proto $A", ["tcp"]),
        ('"x y"', "app $A", ["x y"]),
        # The same set is a port here and a user there.
        ("ssh", "user $A", ["ssh"]),
    ],
)
def test_a_set_is_what_the_condition_makes_of_it(
    defined: str, condition: str, expected: list[object]
) -> None:
    assert values(f"define A = {defined} monitor-policy {{ on {condition} margin 1 }}") == expected


def test_sets_hold_sets() -> None:
    text = "define A = 1, 2 define B = $A, 3 define C = $B, $A monitor-policy { on port $C margin 1 }"
    assert values(text) == [(n, n) for n in (1, 2, 3, 1, 2)]


def test_a_set_of_patterns_scores_what_matches_one_of_them() -> None:
    text = 'define A = eth0, "ppp*" monitor-policy { score-interface $A 5 score-server $A never }'
    result = parse_policy(text)
    assert result.policy is not None
    interface, server = result.policy.statements
    assert isinstance(interface, ScoreInterface)
    assert isinstance(server, ScoreServer)
    for pattern in (interface.pattern, server.pattern):
        assert isinstance(pattern, PatternSet)
        assert (pattern.name, [glob.text for glob in pattern.globs]) == ("A", ["eth0", "ppp*"])


def test_a_set_is_known_from_there_on_also_out_of_a_body() -> None:
    text = "monitor-policy { on proto tcp { define A = 22 margin 1 } on port $A margin 2 }"
    assert values(text) == [(22, 22)]


def test_a_set_is_known_in_files_and_layers_read_later(tmp_path: Path) -> None:
    (tmp_path / "system").write_text("define A = 22")
    (tmp_path / "user").write_text("monitor-policy { on port $A margin 1 }")
    files = [
        PolicyFile(path=tmp_path / "user", layer=Layer.USER),
        PolicyFile(path=tmp_path / "system", layer=Layer.SYSTEM),
    ]
    assert load_policy(files).policy is not None
    (undefined,) = load_policy(files[:1]).diagnostics
    assert undefined.code == "undefined"


@pytest.mark.parametrize(
    ("text", "code", "line", "message"),
    [
        ("define A = 1\ndefine A = 2", "redefined", 2, "defined already, at <policy>:1"),
        ("define A = $A", "undefined", 1, "`$A` is not defined"),
        ("define A = $B\ndefine B = 1", "undefined", 1, "write `define` before its first use"),
        ("define PORTS = 1\ndefine B = $PORT", "undefined", 2, "did you mean `$PORTS`?"),
        (
            "define A = 1\nmonitor-policy { on remote-ip\n$A margin 1 }",
            "bad-address",
            3,
            "`$A` holds what does not belong here",
        ),
        ("define A = x\nmonitor-policy { on proto $A margin 1 }", "unknown-protocol", 2, "at <policy>:1"),
        ('define A = "eth[0"\nmonitor-policy { score-interface $A 1 }', "bad-pattern", 2, "without `]`"),
        ('define A = ""\nmonitor-policy { score-interface $A 1 }', "empty-value", 2, "is empty"),
        ("define A = 1 monitor-policy { on port $A, $A margin 1 }", "repeated", 1, "`$A` is already"),
    ],
)
def test_what_is_wrong_with_a_set(text: str, code: str, line: int, message: str) -> None:
    ((found, where, said),) = problems(text)
    assert (found, where) == (code, line)
    assert message in said


def test_a_set_that_nobody_defined_is_reported_once() -> None:
    text = "monitor-policy { on port $A margin 1 on port $A margin 2 score-interface $A 1 }"
    assert [code for code, _, _ in problems(text)] == ["undefined"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_set_has_a_most_size(more: int) -> None:
    half = ", ".join(map(str, range(MAX_SET_VALUES // 2)))
    extra = ", 9" * more
    text = f"define A = {half} define B = $A, $A{extra}"
    assert [code for code, _, _ in problems(text)] == ["too-large"] * more


def test_a_name_in_a_set_keeps_its_place() -> None:
    result = parse_policy("define A = ann monitor-policy { on user $A margin 1 }")
    assert result.policy is not None
    (on,) = result.policy.statements
    assert isinstance(on, On)
    (value,) = on.conditions[0].values
    assert isinstance(value, Name)
    assert value.span.column == 12
