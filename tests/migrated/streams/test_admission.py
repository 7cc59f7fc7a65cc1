from __future__ import annotations

import logging
from pathlib import Path

import pytest

from migrated.streams.admission import Admission
from migrated.streams.authorized import KeysFileError, key_text
from migrated.streams.rules import read_rule
from sessionlayer.protocol.keys import fingerprint

FIRST, SECOND = bytes(range(32)), bytes(range(1, 33))
ALLOW = (read_rule("localhost:22"),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "authorized_keys"
    file.write_text(f"{key_text(FIRST)} ann\n{key_text(SECOND)} allow=localhost:80\n")
    return file


def test_a_keys_own_destinations_replace_those_of_the_gateway(file: Path) -> None:
    admission = Admission(file, ALLOW)
    assert admission.rules(FIRST) == ALLOW
    assert admission.rules(SECOND) == (read_rule("localhost:80"),)
    assert admission.rules(bytes(32)) == ()
    assert (admission.refusal(FIRST), admission.refusal(SECOND)) == ("", "")
    assert fingerprint(bytes(32)) in admission.refusal(bytes(32))
    assert (admission.name(FIRST), admission.name(SECOND)) == ("ann", fingerprint(SECOND))


def test_a_change_counts_at_once(file: Path) -> None:
    admission = Admission(file, ALLOW)
    file.write_text(f"{key_text(SECOND)}\n")
    assert admission.refusal(FIRST)
    assert admission.rules(FIRST) == ()
    assert admission.rules(SECOND) == ALLOW


def test_a_mistake_changes_nothing_and_is_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    admission = Admission(file, ALLOW)
    file.write_text("rubbish\n")
    assert admission.refusal(FIRST) == ""
    assert admission.refusal(FIRST) == ""
    file.unlink()
    assert admission.refusal(FIRST) == ""
    assert [(record.levelno, record.message) for record in caplog.records] == 2 * [
        (logging.WARNING, "keys-unreadable")
    ]


def test_one_that_helps_nobody_says_so(file: Path) -> None:
    file.write_text(f"{key_text(FIRST)}\n")
    assert Admission(file, ()).leads_nowhere
    assert not Admission(file, ALLOW).leads_nowhere
    file.write_text("")
    assert Admission(file, ALLOW).leads_nowhere


def test_it_does_not_begin_with_a_mistake(file: Path) -> None:
    file.write_text("rubbish\n")
    with pytest.raises(KeysFileError):
        Admission(file, ALLOW)
