"""`include` and layers: what is read, in which order, for whom, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylang import LoadResult, load_policy, parse_policy
from policylang.ast import ExpireRule, Layer, Margin, On, Statement
from policylang.loader import MAX_FILES, PolicyFile


def written(folder: Path, **files: str) -> Path:
    """Write files, `__` for a `/` in their names, and return the first."""
    paths = [folder / f"{name.replace('__', '/')}.policy" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return paths[0]


def margins(result: LoadResult) -> list[int]:
    assert result.policy is not None, result.diagnostics
    return [s.amount for s in flat(result.policy.statements) if isinstance(s, Margin)]


def flat(statements: tuple[Statement, ...]) -> list[Statement]:
    return [
        found
        for s in statements
        for found in ((*flat(s.body), *flat(s.otherwise)) if isinstance(s, On) else (s,))
    ]


def margin(number: int) -> str:
    return f"monitor-policy {{ margin {number} }}"


def test_the_statements_stand_where_the_include_does(tmp_path: Path) -> None:
    first = written(
        tmp_path, a=f'{margin(1)} include "b.policy" {margin(3)}', b=f'{margin(2)} include "sub/*.policy"'
    )
    written(tmp_path, sub__y=margin(8), sub__x=f'{margin(7)} include "z.policy"', sub__z=margin(9))
    assert margins(load_policy([first])) == [1, 2, 7, 9, 8, 9, 3]


def test_inside_a_body_its_conditions_hold_for_what_is_included(tmp_path: Path) -> None:
    first = written(
        tmp_path, a='monitor-policy { on proto tcp include "b.policy" else margin 2 }', b=margin(1)
    )
    result = load_policy([first])
    assert result.policy is not None
    (on,) = result.policy.statements
    assert isinstance(on, On)
    assert [type(s) for s in (*on.body, *on.otherwise)] == [Margin, Margin]
    assert [s.span.file for s in (*on.body, *on.otherwise)] == [str(tmp_path / "b.policy"), str(first)]


def test_an_absolute_name_and_one_above(tmp_path: Path) -> None:
    written(tmp_path, c=margin(1))
    first = written(tmp_path, sub__a=f'include "../c.policy" include "{tmp_path}/c.policy"')
    assert margins(load_policy([first])) == [1, 1]


def test_a_glob_that_matches_nothing_is_fine_and_is_watched(tmp_path: Path) -> None:
    result = load_policy([written(tmp_path, a=f'include "none/*.policy" {margin(1)}')])
    assert margins(result) == [1]
    assert result.patterns == (str(tmp_path / "none" / "*.policy"),)


def test_a_plain_name_must_be_there(tmp_path: Path) -> None:
    first = written(tmp_path, a='\n  include "none.policy"')
    (problem,) = load_policy([first]).diagnostics
    assert (str(problem.span), problem.code) == (f"{first}:2", "unreadable")
    assert problem.message == "`none.policy`: cannot read this file: no such file or directory"
    assert problem.source_line == '  include "none.policy"'


def test_a_file_that_is_no_text_is_reported_where_it_is_included(tmp_path: Path) -> None:
    first = written(tmp_path, a='include "b.policy"')
    (tmp_path / "b.policy").write_bytes(b"\0")
    (problem,) = load_policy([first]).diagnostics
    assert (str(problem.span), problem.message) == (f"{first}:1", "`b.policy`: this is a binary file")


def test_sources_say_who_included_them(tmp_path: Path) -> None:
    first = written(tmp_path, a='\ninclude "b.policy"', b=margin(1))
    asked, included = load_policy([PolicyFile(path=first, layer=Layer.USER)]).sources
    assert (asked.file, asked.layer, asked.included_by) == (str(first), Layer.USER, None)
    assert (included.file, included.layer) == (str(tmp_path / "b.policy"), Layer.USER)
    assert included.included_by is not None
    assert (included.included_by.file, included.included_by.line) == (str(first), 2)


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"a": 'include "a.policy"'}, 1),
        ({"a": 'include "b.policy"', "b": 'include "a.policy"'}, 2),
        (
            {
                "a": 'include "b.policy"',
                "b": 'include "sub/../c.policy"',
                "sub__x": "",
                "c": 'include "?.policy"',
            },
            3,
        ),
    ],
)
def test_a_circle_is_an_error_that_names_it(tmp_path: Path, files: dict[str, str], circle: int) -> None:
    problems = [d for d in load_policy([written(tmp_path, **files)]).diagnostics if "circle" in d.message]
    assert problems
    assert {d.code for d in problems} == {"bad-include"}
    assert max(d.message.count(" includes ") for d in problems) == circle


def test_a_circle_through_a_link_is_one_too(tmp_path: Path) -> None:
    first = written(tmp_path, a='include "other.policy"')
    (tmp_path / "other.policy").symlink_to(first)
    assert [d.code for d in load_policy([first]).diagnostics] == ["bad-include"]


def test_a_file_may_be_included_twice(tmp_path: Path) -> None:
    first = written(tmp_path, a='include "b.policy" include "b.policy"', b=margin(1))
    assert margins(load_policy([first])) == [1, 1]


def test_there_is_a_most_number_of_files(tmp_path: Path) -> None:
    first = written(tmp_path, a='include "b.policy" ' * (MAX_FILES - 1), b=margin(1))
    assert len(margins(load_policy([first]))) == MAX_FILES - 1
    first.write_text('include "b.policy" ' * MAX_FILES)
    (problem,) = load_policy([first]).diagnostics
    assert (problem.code, str(MAX_FILES) in problem.message) == ("bad-include", True)


def test_a_mistake_in_an_included_file_is_reported_there(tmp_path: Path) -> None:
    first = written(tmp_path, a='include "b.policy"', b="monitor-policy {\n margin 01 }")
    (problem,) = load_policy([first]).diagnostics
    assert (problem.span.file, problem.span.line, problem.code) == (
        str(tmp_path / "b.policy"),
        2,
        "bad-number",
    )
    assert problem.source_line == " margin 01 }"


def test_a_text_includes_from_the_folder_it_is_said_to_stand_in(tmp_path: Path) -> None:
    written(tmp_path, b=margin(4))
    assert margins(parse_policy('include "b.policy"', folder=tmp_path)) == [4]


def test_an_editor_shows_what_is_not_saved_yet(tmp_path: Path) -> None:
    first = written(tmp_path, a='include "b.policy"', b=margin(1))
    unsaved = {first: first.read_bytes(), tmp_path / "b.policy": margin(5).encode()}
    assert margins(load_policy([first], read=unsaved.__getitem__)) == [5]


def test_layers_are_read_in_their_order_and_files_of_one_in_that_given(tmp_path: Path) -> None:
    written(tmp_path, a=margin(1), b=margin(2), c=margin(3), d=margin(4))
    layers = [Layer.APPLICATION, Layer.SYSTEM, Layer.USER, Layer.SYSTEM]
    files = [
        PolicyFile(path=tmp_path / f"{name}.policy", layer=layer)
        for name, layer in zip("abcd", layers, strict=True)
    ]
    assert margins(load_policy(files)) == [2, 4, 3, 1]
    assert margins(load_policy(files, with_defaults=True)) == [1, 2, 4, 3, 1]


def test_an_expiry_knows_whose_it_is(tmp_path: Path) -> None:
    text = "monitor-policy { expire after 1d }"
    written(tmp_path, a=f'{text} include "b.policy"', b=text)
    files = [PolicyFile(path=tmp_path / "a.policy", layer=layer) for layer in (Layer.USER, Layer.SYSTEM)]
    result = load_policy(files, with_defaults=True)
    assert result.policy is not None
    found = [s.layer for s in result.policy.statements if isinstance(s, ExpireRule)]
    assert found == [Layer.DEFAULT, Layer.SYSTEM, Layer.SYSTEM, Layer.USER, Layer.USER]


@pytest.mark.parametrize("name", ["a\0b", "\0", "*\0", "\ud800", "a\ud800*"])
def test_what_can_be_no_file_is_a_diagnostic(name: str) -> None:
    (problem,) = parse_policy(f'include "{name}"').diagnostics
    assert problem.code == "bad-include"
    assert "no file can have this name" in problem.message


def test_a_link_that_may_not_be_followed_is_a_diagnostic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: str | Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    first = written(tmp_path, a='include "b.policy"')
    monkeypatch.setattr("os.path.realpath", forbidden)
    (problem,) = load_policy([first]).diagnostics
    assert problem.code == "unreadable"
