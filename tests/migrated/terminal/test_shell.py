"""What can't be started costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.terminal.shell import Program, Shell, ShellError


@pytest.mark.parametrize(
    ("path", "argv", "environment"),
    [
        ("/bin/sh", ("sh", "-c", "a\0b"), {}),
        ("/bin/sh", ("sh",), {"A=B": "c"}),
        ("/bin/sh", ("sh",), {"A": "b\0c"}),
        ("/no/such/shell", ("sh",), {}),
    ],
)
def test_what_cannot_be_started_leaves_no_terminal_behind(
    path: str, argv: tuple[str, ...], environment: dict[str, str]
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ShellError, match=f"cannot start `{path}`"):
        Shell(Program(path=path, argv=argv, environment=environment), 24, 80)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
