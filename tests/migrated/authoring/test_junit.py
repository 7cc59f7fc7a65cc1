"""The report for servers that read JUnit XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring

from hypothesis import given
from hypothesis import strategies as st

from migrated.authoring.junit import to_junit
from migrated.authoring.running import Outcome, Told

FILE = Path("a.timeline.toml")
PASSED = Outcome(file=FILE, name="good", line=2, status="passed")
FAILED = Outcome(
    file=FILE,
    name="bad",
    line=7,
    status="failed",
    message='at 5s: s: expected <"eth0"> & co, found wlan0',
    story=(Told(at=5.0, text="down eth0"),),
)
ODD = Outcome(file=FILE, name="odd", line=9, status="error", message="there is no link `x`")


def test_every_test_is_a_case_of_its_files_suite() -> None:
    report = to_junit({"a": ((PASSED, 0.5), (FAILED, 0.25), (ODD, 0.0))}, {"b": "b: not TOML\nat all"})
    root = fromstring(report)
    assert root.tag == "testsuites"
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "2",
        "skipped": "0",
        "time": "0.750",
    }
    a, b = root.findall("testsuite")
    assert [(case.get("name"), case.get("time")) for case in a] == [
        ("good", "0.500"),
        ("bad", "0.250"),
        ("odd", "0.000"),
    ]
    assert [[child.tag for child in case] for case in (*a, *b)] == [[], ["failure"], ["error"], ["error"]]
    failure = a[1][0]
    assert failure.get("message") == FAILED.message
    assert failure.text == "a.timeline.toml:7\n5s down eth0"
    assert b[0][0].text == "b: not TOML\nat all"


@given(st.text())
def test_no_text_breaks_the_report(text: str) -> None:
    outcome = Outcome(file=FILE, name=text, line=1, status="failed", message=text)
    fromstring(to_junit({text: ((outcome, 0.0),)}, {text + "x": text}))
