from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from migrated.editor.analysis import MAX_LINTED, Analysis, analyse
from migrated.editor.documents import Documents, path_of
from policylang.loader import standard_facts


def found(analysis: Analysis) -> dict[str, list[tuple[int, str]]]:
    """Return line and code of every diagnostic by the names of the files."""
    return {
        path.name: [(diagnostic.span.line, diagnostic.code) for diagnostic in listed]
        for path, listed in analysis.diagnostics.items()
    }


def look(texts: Mapping[Path, str]) -> Analysis:
    return analyse(texts, facts=standard_facts, interfaces=frozenset({"eth0"}))


def test_what_is_shown_counts_and_not_what_is_on_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "a.policy"
    file.write_text("monitor-policy { margin 5 }")
    assert found(look({file: "monitor-policy { margn 5 }"})) == {"a.policy": [(1, "unexpected")]}
    assert found(look({file: "monitor-policy { margin 7 }"})) == {"a.policy": []}


def test_mistakes_are_said_of_the_file_that_has_them(tmp_path: Path) -> None:
    main, sets = tmp_path / "main.policy", tmp_path / "sets.policy"
    sets.write_text("define office = ann define office = bob")
    assert found(look({main: 'include "sets.policy" monitor-policy { on user $office margin 2 }'})) == {
        "main.policy": [],
        "sets.policy": [(1, "redefined")],
    }


@pytest.mark.parametrize("opened", [True, False])
def test_an_included_file_is_judged_in_its_policy(tmp_path: Path, opened: bool) -> None:
    (tmp_path / "parts").mkdir()
    main, part = tmp_path / "main.policy", tmp_path / "parts" / "part.policy"
    whole = 'define office = ann include "parts/*.policy"'
    main.write_text("" if opened else whole)
    text = "monitor-policy { on user $office margin 2 }"
    part.write_text(text)
    shown = {part: text, main: whole} if opened else {part: text}
    assert found(look(shown)) == {"main.policy": [], "part.policy": []}


def test_a_folder_of_fragments_is_one_policy(tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "10-sets.policy").write_text("define office = ann")
    text = "monitor-policy { on user $office margin 2 }"
    (folder / "20-rules.policy").write_text(text)
    assert found(look({folder / "20-rules.policy": text})) == {"10-sets.policy": [], "20-rules.policy": []}
    # A file that has not been saved yet is read last.
    assert found(look({folder / "15-new.policy": text}))["15-new.policy"] == []


def test_a_circle_is_reported_and_ends(tmp_path: Path) -> None:
    a, b = tmp_path / "a.policy", tmp_path / "b.policy"
    a.write_text('include "b.policy"')
    b.write_text('include "a.policy"')
    codes = {code for listed in found(look({a: a.read_text()})).values() for _, code in listed}
    assert codes == {"bad-include"}


def test_a_file_that_is_not_there_is_reported_where_it_is_included(tmp_path: Path) -> None:
    main = tmp_path / "main.policy"
    listed = look({main: '\n  include "gone.policy"'}).diagnostics[main]
    assert [(d.span.line, d.span.column, d.message) for d in listed] == [
        (2, 3, "`gone.policy`: cannot read this file: no such file or directory")
    ]


def test_what_is_hardly_meant_is_said_too(tmp_path: Path) -> None:
    main = tmp_path / "main.policy"
    (diagnostic,) = look({main: "monitor-policy { on remote-ip 18.31.0.4/24 margin 2 }"}).diagnostics[main]
    assert diagnostic.replacement == "18.31.0.0/24"


def test_a_huge_policy_is_not_linted_while_it_is_written(tmp_path: Path) -> None:
    main = tmp_path / "main.policy"
    text = "monitor-policy { on remote-ip 18.31.0.4/24 margin 2 }"
    assert look({main: text + "#" * (MAX_LINTED - len(text))}).diagnostics[main] != ()
    assert look({main: text + "#" * (MAX_LINTED - len(text) + 1)}).diagnostics[main] == ()


def test_a_neighbour_that_is_no_policy_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bad.policy").write_bytes(b"include \xff")
    (tmp_path / "folder.policy").mkdir()
    assert found(look({tmp_path / "a.policy": "monitor-policy { margin 2 }"})) == {"a.policy": []}


@pytest.mark.parametrize("text", ["\ud83d", "\0", "x" * (1 << 21)])
def test_what_is_no_text_gets_one_message(tmp_path: Path, text: str) -> None:
    assert [len(d) for d in look({tmp_path / "a.policy": text}).diagnostics.values()] == [1]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///etc/a%20b.policy", Path("/etc/a b.policy")),
        ("untitled:Untitled-1", Path.cwd() / "untitled:Untitled-1"),
        ("file:///etc/a%00b.policy", Path("/etc/a%00b.policy")),
    ],
)
def test_names_of_files(uri: str, path: Path) -> None:
    assert path_of(uri) == path


def test_a_byte_order_mark_moves_nothing() -> None:
    documents = Documents()
    documents.put("file:///a.policy", "\ufeffmonitor-policy { margn 1 }", 1)
    document = documents.at("file:///a.policy")
    assert document is not None
    (diagnostic,) = look(documents.texts()).diagnostics[document.path]
    assert diagnostic.span.column == 19


def test_a_linked_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "real.policy").write_text("")
    (tmp_path / "link.policy").symlink_to("real.policy")
    documents = Documents()
    documents.put((tmp_path / "link.policy").as_uri(), "monitor-policy { }", 3)
    assert documents.version_of(tmp_path / "real.policy") == 3
    assert documents.uri_of(tmp_path / "real.policy").endswith("link.policy")
    documents.remove((tmp_path / "link.policy").as_uri())
    documents.remove("file:///never/opened.policy")
    assert documents.texts() == {}
