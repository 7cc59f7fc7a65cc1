"""Files of timelines: what is read, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.authoring import timeline_file
from migrated.authoring.tables import TimelineError
from migrated.authoring.timeline_file import (
    FactWithLifetime,
    SessionTable,
    parse_timelines,
    read_timelines,
    several,
)

PATH = Path("dock.timeline.toml")
HEAD = 'policy = ["dock.policy"]\n'
GOOD = (
    HEAD
    + """
[[test]]
name = "first"
links = { eth0 = "10.0.0.5", wlan0 = ["10.1.0.5", "2001:db8::5"] }
facts = { hour = 3, "metered wlan0" = { value = true, lifetime = "5s" } }
sessions = { shell = "tcp 10.0.0.5:1 -> 10.0.0.9:22", web = { connections = ["x"], remote-host = "b.net" } }
steps = [
  { at = "0s", expect = { shell = "eth0" } },
  # { at = "1s", expect = { shell = "eth0" } },
  { at = "5s", down = "eth0" },
]

[[test]]
name = "second"

[[test.steps]]
note = "at night"
at = "1h"
"""
)


def test_tests_and_steps_are_read_with_their_lines() -> None:
    file = parse_timelines(GOOD.encode(), PATH)
    assert (file.path, file.policy, file.defaults) == (PATH, ("dock.policy",), True)
    first, second = file.tests
    assert (first.line, first.step_lines) == (3, (9, 11))
    assert (second.line, second.step_lines) == (14, (19,))
    assert first.facts == {"hour": 3.0, "metered wlan0": FactWithLifetime(value=True, lifetime="5s")}
    assert first.sessions["web"] == SessionTable(connections=["x"], remote_host="b.net")
    assert [step.at for step in (*first.steps, *second.steps)] == ["0s", "5s", "1h"]


def test_where_lines_are_not_found_the_test_is_named() -> None:
    text = HEAD + '[[test]]\nname = "a"\nsteps = [{ "at" = "0s" }, { at = "1s" }]'
    (only,) = parse_timelines(text.encode(), PATH).tests
    assert (only.line, only.step_lines) == (2, (2, 2))
    (only,) = parse_timelines(b'policy = []\ntest = [{ name = "a", steps = [] }]', PATH).tests
    assert only.line == 1


def test_a_name_is_one_or_several() -> None:
    assert [several(names) for names in ("", "a", ["a", "b"])] == [[], ["a"], ["a", "b"]]


def _step(fields: str) -> str:
    return HEAD + '[[test]]\nname = "t"\nsteps = [\n  { at = "5s", ' + fields + " },\n]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy = [", "dock.timeline.toml: this is not TOML: "),
        (HEAD, "dock.timeline.toml: the key `test` is missing"),
        (HEAD + "test = []", "dock.timeline.toml: there is no test in it; write `[[test]]`"),
        ('[[test]]\nname = "a"\nsteps = []', "dock.timeline.toml: the key `policy` is missing"),
        (HEAD + "polcy = 1\n[[test]]", "there is no key `polcy`; did you mean `policy`?"),
        (HEAD + "[[test]]\nsteps = []", "dock.timeline.toml:2: test 1: the key `name` is missing"),
        (HEAD + '[[test]]\nname = "t"', "dock.timeline.toml:2: test `t`: the key `steps` is missing"),
        (
            HEAD + '[[test]]\nname = "t"\nstepps = []',
            "dock.timeline.toml:2: test `t`: there is no key `stepps`; did you mean `steps`?",
        ),
        (
            _step('dwon = "eth0"'),
            "dock.timeline.toml:5: test `t`, step 1 (5s): there is no key `dwon`; did you mean `down`?",
        ),
        (_step("down = 5"), "step 1 (5s): `down`: expected text in quotes or a list in brackets, found"),
        (_step('moves = { shell = "2" }'), "`moves[...]`: expected a number, found text in quotes"),
        (_step("facts = 5"), "`facts`: expected a table, found a number"),
        (_step('open = { s = { conections = ["x"] } }'), "there is no key `conections`; did you mean `conn"),
        (_step("open = { s = { } }"), "`open[...]`: the key `connections` is missing"),
        (GOOD.replace("second", "first"), "two tests of the name `first`"),
        (HEAD + "[[test]]\nname = 1", "dock.timeline.toml:2: test 1: `name`: expected text in quotes, found"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(TimelineError) as caught:
        parse_timelines(text.encode(), PATH)
    assert message in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a = " + b"[" * 100_000, b"\0"])
def test_what_is_no_text_is_told(data: bytes) -> None:
    with pytest.raises(TimelineError, match="not TOML"):
        parse_timelines(data, PATH)


def test_a_policy_is_no_file_of_timelines() -> None:
    with pytest.raises(TimelineError, match=r"; timelines are in files such as `dock\.timeline\.toml`$"):
        parse_timelines(b"monitor-policy { }", Path("dock.policy"))


def test_a_file_is_read_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.timeline.toml"
    path.write_text(GOOD)
    assert len(read_timelines(path).tests) == 2
    monkeypatch.setattr(timeline_file, "MAX_BYTES", len(GOOD) - 1)
    with pytest.raises(TimelineError, match="too large"):
        read_timelines(path)
