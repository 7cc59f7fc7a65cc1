"""The manual's example is run as it stands, and the manual names every key."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from migrated.authoring.timeline_file import FactWithLifetime, SessionTable, Step, Timeline, TimelineFile
from migrated.commands import cli
from migrated.recording import entries

DOCS = Path(__file__).parents[3] / "docs"
TIMELINES = (DOCS / "timelines.md").read_text(encoding="utf-8")
RECORDING = (DOCS / "recording.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", TIMELINES, re.DOTALL)
    assert isinstance(block, str)
    return block


def test_the_example_does_what_the_manual_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dock.policy").write_text(_block("migrate"))
    (tmp_path / "dock.timeline.toml").write_text(_block("toml"))
    session = TIMELINES.partition("    $ ")[2].partition("## A file")[0]
    command, *printed = [line.strip() for line in session.splitlines() if line]
    assert command.startswith("migrate policy test")
    result = CliRunner().invoke(cli, command.split()[1:])
    assert result.exit_code == 0
    output = [re.sub(r"in [\d.]+ s", "in 0.01 s", line) for line in result.output.splitlines() if line]
    assert output == printed


@pytest.mark.parametrize("table", [Step, SessionTable, FactWithLifetime], ids=lambda table: table.__name__)
def test_the_manual_names_every_key(table: type[msgspec.Struct]) -> None:
    missing = [key for key in table.__struct_encode_fields__ if not re.search(rf"`?{key}\b", TIMELINES)]
    assert missing == []


def test_the_manual_names_the_keys_of_files_and_tests() -> None:
    found = {*TimelineFile.__struct_fields__, *Timeline.__struct_fields__}
    keys = found - {"path", "tests", "line", "step_lines"}
    assert {key for key in keys if f"`{key}`" not in TIMELINES} == set()


def test_the_manual_names_every_line_of_a_log() -> None:
    kinds = [kind for kind in vars(entries).values() if isinstance(kind, type)]
    lines = [kind for kind in kinds if issubclass(kind, entries.Line) and kind is not entries.Line]
    assert len(lines) == 14
    for line in lines:
        assert f"`{line.__struct_config__.tag}`" in RECORDING
        for key in line.__struct_encode_fields__:
            assert f"`{key}`" in RECORDING
