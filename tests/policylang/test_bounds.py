"""What a policy may grow to, and that nothing in one makes its reader wait, crash or swallow the memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from glob import glob
from pathlib import Path

import pytest

from policylang import LoadResult, load_policy, parse_policy
from policylang.build import MAX_DEPTH
from policylang.checker import MAX_SET_USES
from policylang.loader import MAX_FILES, MAX_INCLUDE_DEPTH, MAX_POLICY_BYTES, MAX_TOTAL_BYTES, read_regular
from policylang.sets import MAX_SET_VALUES


def codes(result: LoadResult) -> set[str]:
    return {diagnostic.code for diagnostic in result.diagnostics}


def chain(folder: Path, files: int, before: str = "") -> LoadResult:
    """Load a policy whose files include each other, each with something before its `include`."""
    for number in range(files):
        text = f'monitor-policy {{ {before} include "{number + 1}.policy" }}'
        (folder / f"{number}.policy").write_text(text)
    (folder / f"{files}.policy").write_text("monitor-policy { margin 1 }")
    return load_policy([folder / "0.policy"])


@pytest.mark.parametrize(("files", "right"), [(MAX_INCLUDE_DEPTH, True), (MAX_INCLUDE_DEPTH + 1, False)])
def test_files_include_each_other_so_deep_and_no_deeper(tmp_path: Path, files: int, right: bool) -> None:
    assert (chain(tmp_path, files).policy is not None) is right


def test_a_long_chain_of_files_is_a_diagnostic(tmp_path: Path) -> None:
    assert codes(chain(tmp_path, MAX_FILES - 1)) == {"bad-include"}


@pytest.mark.parametrize("head", ["on proto tcp ", "when battery < 5% "])
def test_conditions_around_an_include_count_as_depth(tmp_path: Path, head: str) -> None:
    assert chain(tmp_path, 2, head * (MAX_DEPTH // 2)).policy is not None
    assert codes(chain(tmp_path, 3, head * (MAX_DEPTH // 2))) == {"too-deep"}


def test_large_sets_stand_for_so_many_values_and_no_more() -> None:
    names = ", ".join(str(port) for port in range(1, MAX_SET_VALUES + 1))
    uses = MAX_SET_USES // MAX_SET_VALUES
    text = f"define many = {names}\nmonitor-policy {{ %s }}"
    assert parse_policy(text % ("on port $many margin 1 " * uses)).policy is not None
    (problem,) = parse_policy(text % ("on port $many margin 1 " * (uses + 9))).diagnostics
    assert problem.code == "too-large"


def test_all_files_of_a_policy_have_a_largest_size(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("#" * (MAX_POLICY_BYTES - 40) + "\nmonitor-policy { margin 1 }")
    main = tmp_path / "main.policy"
    most = MAX_TOTAL_BYTES // MAX_POLICY_BYTES
    main.write_text('include "big"\n' * (most - 1))
    assert load_policy([main]).policy is not None
    main.write_text('include "big"\n' * (most + 1))
    assert codes(load_policy([main])) == {"too-large"}


def test_links_in_a_circle_are_not_followed_for_ever(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).symlink_to(".")
    (problem,) = parse_policy(f'include "{"*/" * 30}x*"', folder=tmp_path).diagnostics
    assert problem.code == "bad-include"
    assert "20000 names" in problem.message


def test_a_pattern_that_matches_too_many_files_is_a_diagnostic(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 5):
        (tmp_path / f"{number}.policy").write_text("monitor-policy { margin 1 }")
    assert codes(parse_policy('include "*.policy"', folder=tmp_path)) == {"bad-include"}


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*.policy",
        ".*",
        "sub/*",
        "s*/x.policy",
        "*/*",
        "[ab].policy",
        "no*/x",
        "./sub/../*",
        "**/*",
        "lin?",
    ],
)
def test_a_pattern_matches_what_the_shell_matches(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.policy", "b.policy", ".hidden.policy", "sub/x.policy", "sub/.y"):
        (tmp_path / name).write_text("monitor-policy { margin 1 }")
    (tmp_path / "link").symlink_to("nowhere")
    result = parse_policy(f'include "{pattern}"', folder=tmp_path)
    included = [source.file for source in result.sources[1:]]
    assert included == sorted(glob(str(tmp_path / pattern)))  # noqa: PTH207 - what it is compared with


def test_a_pipe_is_not_included_though_somebody_writes_into_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.policy")
    held = os.open(tmp_path / "pipe.policy", os.O_RDWR)
    try:
        (problem,) = parse_policy('include "*.policy"', folder=tmp_path).diagnostics
        with pytest.raises(OSError, match="not a regular file"):
            read_regular(tmp_path / "pipe.policy")
    finally:
        os.close(held)
    assert problem.code == "bad-include"
    assert "not a regular file" in problem.message


def test_a_device_is_not_included() -> None:
    (problem,) = parse_policy('include "/dev/null"').diagnostics
    assert problem.code == "bad-include"


def test_mistakes_beyond_those_that_are_shown_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def closest(word: str, known: Iterable[str]) -> str:
        asked.append(word)
        return min(known)

    monkeypatch.setattr("policylang.values.closest", closest)
    text = "monitor-policy {" + " ".join(f"on port no{i}, nor{i} margin 1" for i in range(2000)) + "}"
    assert codes(parse_policy(text)) == {"unknown-service", "too-many"}
    assert len(asked) < 150


def test_among_very_many_names_none_is_guessed() -> None:
    sets = "\n".join(f"define set{number} = 1" for number in range(3000))
    (problem,) = parse_policy(f"{sets}\nmonitor-policy {{ on port $sett1 margin 1 }}").diagnostics
    assert problem.code == "undefined"
    assert problem.replacement == ""


def test_a_file_that_can_have_no_name_is_a_diagnostic() -> None:
    assert codes(load_policy([Path("a\0b.policy")])) == {"unreadable"}
