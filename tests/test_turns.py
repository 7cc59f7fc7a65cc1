"""Tests marked `alone` have the machine to themselves, however many workers there are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parent / "conftest.py"
PASSING = 15

PROGRAM = """
import os, time
from pathlib import Path
import pytest

RUNNING = Path(__file__).parent / "running"

def others(seconds):
    mine = RUNNING / str(os.getpid())
    mine.touch()
    time.sleep(seconds)
    found = len(list(RUNNING.iterdir())) - 1
    mine.unlink()
    return found

@pytest.mark.alone
@pytest.mark.parametrize("number", range(3))
def test_alone(number):
    assert others(0.05) == 0

@pytest.mark.parametrize("number", range(12))
def test_beside_others(number):
    others(0.02)
"""


def test_nothing_runs_beside_a_test_that_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "running").mkdir()
    (tmp_path / "test_program.py").write_text(PROGRAM)
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-v", "-n", "3", "--dist", "worksteal", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert (done.returncode, done.stdout.count("PASSED")) == (0, PASSING), done.stdout + done.stderr
