"""The user's own terminal, also where it belongs to another user."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

_ASK_SIZE = """
import asyncio
from migrated.terminal.console import Console
async def main():
    print(*Console(0).size)
asyncio.run(main())
"""


@pytest.mark.parametrize("mode", [0o600, 0])
def test_a_terminal_that_may_not_be_opened_by_name_is_used(mode: int) -> None:
    # After su(1) the terminal is the other user's.
    ours, theirs = pty.openpty()
    try:
        os.fchmod(theirs, mode)
        rights = ["--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        command = ["setpriv", *rights, "--no-new-privs", "setsid", "--ctty", "--wait"]
        done = subprocess.run(
            [*command, sys.executable, "-c", _ASK_SIZE],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.stdout, done.returncode) == ("24 80\n", 0), done.stderr
