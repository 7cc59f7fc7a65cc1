"""The cookbook: its files are what the document says, and right; so are the policies to start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.authoring.coverage import coverage
from migrated.authoring.policies import every_fact
from migrated.authoring.running import Outcome, PolicyShelf, run
from migrated.authoring.timeline_file import read_timelines
from policylang import load_policy
from policylang.formatting import format_policy
from policylang.lint import lint_policy
from tests.docs.blocks import ROOT, sections

FOLDER = ROOT / "examples" / "cookbook"
POLICIES = sorted(FOLDER.glob("*.policy"))
TIMELINES = sorted(FOLDER.glob("*.timeline.toml"))
TO_START_WITH = [ROOT / "examples" / "laptop.policy", ROOT / "examples" / "server.policy"]
DOCUMENT = ROOT / "docs" / "cookbook.md"
SITUATIONS = 10


def name(path: Path) -> str:
    return path.name


def timelines_of(policy: Path) -> Path:
    return policy.with_suffix(".timeline.toml")


@pytest.mark.parametrize("path", [*POLICIES, *TO_START_WITH], ids=name)
def test_a_policy_is_right_canonical_and_without_fault(path: Path) -> None:
    assert load_policy([path], with_defaults=True, facts=every_fact).diagnostics == ()
    assert format_policy(path.read_text()).text == path.read_text()
    assert lint_policy([path]) == ()


@pytest.mark.parametrize("path", [*TIMELINES, *map(timelines_of, TO_START_WITH)], ids=name)
def test_a_policy_behaves_as_its_timelines_say_and_they_reach_every_statement(path: Path) -> None:
    file = read_timelines(path)
    shelf = PolicyShelf(file)
    outcomes = [run(test, file, shelf) for test in file.tests]
    assert [problem(outcome) for outcome in outcomes if outcome.status != "passed"] == []
    reached = {span for outcome in outcomes for span in outcome.reached}
    assert {c.file: c.missed_lines for c in coverage(shelf.policies(), reached) if c.missed} == {}


def problem(outcome: Outcome) -> str:
    return f"{outcome.name}: {outcome.message}"


def test_every_situation_has_a_policy_and_timelines_and_is_in_the_document() -> None:
    blocks = [block for section in sections(DOCUMENT) for block in section.blocks]
    shown = {block.name("") for block in blocks}
    assert {f"examples/cookbook/{path.name}" for path in (*POLICIES, *TIMELINES)} == shown
    assert len(TIMELINES) == SITUATIONS
    assert {path.stem.partition(".")[0] for path in TIMELINES} <= {path.stem for path in POLICIES}
