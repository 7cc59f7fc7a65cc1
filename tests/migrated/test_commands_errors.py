"""What others chose as words does not steer the terminal of who reads it."""

from __future__ import annotations

import click
import pytest

from migrated.commands.client import CannotReachError, DeniedError
from migrated.commands.ssh import SshError, _introduce
from migrated.terminal.bootstrap import Far
from migrated.terminal.requests import Ready

STEERING = "\x1b]0;owned\x07 \x9b2J \u202e seems fine\nand so does this"


@pytest.mark.parametrize("kind", [CannotReachError, DeniedError, SshError])
def test_errors_are_printable(kind: type[click.ClickException], capsys: pytest.CaptureFixture[str]) -> None:
    kind(STEERING).show()
    shown = capsys.readouterr().err
    assert all(c.isprintable() for line in shown.splitlines() for c in line)
    assert shown.splitlines()[1] == "and so does this"


def test_names_from_another_host_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    ready = Ready(name="a", port=1, key=bytes(32), waiting=("\x1b[2J",))
    _introduce(Far(host="host"), "auto", ready)
    assert "\x1b" not in capsys.readouterr().err
