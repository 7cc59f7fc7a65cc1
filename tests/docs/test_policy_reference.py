"""The reference has everything that the language has, each with two examples that run."""

from __future__ import annotations

import re
from itertools import pairwise

from monitors.facts import UNITS
from policylang.editing.meanings import KEY_MEANINGS, STATEMENT_MEANINGS
from tests.docs.blocks import ROOT, Block, sections

DOCUMENT = ROOT / "docs" / "policy-reference.md"
WORDS = {*STATEMENT_MEANINGS, *KEY_MEANINGS, "else", "monitor-policy"}
EXAMPLES = {section.title.rpartition(": ")[2].strip("`"): section.blocks for section in sections(DOCUMENT)}


def examples(blocks: tuple[Block, ...]) -> int:
    """Return how many policies there are whose effect is shown."""
    return sum(block.kind in ("policy-error", "toml timeline", "console") for block in blocks)


def test_every_statement_and_key_has_two_examples() -> None:
    few = {word for word in WORDS if examples(EXAMPLES.get(word, ())) < 2}
    assert few == set()


def test_every_example_has_a_policy_of_its_own() -> None:
    """What a timeline or a command shows is shown of the policy right above it."""
    for blocks in EXAMPLES.values():
        shown = [block.kind for block in blocks if block.name("") == "" or block.kind == "policy-error"]
        pairs = pairwise(shown)
        assert {first for first, second in pairs if second in ("toml timeline", "console")} <= {"policy"}


def test_every_operator_and_unit_is_used() -> None:
    texts = "".join(b.text for blocks in EXAMPLES.values() for b in blocks if b.kind == "policy")
    used = set(re.findall(r"when \S+ (\S+) [-+]?[\d.]*(\S*)", texts))
    assert {operator for operator, _ in used} == {"<", "<=", ">", ">=", "=", "!="}
    units = {word for units in UNITS.values() for word in units} - {"ms", "d"}
    assert units - {unit for _, unit in used} == set()
