from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_daemon_that_is_killed_in_the_midst_of_a_change_made_it_or_did_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.migrated.continuations.kill_often", str(tmp_path / "state"), "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert re.match(r"60 kills, \d+ between", done.stdout)
