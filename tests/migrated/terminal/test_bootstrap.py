from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrated.terminal.bootstrap import BootstrapError, Far, addresses, ask_far, local_environment
from migrated.terminal.requests import List, Refused, TerminalList
from migrated.terminal.serve import login_environment


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called `ssh` first on the path; what it does is written to it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "ssh"
    program.touch(mode=0o755)
    return program


def says(ssh: Path, script: str) -> None:
    ssh.write_text(f"#!/bin/sh\n{script}\n")


def test_the_answer_is_found_among_other_lines(ssh: Path) -> None:
    says(ssh, """echo 'Welcome!'; echo 'migrate-terminal {"type": "terminal-list", "terminals": []}'""")
    assert ask_far(Far(host="h"), List()) == TerminalList(terminals=())


def test_the_far_side_gets_the_request(ssh: Path, tmp_path: Path) -> None:
    says(ssh, f"cat > {tmp_path}/request; printf '%s\\n' \"$@\" > {tmp_path}/words; exit 0")
    with pytest.raises(BootstrapError):
        ask_far(Far(host="alice@h", options=("-p", "2222"), server="/x/migrate"), List())
    assert (tmp_path / "request").read_text() == '{"type":"list","protocol":1}\n'
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:2] == ["-p", "2222"]
    assert words[-3:] == ["--", "alice@h", "sh -c 'exec /x/migrate terminal serve'"]


def test_a_shell_finds_the_far_migrate_or_says_127(ssh: Path) -> None:
    says(ssh, 'for last; do :; done; PATH=/bin:/usr/bin HOME=/nowhere eval "$last"')
    with pytest.raises(BootstrapError, match="`h` has no `migrate`: install it there with `pipx"):
        ask_far(Far(host="h"), List())


@pytest.mark.parametrize(
    ("status", "server", "words"),
    [
        (255, "", "could not log in at `h`"),
        (127, "/x", "`h` has no `/x`"),
        (2, "", "exit status 2.*same release"),
        (0, "", "gave no answer"),
    ],
)
def test_silence_is_explained(ssh: Path, status: int, server: str, words: str) -> None:
    says(ssh, f"exit {status}")
    with pytest.raises(BootstrapError, match=words):
        ask_far(Far(host="h", server=server), List())


def test_an_answer_of_another_release(ssh: Path) -> None:
    says(ssh, 'echo \'migrate-terminal {"type": "song"}\'')
    with pytest.raises(BootstrapError, match=r"`h`: the answer can't be read.*same release"):
        ask_far(Far(host="h"), List())


def test_no_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BootstrapError, match="apt-get install openssh-client"):
        ask_far(Far(host="h"), List())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("hostname build.example\nport 22", ("build.example",)),
        ("hostname build\nproxyjump jump.example", ()),
        ("hostname build\nproxycommand nc %h %p", ()),
        ("", ()),
    ],
)
def test_where_ssh_goes(ssh: Path, settings: str, expected: tuple[str, ...]) -> None:
    says(ssh, f"echo '{settings}'")
    assert addresses(Far(host="h")) == expected


def test_environments() -> None:
    here = {"TERM": "xterm", "LANG": "C.UTF-8", "LC_TIME": "de_DE", "HOME": "/home/me", "SECRET": "x"}
    assert local_environment(here) == {"TERM": "xterm", "LANG": "C.UTF-8", "LC_TIME": "de_DE"}
    there = {"PATH": "/bin", "SSH_AUTH_SOCK": "/gone", "SSH_TTY": "/dev/pts/1", "LANG": "C", "EDITOR": "ed"}
    assert login_environment(there) == {"PATH": "/bin", "EDITOR": "ed"}


def test_refused_is_an_answer_and_no_error(ssh: Path) -> None:
    says(ssh, """echo 'migrate-terminal {"type": "refused", "reason": "no"}'""")
    assert ask_far(Far(host="h"), List()) == Refused(reason="no")
