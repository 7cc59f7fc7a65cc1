"""A daemon that may not do its work says so, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.migrated.streams.programs import ORDINARY

DAEMON = [sys.executable, "-c", "from migrated.daemon import main; main()"]


def test_a_daemon_without_capabilities_leaves_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    file = tmp_path / "migrated.toml"
    file.write_text(
        f'state_folder = "{state}"\nruntime_folder = "{tmp_path / "run"}"\ncontrol_port = 49151\n'
    )
    prefix = ORDINARY if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *DAEMON, "--config", str(file)], stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "capabilities are missing: CAP_DAC_READ_SEARCH, " in done.stderr
    assert "start `migrated` as root" in done.stderr
    assert not state.exists()
