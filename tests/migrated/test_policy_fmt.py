"""`migrate policy fmt`: what is written, what is printed and the exit status."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli

UGLY = "monitor-policy { margin 1 ; # lead\nsettle 2s }"
CANONICAL = "monitor-policy {\n    margin 1  # lead\n    settle 2s\n}\n"
WRONG = "monitor-policy {\n    migrate nver\n}\n"


def fmt(*arguments: object, stdin: str | bytes = "") -> Result:
    command = ["policy", "fmt", *map(str, arguments)]
    return CliRunner().invoke(cli, command, input=stdin, prog_name="migrate")


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.policy"
    path.write_text(UGLY)
    return path


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    path = tmp_path / "fine.policy"
    path.write_text(CANONICAL)
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.policy"
    path.write_text(WRONG)
    return path


def test_a_file_is_rewritten_and_named(ugly: Path) -> None:
    result = fmt(ugly)
    assert (result.exit_code, result.stdout) == (0, f"{ugly}\n")
    assert result.stderr == "1 laid out anew\n"
    assert ugly.read_text() == CANONICAL
    assert list(ugly.parent.iterdir()) == [ugly]


def test_a_canonical_file_is_not_written(fine: Path) -> None:
    before = fine.stat()
    result = fmt(fine)
    after = fine.stat()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 canonical already\n")
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_with_mistakes_is_not_touched_and_the_others_are(wrong: Path, ugly: Path) -> None:
    result = fmt(wrong, ugly)
    assert result.exit_code == 1
    assert f"{wrong}:2:13: error: expected `always` or `never`, found `nver`" in result.stderr
    assert result.stderr.endswith("1 laid out anew, 1 not touched because of mistakes\n")
    assert (wrong.read_text(), ugly.read_text()) == (WRONG, CANONICAL)


def test_a_file_that_cannot_be_read_outranks_mistakes(wrong: Path, tmp_path: Path) -> None:
    result = fmt(wrong, tmp_path / "missing")
    assert result.exit_code == 2
    assert "cannot read this file: no such file or directory [unreadable]" in result.stderr


def test_what_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "latin.policy"
    path.write_bytes(b"monitor-policy { } # \xe9")
    result = fmt(path)
    assert (result.exit_code, path.read_bytes()) == (1, b"monitor-policy { } # \xe9")
    assert "line 1 has the byte 0xe9, which is not UTF-8 [not-text]" in result.stderr


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_the_mode_stays(ugly: Path, mode: int) -> None:
    ugly.chmod(mode)
    fmt(ugly)
    assert (ugly.read_text(), ugly.stat().st_mode & 0o7777) == (CANONICAL, mode)


def test_a_symbolic_link_stays_one(ugly: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.policy"
    link.symlink_to(Path("..") / ugly.name)
    assert fmt(link).stdout == f"{link}\n"
    assert link.is_symlink()
    assert ugly.read_text() == CANONICAL


def test_a_write_that_fails_leaves_the_file_and_no_draft(ugly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    result = fmt(ugly)
    assert result.exit_code == 2
    assert f"{ugly}: error: cannot write this file: no space left on device [unwritable]" in result.stderr
    assert ugly.read_text() == UGLY
    assert list(ugly.parent.iterdir()) == [ugly]


def test_the_owner_stays_or_the_file_does(ugly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    found = os.stat_result((0o100644, 1, 1, 1, 4242, 4343, 0, 0, 0, 0))
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    monkeypatch.setattr(Path, "stat", lambda *_, **__: found)
    assert fmt(ugly).exit_code == 0
    assert given == [(4242, 4343)]


def test_check_names_and_writes_nothing(ugly: Path, fine: Path) -> None:
    result = fmt("--check", ugly, fine)
    assert (result.exit_code, result.stdout) == (1, f"{ugly}\n")
    assert result.stderr == "1 not in the canonical form, 1 canonical\n"
    assert ugly.read_text() == UGLY
    assert fmt("--check", fine).exit_code == 0


@pytest.mark.parametrize(
    "before",
    [UGLY, "\ufeff" + CANONICAL, CANONICAL.replace("\n", "\r\n"), CANONICAL[:-1], UGLY.replace(" {", "\f{")],
    ids=["layout", "mark", "returns", "end", "odd-blanks"],
)
def test_a_diff_is_what_patch_makes_the_canonical_form_with(tmp_path: Path, before: str) -> None:
    path = tmp_path / "my.policy"
    path.write_bytes(before.encode())
    result = fmt("--diff", path)
    assert result.exit_code == 0
    assert path.read_bytes() == before.encode()
    assert fmt("--check", "--diff", path).exit_code == 1
    patched = _patched(path, result.stdout_bytes)
    assert patched == CANONICAL.encode()


def _patched(path: Path, diff: bytes) -> bytes:
    program = shutil.which("git")
    assert program is not None
    # `git apply` goes by the names in the diff, which must be relative to where it runs.
    here = diff.replace(str(path).encode(), path.name.encode())
    command = [program, "apply", "-p0", "-"]
    environment = {"GIT_DIR": os.devnull, "HOME": str(path.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(command, cwd=path.parent, input=here, check=True, env=os.environ | environment)
    return path.read_bytes()


def test_standard_input_goes_to_standard_output() -> None:
    result = fmt("-", stdin=b"\xef\xbb\xbf" + UGLY.encode())
    assert (result.exit_code, result.stdout, result.stderr) == (0, CANONICAL, "")


def test_standard_input_with_mistakes_gives_no_output() -> None:
    result = fmt("-", stdin=WRONG)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "<stdin>:2:13: error:" in result.stderr


def test_standard_input_can_be_checked() -> None:
    assert fmt("--check", "-", stdin=CANONICAL).exit_code == 0
    result = fmt("--check", "-", stdin=UGLY)
    assert (result.exit_code, result.stdout) == (1, "<stdin>\n")


def test_json(ugly: Path, fine: Path, wrong: Path) -> None:
    result = fmt("--json", "--check", ugly, fine, wrong)
    files = json.loads(result.stdout)["files"]
    assert [(file["file"], file["status"]) for file in files] == [
        (str(ugly), "changed"),
        (str(fine), "canonical"),
        (str(wrong), "failed"),
    ]
    assert [len(file["diagnostics"]) for file in files] == [0, 0, 1]
    assert files[2]["diagnostics"][0]["line"] == 2
    assert result.exit_code == 1


@pytest.mark.parametrize("arguments", [("--json", "--diff", "a"), ("--json", "-")])
def test_two_things_on_standard_output_are_one_too_many(arguments: tuple[str, ...]) -> None:
    result = fmt(*arguments)
    assert result.exit_code == 2
    assert "`--json` goes with neither" in result.stderr


def test_the_help_has_examples() -> None:
    assert "migrate policy fmt --check" in fmt("--help").stdout


def test_what_somebody_saves_meanwhile_is_not_lost(ugly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dressed(*_: object) -> None:
        ugly.write_text(WRONG)

    monkeypatch.setattr("migrated.commands.policy_fmt._dress", dressed)
    result = fmt(ugly)
    assert result.exit_code == 2
    assert "somebody has changed it meanwhile" in result.stderr
    assert ugly.read_text() == WRONG
    assert list(ugly.parent.iterdir()) == [ugly]


def test_a_file_named_twice_is_laid_out_once(ugly: Path) -> None:
    assert fmt(ugly, ugly).exit_code == 0
    assert ugly.read_text() == CANONICAL


def test_a_file_that_its_owner_protects_is_not_replaced(ugly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: (str(path), mode) != (str(ugly), os.W_OK))
    result = fmt(ugly)
    assert result.exit_code == 2
    assert "permission denied" in result.stderr
    assert ugly.read_text() == UGLY
