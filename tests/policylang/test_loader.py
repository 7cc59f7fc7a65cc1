from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang import DEFAULT_POLICY_FILE, UNREADABLE, Diagnostic, load_policy, parse_policy_bytes
from policylang.ast import (
    Adopt,
    Condition,
    Delay,
    ExpireRule,
    Glob,
    Margin,
    MigrateRule,
    NumberRange,
    On,
    Prefix,
    ScoreInterface,
    Settle,
    Statement,
    SuspendRule,
)
from policylang.loader import MAX_POLICY_BYTES, service_port
from policylang.services import WELL_KNOWN_SERVICES

EXAMPLES = Path(__file__).parents[2] / "examples"

FIGURE_10 = """\
monitor-policy {
    score-interface * 1
    score-interface eth* 10
    score-interface eth0:1 1000
    score-interface ppp* 5
    on proto tcp {
        on remote-ip 18.31.0.4/24
            on port ssh
                score-interface eth* 100
        on l-port 3001-3010 {
            score-interface eth* 200 ;
            score-interface eth0:1 100
        }
        on port http, ftp
            migrate never
    }
}
"""


def failure(path: Path) -> Diagnostic:
    result = load_policy([path])
    assert result.policy is None
    (diagnostic,) = result.diagnostics
    assert diagnostic.span.file == str(path)
    return diagnostic


def shape(statements: tuple[Statement, ...]) -> list[object]:
    """Return statements without their places, as nested lists."""
    shown: list[object] = []
    for statement in statements:
        match statement:
            case ScoreInterface(pattern=Glob(text=text), amount=amount):
                shown.append((text, amount))
            case On(conditions=conditions, body=body):
                shown.append([*map(condition_shape, conditions), shape(body)])
            case MigrateRule(allowed=allowed):
                shown.append(("migrate", allowed))
            case _:
                raise AssertionError(statement)
    return shown


def condition_shape(condition: Condition) -> tuple[object, ...]:
    values: list[object] = []
    for value in condition.values:
        match value:
            case NumberRange(low=low, high=high):
                values.append((low, high))
            case Prefix(network=network):
                values.append(str(network))
            case _:
                values.append(getattr(value, "text", value))
    return (condition.key, *values)


def test_figure_10_letter_for_letter() -> None:
    assert (EXAMPLES / "figure10.policy").read_text() == FIGURE_10
    result = load_policy([EXAMPLES / "figure10.policy"])
    assert result.diagnostics == ()
    assert result.policy is not None
    assert shape(result.policy.statements) == [
        ("*", 1),
        ("eth*", 10),
        ("eth0:1", 1000),
        ("ppp*", 5),
        [
            ("proto", "tcp"),
            [
                [("remote-ip", "18.31.0.0/24"), [[("port", (22, 22)), [("eth*", 100)]]]],
                [("l-port", (3001, 3010)), [("eth*", 200), ("eth0:1", 100)]],
                [("port", (80, 80), (21, 21)), [("migrate", False)]],
            ],
        ],
    ]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.policy")), ids=lambda path: path.name)
def test_the_examples_have_no_problems(path: Path) -> None:
    assert load_policy([path]).diagnostics == ()


def test_the_defaults_come_first() -> None:
    result = load_policy([EXAMPLES / "figure10.policy"], with_defaults=True)
    assert result.policy is not None
    assert result.policy.files == (str(DEFAULT_POLICY_FILE), str(EXAMPLES / "figure10.policy"))
    assert isinstance(result.policy.statements[0], Margin)
    assert isinstance(result.policy.statements[-1], On)


def test_the_defaults_are_those_of_the_documentation() -> None:
    result = load_policy([], with_defaults=True)
    assert result.policy is not None
    by_type = {type(statement): statement for statement in result.policy.statements}
    expected: list[tuple[type[Statement], str, object]] = [
        (Margin, "amount", 1),
        (Settle, "duration_s", 2.0),
        (Delay, "duration_s", 0.0),
        (Adopt, "adopt", False),
        (SuspendRule, "after_s", 0.0),
        (ExpireRule, "after_s", 30 * 86400.0),
    ]
    for kind, attribute, value in expected:
        assert getattr(by_type[kind], attribute) == value


def test_files_keep_their_order_and_one_bad_file_spoils_all(tmp_path: Path) -> None:
    first, second, bad = tmp_path / "z.policy", tmp_path / "a.policy", tmp_path / "bad.policy"
    first.write_text("monitor-policy { margin 1 }")
    second.write_text("monitor-policy { margin 2 }")
    bad.write_text("monitor-policy { margin }")
    result = load_policy([first, second])
    assert result.policy is not None
    assert [s.amount for s in result.policy.statements if isinstance(s, Margin)] == [1, 2]
    spoilt = load_policy([first, bad, tmp_path / "missing"])
    assert spoilt.policy is None
    assert [d.span.file for d in spoilt.diagnostics] == [str(bad), str(tmp_path / "missing")]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    diagnostic = failure(tmp_path / "missing.policy")
    assert diagnostic.code == UNREADABLE
    assert "no such file" in diagnostic.message


def test_a_folder(tmp_path: Path) -> None:
    diagnostic = failure(tmp_path)
    assert diagnostic.code == UNREADABLE
    assert "is a directory" in diagnostic.message
    assert diagnostic.hint == "name the files in it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.policy"
    path.touch(mode=0o000)
    assert "permission denied" in failure(path).message


def test_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert "expected `monitor-policy`" in failure(path).message


def test_a_pipe_with_a_writer_is_read_to_its_end() -> None:
    reader, writer = os.pipe()

    def write() -> None:
        for part in (b"monitor-policy {", b" margin 1 ", b"}"):
            os.write(writer, part)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    result = load_policy([Path(f"/dev/fd/{reader}")])
    thread.join()
    os.close(reader)
    assert result.diagnostics == ()


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"\x7fELF\0\0\0", "not-text", "binary file"),
        (b"monitor-policy {\n# caf\xe9\n}", "not-text", "line 2 has the byte 0xe9"),
        (b"#" * 10_000_000, "too-large", "too large"),
        (b"#" * (MAX_POLICY_BYTES + 1), "too-large", "too large"),
    ],
)
def test_what_is_not_a_policy(tmp_path: Path, data: bytes, code: str, message: str) -> None:
    path = tmp_path / "x.policy"
    path.write_bytes(data)
    diagnostic = failure(path)
    assert (diagnostic.code, diagnostic.span.line) == (code, 0)
    assert message in diagnostic.message


def test_an_endless_file_is_read_to_the_limit() -> None:
    assert failure(Path("/dev/zero")).code == "too-large"


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert parse_policy_bytes(b"\xef\xbb\xbfmonitor-policy { margin 1 }").diagnostics == ()


@given(st.binary(max_size=300))
def test_no_content_raises(data: bytes) -> None:
    result = parse_policy_bytes(data)
    assert result.policy is not None or result.diagnostics


def test_services_are_known_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> int:
        raise OSError(name)

    service_port.cache_clear()
    monkeypatch.setattr(socket, "getservbyname", missing)
    try:
        assert {name: service_port(name) for name in WELL_KNOWN_SERVICES} == dict(WELL_KNOWN_SERVICES)
        assert service_port("nonsense") is None
    finally:
        service_port.cache_clear()
