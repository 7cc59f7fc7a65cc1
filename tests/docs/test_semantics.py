"""The named properties of docs/semantics.md have the tests that they name."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.blocks import ROOT

DOCUMENT = (ROOT / "docs" / "semantics.md").read_text()
TESTS = "".join(path.read_text() for path in Path(ROOT / "tests" / "engine").glob("test_*.py"))
NAMED = re.findall(r"^\| [^|]+ \| `(test_\w+)` \|$", DOCUMENT, re.MULTILINE)


def test_every_property_has_the_test_that_it_names() -> None:
    written = set(re.findall(r"^def (test_\w+)\(", TESTS, re.MULTILINE))
    assert NAMED
    assert set(NAMED) - written == set()
