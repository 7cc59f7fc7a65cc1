from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang import Severity, parse_policy
from policylang.ast import Condition, Name, NumberRange, On, Prefix


def condition(text: str) -> Condition:
    result = parse_policy(f"monitor-policy {{ on {text} margin 1 }}")
    assert result.policy is not None, result.diagnostics
    (on,) = result.policy.statements
    assert isinstance(on, On)
    return on.conditions[0]


def errors(body: str) -> list[tuple[str, str]]:
    result = parse_policy(f"monitor-policy {{ {body} }}")
    return [(d.code, f"{d.message} ({d.hint})") for d in result.diagnostics if d.severity is Severity.ERROR]


@pytest.mark.parametrize("key", ["port", "l-port", "any-port"])
@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("22", 22, 22), ("ssh", 22, 22), ("3001-3010", 3001, 3010), ("0-65535", 0, 65535)],
)
def test_ports(key: str, text: str, low: int, high: int) -> None:
    (value,) = condition(f"{key} {text}").values
    assert isinstance(value, NumberRange)
    assert (value.low, value.high, value.text) == (low, high, text)


@pytest.mark.parametrize("key", ["remote-ip", "local-ip"])
@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("18.31.0.4/24", "18.31.0.0/24"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_prefixes(key: str, text: str, network: str) -> None:
    (value,) = condition(f"{key} {text}").values
    assert isinstance(value, Prefix)
    assert value.network == ip_network(network)
    assert value.text == text


@pytest.mark.parametrize("key", ["user", "app", "session"])
def test_names(key: str) -> None:
    values = condition(f'{key} not alice, "migrate", 1000').values
    assert [value.text for value in values if isinstance(value, Name)] == ["alice", "migrate", "1000"]
    assert condition(f"{key} not alice").negated


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("on port 65536 margin 1", "bad-port", "from 0 to 65535"),
        ("on port 1-70000 margin 1", "bad-port", "`70000`"),
        ("on port 022 margin 1", "bad-number", "write `22`"),
        ("on port 9-1 margin 1", "bad-range", "write `1-9`"),
        ("on port 1-2-3 margin 1", "unknown-service", "`1-2-3`"),
        ("on port htp margin 1", "unknown-service", "did you mean `http`?"),
        ("on remote-ip 10.0.0.0/33 margin 1", "bad-prefix", "from 0 to 32"),
        ("on remote-ip ::1/129 margin 1", "bad-prefix", "from 0 to 128"),
        ("on remote-ip 10.0.0.0/255.0.0.0 margin 1", "bad-prefix", "`255.0.0.0`"),
        ("on remote-ip 10.0.0.0/ margin 1", "bad-prefix", "from 0 to 32"),
        ("on remote-ip 10.0.0.01 margin 1", "bad-address", "`10.0.0.01`"),
        ("on remote-ip example.org margin 1", "bad-address", "is not an IP address"),
        ("on remote-ip fe80::1%eth0 margin 1", "bad-address", "names an interface"),
        ("on proto TCP margin 1", "unknown-protocol", "did you mean `tcp`?"),
        ("on role sever margin 1", "unknown-role", "did you mean `server`?"),
        ('on user "" margin 1', "empty-value", "empty"),
        ("settle 2", "bad-duration", "no unit"),
        ("settle 2sec", "bad-duration", "`sec` is not a unit of time"),
        ("delay -1s", "bad-duration", "negative"),
        ("expire after 3651d", "bad-duration", "too long"),
        ("margin 1000001", "bad-number", "1000000"),
        ("margin " + "9" * 5000, "bad-number", "too large"),
        ("score-interface eth0 +01", "bad-number", "write `1`"),
        ("score-interface eth[0 5", "bad-pattern", "`[` without `]`"),
        ("score-interface current never", "never-at-rest", "leave each of them at once"),
        ("when rto > 3s score-interface current never", "never-at-rest", "leave each of them at once"),
        ("score-interface current avoid", "never-at-rest", "this avoids whatever link a session is on"),
        ('score-interface "" 5', "empty-value", "`*` matches everything"),
    ],
)
def test_values_that_make_no_sense(body: str, code: str, message: str) -> None:
    ((found, text),) = errors(body)
    assert found == code
    assert message in text


@pytest.mark.parametrize(
    ("body", "code"), [("on port http, ssh, http margin 1", "repeated"), ("on port ssh { }", "empty-block")]
)
def test_what_has_no_effect_is_a_warning_and_no_obstacle(body: str, code: str) -> None:
    result = parse_policy(f"monitor-policy {{ {body} }}")
    assert result.policy is not None
    assert [(d.code, d.severity) for d in result.diagnostics] == [(code, Severity.WARNING)]


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_a_range_holds_what_was_written_or_is_turned_round_by_the_hint(a: int, b: int) -> None:
    text = f"on port {a}-{b} margin 1"
    if a <= b:
        (value,) = condition(f"port {a}-{b}").values
        assert isinstance(value, NumberRange)
        assert (value.low, value.high) == (a, b)
    else:
        ((_, message),) = errors(text)
        assert f"write `{b}-{a}`" in message


@pytest.mark.parametrize("pattern", ["*", "eth]", "[ab]", "[!ab]*", "[]]", "[!]]", "[[]", "a[0-9]b[x]"])
def test_patterns_with_whole_classes(pattern: str) -> None:
    assert errors(f"score-interface {pattern} 5") == []


@pytest.mark.parametrize("pattern", ["[", "eth[", "[]", "[!]", "[!", "[a]b[", "[[]["])
def test_patterns_with_a_bracket_left_open(pattern: str) -> None:
    assert [code for code, _ in errors(f"score-interface {pattern} 5")] == ["bad-pattern"]


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("monitor-policy { migrate nver }", "monitor-policy { migrate never }"),
        ("monitor-policy { on prot tcp margin 1 }", "monitor-policy { on proto tcp margin 1 }"),
        ("monitor-policy { on port shh margin 1 }", "monitor-policy { on port ssh margin 1 }"),
        ("monitor-policy { on port 9-3 margin 1 }", "monitor-policy { on port 3-9 margin 1 }"),
        ("monitor-policy { on proto TCP margin 1 }", "monitor-policy { on proto tcp margin 1 }"),
        (
            "monitor-policy { when rttt > 1s score-interface * 1 }",
            "monitor-policy { when rtt > 1s score-interface * 1 }",
        ),
        (
            "monitor-policy { when weekday = fryday margin 1 }",
            "monitor-policy { when weekday = friday margin 1 }",
        ),
        (
            "define office = ann monitor-policy { on user $ofice margin 1 }",
            "define office = ann monitor-policy { on user $office margin 1 }",
        ),
    ],
)
def test_writing_the_replacement_in_place_of_the_span_corrects_the_mistake(text: str, replaced: str) -> None:
    (diagnostic,) = parse_policy(text).diagnostics
    start, end = diagnostic.span.column - 1, diagnostic.span.end_column - 1
    assert text[:start] + diagnostic.replacement + text[end:] == replaced
    assert parse_policy(replaced).policy is not None
