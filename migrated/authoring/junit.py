"""Outcomes of tests as JUnit XML, which servers for continuous integration read.

Source: the schema of the Jenkins xUnit plug-in, ``junit-10.xsd``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from migrated.authoring.running import Outcome

FileOutcomes = tuple[tuple[Outcome, float], ...]
"""The tests of a file, each with how long it took, in seconds."""

_TAGS: Final = {"failed": "failure", "error": "error"}


def to_junit(files: Mapping[str, FileOutcomes], broken: Mapping[str, str]) -> bytes:
    """Return a report with a suite per file and a case per test.

    Args:
        files: The outcomes by the file's name.
        broken: Files that could not be run at all, and why.
    """
    every = [outcome for outcomes in files.values() for outcome in outcomes]
    root = Element("testsuites", _counts(every, len(broken)))
    for name, outcomes in files.items():
        suite = SubElement(root, "testsuite", {"name": _xml(name), **_counts(outcomes, 0)})
        for outcome, took_s in outcomes:
            _case(suite, outcome, took_s)
    for name, why in broken.items():
        suite = SubElement(root, "testsuite", {"name": _xml(name), **_counts((), 1)})
        case = SubElement(suite, "testcase", {"classname": _xml(name), "name": "the file", "time": "0.000"})
        _problem(case, "error", why.partition("\n")[0], why)
    report: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return report


def _case(suite: Element, outcome: Outcome, took_s: float) -> None:
    names = {"classname": _xml(str(outcome.file)), "name": _xml(outcome.name), "time": f"{took_s:.3f}"}
    case = SubElement(suite, "testcase", names)
    if outcome.status in _TAGS:
        text = "\n".join([f"{outcome.file}:{outcome.line}", *_story(outcome)])
        _problem(case, _TAGS[outcome.status], outcome.message, text)


def _problem(case: Element, tag: str, message: str, text: str) -> None:
    problem = SubElement(case, tag, {"message": _xml(message), "type": tag})
    problem.text = _xml(text)


def _story(outcome: Outcome) -> list[str]:
    return [f"{told.at:g}s {told.text}" for told in outcome.story]


def _counts(outcomes: Sequence[tuple[Outcome, float]], broken: int) -> dict[str, str]:
    statuses = [outcome.status for outcome, _ in outcomes]
    return {
        "tests": str(len(statuses) + broken),
        "failures": str(statuses.count("failed")),
        "errors": str(statuses.count("error") + broken),
        "skipped": "0",
        "time": f"{sum(took_s for _, took_s in outcomes):.3f}",
    }


def _xml(text: str) -> str:
    """Return a text without the characters that XML 1.0 (section 2.2) has no way to write."""
    return "".join(
        c if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff" and not _lone(c)) else "�" for c in text
    )


def _lone(character: str) -> bool:
    """Return whether it is one half of a surrogate pair."""
    return "\ud800" <= character <= "\udfff"
