"""What the documents say of facts and monitors is what the program has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitors.discovery import discover
from monitors.facts import STANDARD_FACTS, UNITS, Fact, FactTable, FactType, Subject
from policylang import load_policy
from tests.docs.blocks import ROOT
from tests.docs.test_cookbook import POLICIES, name

MONITORS = discover(plugins=False).monitors
MEASURED = {fact.name: fact for monitor in MONITORS for fact in monitor.facts}

ABOUT = {
    Subject.HOST: "the host",
    Subject.LINK: "a link",
    Subject.PATH: "a link towards a peer",
    Subject.SESSION: "a session",
    Subject.CONNECTION: "a connection",
}


def table(document: str, first_column: str) -> Iterator[list[str]]:
    """Yield the rows of the table whose first column has this title."""
    text = (ROOT / "docs" / document).read_text()
    rows = text.partition(f"\n| {first_column} |")[2].partition("\n\n")[0].splitlines()[2:]
    return ([cell.strip() for cell in row.strip("|").split(" | ")] for row in rows)


def words_of(fact: Fact) -> str:
    """Return what the reference says of a fact's values."""
    if fact.type is FactType.FLAG:
        return "`yes`, `no`"
    words = (*fact.choices, *UNITS[fact.unit])
    return ", ".join(f"`{word}`" for word in words) or {"number": "a number", "text": "text"}[fact.type.value]


def test_the_reference_lists_the_facts_of_the_language_and_no_others() -> None:
    wanted = [
        [f"`{fact.name}`", ABOUT[fact.subject], words_of(fact), f"`{fact.monitor}`", fact.summary]
        for fact in STANDARD_FACTS.values()
    ]
    assert list(table("policy-reference.md", "fact")) == wanted


def test_every_fact_of_the_language_is_measured_by_the_monitor_that_it_names() -> None:
    measured = {fact.name: monitor.name for monitor in MONITORS for fact in monitor.facts}
    assert {fact.name: measured.get(fact.name) for fact in STANDARD_FACTS.values()} == {
        fact.name: fact.monitor for fact in STANDARD_FACTS.values()
    }


def test_the_manual_lists_the_built_in_monitors_and_their_facts() -> None:
    listed = {
        row[0].strip("`"): set(re.findall(r"`(.*?)`", row[2])) for row in table("monitors.md", "monitor")
    }
    assert listed.keys() == {monitor.name for monitor in MONITORS}
    for monitor in MONITORS:
        facts = {fact.name for fact in monitor.facts}
        assert listed[monitor.name] <= facts
        assert {fact for fact in facts if fact in STANDARD_FACTS} <= listed[monitor.name]


def test_the_manual_names_every_fact_that_is_measured() -> None:
    text = (ROOT / "docs" / "monitors.md").read_text()
    assert [fact for fact in MEASURED if f"`{fact}`" not in text] == []


@pytest.mark.parametrize("policy", POLICIES, ids=name)
def test_what_the_recipes_ask_for_is_measured(policy: Path) -> None:
    result = load_policy([policy], facts=lambda: FactTable.of(MEASURED.values()))
    assert result.diagnostics == ()
