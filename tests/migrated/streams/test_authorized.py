from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrated.streams.authorized import FILE_MAX, KeysFileError, key_text, read_clients
from migrated.streams.rules import read_rule

FIRST, SECOND = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "authorized_keys"


def test_keys_with_and_without_destinations(file: Path) -> None:
    file.write_text(
        "# who may come\n\n"
        f"{key_text(FIRST)} allow=localhost:22,unix:/run/x ann@laptop of Ann\n"
        f"  {key_text(SECOND)}   bob=1 is no option \n"
    )
    with pytest.raises(KeysFileError, match="unknown option `bob`"):
        read_clients(file)
    file.write_text(file.read_text().replace("bob=1 is no option", "bob"))
    clients = read_clients(file)
    assert clients[FIRST].rules == (read_rule("localhost:22"), read_rule("unix:/run/x"))
    assert (clients[FIRST].comment, clients[FIRST].line) == ("ann@laptop of Ann", 3)
    assert (clients[SECOND].rules, clients[SECOND].comment) == (None, "bob")
    assert len(clients) == 2


def test_every_mistake_is_named_with_its_line(file: Path) -> None:
    key = key_text(FIRST)
    file.write_text(
        f"{key}\nssh-ed25519 AAAA ann\n{key}\nAAAA\n{key_text(SECOND)} allow=localhost\n"
        f"{key_text(SECOND)} allow=\n{key_text(SECOND)} permit=localhost:22\n"
    )
    with pytest.raises(KeysFileError) as caught:
        read_clients(file)
    assert str(caught.value).splitlines() == [
        f"{file}:2: `ssh-ed25519` is not a key in base64",
        f"{file}:3: the key of line 1 again; keep one of the two",
        f"{file}:4: `AAAA` is not a key: it has 3 bytes instead of 32",
        f"{file}:5: `localhost` has no port; write `HOST:PORT`",
        f"{file}:6: `allow=` names no destination; remove the key to allow it nothing",
        f"{file}:7: unknown option `permit`; known is `allow=PATTERN[,PATTERN...]`",
    ]


def test_a_missing_file_says_how_to_write_one(file: Path) -> None:
    with pytest.raises(KeysFileError, match=r"no such file; write to it.*migrate connect --print-key"):
        read_clients(file)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    file.touch()
    file.chmod(mode)
    with pytest.raises(KeysFileError, match="others may write to it; run `chmod go-w"):
        read_clients(file)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeysFileError, match="not UTF-8"):
        read_clients(file)


def test_a_file_that_is_too_long_is_refused(file: Path) -> None:
    file.touch()
    os.truncate(file, FILE_MAX + 1)
    with pytest.raises(KeysFileError, match="more than"):
        read_clients(file)
