"""How to write a monitor: what the document says to type works, and its reference is current."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from migrated.lab import is_privileged
from monitors.reporting import FLOOD_RATE, FLOOD_S
from monitors.testing.examination import SUBJECTS
from tests.docs.blocks import ROOT

DOCUMENT = ROOT / "docs" / "writing-monitors.md"
TEXT = DOCUMENT.read_text()
NAMESPACE = "unshare --user --map-root-user --net\n"
PATIENCE_S = 200.0


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hook_reference", ROOT / "tools" / "hook_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_docstrings_say() -> None:
    assert tool().replaced(TEXT) == TEXT, "run `python tools/hook_reference.py`"


def test_the_reference_has_all_that_authors_use() -> None:
    reference = tool().reference()
    for module, names in tool().contents().items():
        assert f"### `{module.__name__}`" in reference
        for name in names:
            assert re.search(rf"^\*\*`(?:async |class )?{name}\b", reference, re.MULTILINE), name
        public = {*getattr(module, "__all__", ()), *names} - {"Check", "Examination", "Finding"}
        assert public == set(names)


def test_a_document_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the document needs the lines"):
        tool().replaced("# Title\n")


def walk_through() -> list[str]:
    """Return the commands of the walk-through, but for the one that opens a namespace."""
    section = TEXT.partition("\n## Ten minutes\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert NAMESPACE in blocks
    return [block for block in blocks if block != NAMESPACE]


@pytest.mark.netns
@pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")
def test_the_walk_through_leads_to_a_link_that_is_not_used_any_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("own")  # a socket's path has 107 bytes at most
    # With `set -e` the first command that fails ends it; the daemon ends with its namespace's last shell.
    script = "\n".join(["set -e", *walk_through(), "kill %1", "wait"])
    done = subprocess.run(
        [
            # `unshare --fork` blocks SIGTERM, and a namespace's first process ignores it: both would go on.
            "timeout",
            "--signal=KILL",
            f"{PATIENCE_S}",
            *NAMESPACE.split(),
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            script,
        ],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    log = folder / "weather" / "trial" / "log"
    said = f"{done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}"
    assert done.returncode == 0, said
    assert "3 passed" in said
    assert "nothing is wrong" in said
    assert re.search(r"^weather +file +running", done.stdout, re.MULTILINE), said
    assert re.search(r"^weather\.load +host +7 ", done.stdout, re.MULTILINE), said
    before, after = re.findall(r"^eth0 +10\.0\.0\.5 .*$", done.stdout, re.MULTILINE)
    assert "weather.policy:2)" in before, said
    assert "ruled out by `never`" in after, said
    assert "weather.policy:4)" in after, said


def environment(folder: Path) -> Mapping[str, str]:
    """Return an environment in which Migrate is the installed one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIGRATE_", "PYTEST_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}


def test_its_numbers_are_current() -> None:
    assert FLOOD_S == 5
    assert f"More than {FLOOD_RATE:,} events a second are a flood, after five seconds" in TEXT
    assert SUBJECTS == 1000
    assert "of a thousand subjects that came and went" in TEXT
