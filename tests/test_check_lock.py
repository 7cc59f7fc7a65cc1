"""The check that the locks serve the project."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "check_lock.py"))
PYPROJECT = """
[project]
dependencies = ["click>=8.1.7,<9"]
[project.optional-dependencies]
dev = ["Import_Linter>=2.1,<3"]
bench = ["zen-engine>=2.1,<3"]
"""


@pytest.mark.parametrize(
    ("lock", "complaints"),
    [
        ("click==8.1.7 \\\n    --hash=sha256:00\nimport-linter==2.16 ; os_name == 'nt' \\\n", []),
        ("click==8.1.7\n", ["`Import_Linter<3,>=2.1` is not in requirements.lock"]),
        ("click==9.0\nimport-linter==2.1\n", ["`click<9,>=8.1.7` is pinned to 9.0 in requirements.lock"]),
        ("click==8.1.6\nimport-linter==2.1\n", ["`click<9,>=8.1.7` is pinned to 8.1.6 in requirements.lock"]),
    ],
)
def test_mismatches(lock: str, complaints: list[str]) -> None:
    assert list(CHECK["mismatches"](PYPROJECT, "dev", "requirements.lock", lock)) == complaints


def test_the_status_is_1_and_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "requirements.lock").write_text("click==8.1.7\nimport-linter==2.1\n")
    (tmp_path / "requirements-bench.lock").write_text("click==8.1.7\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        CHECK["main"]()
    complaint, remedy = str(ended.value).splitlines()
    assert complaint == "`zen-engine<3,>=2.1` is not in requirements-bench.lock"
    assert remedy.startswith("run `make lock`")
