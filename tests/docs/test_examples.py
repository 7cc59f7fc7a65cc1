"""Every policy, timeline and command of the documents does what stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrated.authoring.policies import every_fact
from migrated.authoring.running import PolicyShelf, run
from migrated.authoring.timeline_file import parse_timelines
from migrated.commands import cli
from policylang import DEFAULT_POLICY_FILE, Diagnostic, Severity, parse_policy
from policylang.formatting import format_policy
from tests.docs.blocks import DOCUMENTS, ROOT, Block, Section, sections

OF_THE_PROJECT = ("examples/", "policylang/")
MY_POLICY = "my.policy"
MY_TIMELINES = "my.timeline.toml"

# Documents with tests of their own: what the formatter is given, timelines, and how to write a monitor.
TESTED_ELSEWHERE = {
    ("docs/formatting.md", "text"),
    ("docs/timelines.md", "migrate"),
    ("docs/timelines.md", "toml"),
    ("docs/writing-monitors.md", "sh"),
}

SECTIONS = [section for document in DOCUMENTS for section in sections(document)]
POLICY_TEXT = re.compile(
    r"\bmonitor-policy\s*\{|^\s*(?:score-interface|on|when) \S+|^\[\[test\]\]|^\$ migrate policy",
    re.MULTILINE,
)


def policy(block: Block, folder: Path) -> None:
    """Check a policy; it is canonical too."""
    name = block.name(MY_POLICY)
    if name.startswith(OF_THE_PROJECT):
        assert block.text == (ROOT / name).read_text(), f"{block.place}: {name} is another"
        return
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(block.text)
    errors = [d for d in parse(block, folder) if d.severity is Severity.ERROR]
    assert not errors, f"{block.place}: {errors[0].message}"
    assert format_policy(block.text).text == block.text, f"{block.place}: not canonical"


def policy_as_written(block: Block, folder: Path) -> None:
    """Check a policy whose lines are what it is about: the formatter would break them elsewhere."""
    errors = [d for d in parse(block, folder) if d.severity is Severity.ERROR]
    assert not errors, f"{block.place}: {errors[0].message}"
    assert format_policy(block.text).text != block.text, f"{block.place}: canonical"


def policy_error(block: Block, folder: Path) -> None:
    """Check that a policy has these mistakes."""
    codes = [diagnostic.code for diagnostic in parse(block, folder)]
    assert codes == list(block.words[1:]), f"{block.place}: {codes}"


def parse(block: Block, folder: Path) -> tuple[Diagnostic, ...]:
    return parse_policy(block.text, MY_POLICY, folder=folder, facts=every_fact).diagnostics


def timeline(block: Block, folder: Path) -> None:
    """Run timelines."""
    name = block.name(MY_TIMELINES)
    if name.startswith(OF_THE_PROJECT):
        assert block.text in (ROOT / name).read_text(), f"{block.place}: {name} is another"
        return
    whole = block.text.startswith("policy =")
    text = block.text if whole else f'policy = ["{MY_POLICY}"]\n\n{block.text}'
    (folder / name).write_text(text)
    file = parse_timelines(text.encode(), folder / name)
    shelf = PolicyShelf(file)
    for test in file.tests:
        outcome = run(test, file, shelf)
        assert outcome.status == "passed", f"{block.place}: {test.name}: {outcome.message}"
        assert outcome.checked, f"{block.place}: {test.name} expects nothing"


def console(block: Block, folder: Path) -> None:
    """Run commands and compare what they print."""
    assert block.text.startswith("$ "), block.place
    for command, printed in commands(block.text):
        program, *arguments = shlex.split(command)
        assert program == "migrate", f"{block.place}: {command}"
        result = CliRunner().invoke(cli, arguments, prog_name="migrate")
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            f"{block.place}: {command}"
        )
        assert plain(result.output) == plain(printed), f"{block.place}: {command}"


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a block, and what stands below each."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.replace("\\\n", " ").partition("\n")
        yield command, printed


def plain(output: str) -> str:
    """Return what a command prints without what differs from host to host."""
    lines = output.replace(f"{DEFAULT_POLICY_FILE.parent}/", "").splitlines()
    return "\n".join(re.sub(r"in \d+\.\d\d s", "in 0.01 s", line).rstrip() for line in lines).strip()


RUN: dict[str, Callable[[Block, Path], None]] = {
    "policy": policy,
    "policy-as-written": policy_as_written,
    "policy-error": policy_error,
    "toml timeline": timeline,
    "console": console,
}


RUNNABLE = [section for section in SECTIONS if any(block.kind in RUN for block in section.blocks)]


@pytest.mark.parametrize("section", RUNNABLE, ids=lambda section: section.title)
def test_the_examples_of_a_section(section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in section.blocks:
        if block.kind in RUN:
            RUN[block.kind](block, tmp_path)


def test_no_policy_escapes() -> None:
    """A block with policy text, a timeline or a command about policies is one that is run."""
    escaped = [
        block.place
        for section in SECTIONS
        for block in section.blocks
        if block.kind not in RUN
        and POLICY_TEXT.search(block.text)
        and (block.place.partition(":")[0], block.kind) not in TESTED_ELSEWHERE
    ]
    assert escaped == []


WRITTEN_BY_ECHO = re.compile(r"echo '(monitor-policy [^']*)'")


def test_policies_that_commands_write() -> None:
    texts = [text for document in DOCUMENTS for text in WRITTEN_BY_ECHO.findall(document.read_text())]
    assert texts
    for text in texts:
        assert parse_policy(text, "<echo>").diagnostics == ()
