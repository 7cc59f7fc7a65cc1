from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrated.watching import survey as module
from migrated.watching.survey import Survey, survey


def names(found: Survey, below: Path) -> dict[str, set[str]]:
    """Return the names that count in each folder below one, that one as `.`."""
    return {
        os.path.relpath(folder.path, below): set(patterns)
        for folder, patterns in found.folders.items()
        if Path(folder.path).is_relative_to(below)
    }


def files(found: Survey) -> set[str]:
    return {stamp.path for stamp in found.files}


def test_every_folder_on_the_way_counts_with_one_name(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "policy.d" / "a.policy"
    file.parent.mkdir(parents=True)
    file.touch()
    found = survey([f"{tmp_path}/etc/policy.d/*.policy"])
    assert names(found, tmp_path) == {".": {"etc"}, "etc": {"policy.d"}, "etc/policy.d": {"*.policy"}}
    root = next(patterns for folder, patterns in found.folders.items() if folder.path == "/")
    assert root == {tmp_path.parts[1]}
    assert files(found) == {str(file)}


def test_what_does_not_exist_is_waited_for_where_it_would_appear(tmp_path: Path) -> None:
    found = survey([f"{tmp_path}/etc/policy.d/*.policy"])
    assert names(found, tmp_path) == {".": {"etc"}}
    assert files(found) == set()


def test_each_link_of_a_chain_counts_and_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "store" / "v1").mkdir(parents=True)
    (tmp_path / "store" / "v1" / "a.policy").touch()
    (tmp_path / "store" / "now").symlink_to("v1")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.policy").symlink_to("../store/now/a.policy")
    found = survey([f"{tmp_path}/d/a.policy"])
    assert names(found, tmp_path) == {
        ".": {"d", "store"},
        "d": {"a.policy"},
        "store": {"now", "v1"},
        "store/v1": {"a.policy"},
    }
    assert files(found) == {f"{tmp_path}/store/v1/a.policy"}


def test_up_again_behind_a_link_is_up_from_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "a.policy").touch()
    (tmp_path / "link").symlink_to("real/deep")
    assert files(survey([f"{tmp_path}/link/../a.policy"])) == {f"{tmp_path}/real/a.policy"}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    found = survey([f"{tmp_path}/a/x.policy"])
    assert names(found, tmp_path) == {".": {"a", "b"}}


def test_any_depth(tmp_path: Path) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "one", tmp_path / "one" / "two"):
        (folder / "a.policy").touch()
    found = survey([f"{tmp_path}/**/*.policy"])
    assert len(files(found)) == 3
    assert names(found, tmp_path)["one/two"] == {"*", "*.policy"}


def test_magic_in_a_folders_name(tmp_path: Path) -> None:
    for name in ("site-a", "site-b", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.policy").touch()
    assert files(survey([f"{tmp_path}/site-*/x.policy"])) == {
        f"{tmp_path}/site-a/x.policy",
        f"{tmp_path}/site-b/x.policy",
    }


def test_a_change_of_each_kind_shows(tmp_path: Path) -> None:
    file = tmp_path / "a.policy"
    file.write_text("one")
    os.utime(file, ns=(1, 1))
    seen = [survey([str(file)])]
    file.write_text("two")  # time
    seen.append(survey([str(file)]))
    os.utime(file, ns=(1, 1))
    file.write_text("three")
    os.utime(file, ns=(1, 1))  # size
    seen.append(survey([str(file)]))
    (tmp_path / "new").write_text("seven")
    os.utime(tmp_path / "new", ns=(1, 1))
    (tmp_path / "new").rename(file)  # inode
    seen.append(survey([str(file)]))
    file.chmod(0o600)
    seen.append(survey([str(file)]))
    file.unlink()
    seen.append(survey([str(file)]))
    assert len({found.files for found in seen}) == len(seen)
    assert survey([str(file)]) == seen[-1]


def test_the_number_of_folders_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FOLDERS", 10)
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    found = survey([f"{tmp_path}/*/x.policy"])
    assert len(found.folders) == 10
    assert not found.complete
    assert survey([f"{tmp_path}/1/x.policy"]).complete


def test_the_number_of_names_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 10)
    for number in range(20):
        (tmp_path / f"{number}.policy").touch()
    found = survey([f"{tmp_path}/*.policy"])
    assert len(found.files) < 10
    assert not found.complete
