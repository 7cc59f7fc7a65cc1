from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from migrated import log

LOGGER = logging.Logger("tests.log")


@pytest.fixture(autouse=True)
def own_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a hierarchy of loggers of our own: `configure` is for a whole process."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    monkeypatch.setattr(LOGGER, "parent", logging.root)


def test_an_event_is_one_line_with_a_time_stamp(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    log.event(LOGGER, logging.INFO, "moved", session="ab12", link="eth1", stopped_ms=0.42, urgent=True)
    stamp, rest = capsys.readouterr().err.split(" ", 1)
    assert rest == "moved session=ab12 link=eth1 stopped_ms=0.42 urgent=true\n"
    assert stamp.endswith("+00:00")


def test_a_warning_says_so_and_debugging_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    logging.root.debug("noise")
    log.event(LOGGER, logging.WARNING, "odd")
    written = capsys.readouterr().err
    assert written.endswith(" warning: odd\n")
    assert "noise" not in written


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("eth0:1", "eth0:1"),
        ("[::1]:22", "[::1]:22"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "a=b"', r'"say \"a=b\""'),
        ("a\nb\x1b[31m", r'"a\nb\u001b[31m"'),
        ("\u202eevil", r"\u202eevil"),
        (b"\x01\xff", '"01ff"'),
        (["x (a:1)", "y"], '["x (a:1)", "y"]'),
        (None, "null"),
    ],
)
def test_a_value_is_quoted_where_it_must_be(value: object, expected: str) -> None:
    assert log.render("e", {"v": value}) == f"e v={expected}"


def one_of_each_level(
    file: Path, journal_stream: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> str:
    with file.open("w") as stream, redirect_stderr(stream):
        monkeypatch.setenv("JOURNAL_STREAM", journal_stream(file))
        log.configure("DEBUG")
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            log.event(LOGGER, level, "e")
    return file.read_text()


def test_the_journal_gets_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def true_stream(file: Path) -> str:
        return f"{file.stat().st_dev}:{file.stat().st_ino}"

    written = one_of_each_level(tmp_path / "log", true_stream, monkeypatch)
    assert written.split() == ["<7>e", "<6>e", "<4>e", "<3>e", "<2>e"]


def test_an_inherited_journal_variable_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "<" not in one_of_each_level(tmp_path / "log", lambda _: "1:2", monkeypatch)


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(logging.INFO, "json")
    log.event(LOGGER, logging.ERROR, "refused", session="a b", level="mine", key=b"\x01")
    LOGGER.warning("two\nlines")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["event"] == "refused"
    assert (first["level"], first["logger"]) == ("error", "tests.log")
    assert first["fields"] == {"session": "a b", "level": "mine", "key": "01"}
    assert (second["event"], second["fields"]) == ("two\nlines", {})


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_shown(capsys: pytest.CaptureFixture[str], form: log.Format) -> None:
    log.configure(logging.INFO, form)
    try:
        raise KeyError("lost")
    except KeyError:
        LOGGER.exception("failed")
    written = capsys.readouterr().err
    assert "Traceback" in written
    assert "KeyError: 'lost'" in written


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        log.configure("LOUD")


def test_configuring_again_replaces_what_was_before(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    log.configure(format="json")
    LOGGER.info("once")
    assert capsys.readouterr().err.count("once") == 1
