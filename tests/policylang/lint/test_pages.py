"""Every rule has a page, and the examples on the pages are what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policylang.lint import RULES, lint_text

PAGES = Path(__file__).parents[3] / "docs" / "lint"
INTERFACES = frozenset({"eth0", "wlan0", "ppp0", "wwan0"})
EXAMPLE = re.compile(r"^## (Bad|Good)\n\n```policy(?:-as-written)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def found(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in lint_text(text, interfaces=INTERFACES)]


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert sorted(path.stem for path in PAGES.glob("P*.md")) == sorted(RULES)


@pytest.mark.parametrize("code", RULES)
def test_a_page(code: str) -> None:
    text = (PAGES / f"{code}.md").read_text()
    assert text.startswith(f"# {code}: {RULES[code].name}\n")
    assert f"# lint: allow {code}" in text
    examples = dict(EXAMPLE.findall(text))
    assert found(examples["Bad"]) == [code]
    assert found(examples["Good"]) == []


def test_the_index_lists_every_rule() -> None:
    index = (PAGES / "index.md").read_text()
    assert re.findall(r"^\| \[(P\d+)\]\(\1\.md\) \| (\S+) \|", index, re.MULTILINE) == [
        (code, rule.name) for code, rule in RULES.items()
    ]
