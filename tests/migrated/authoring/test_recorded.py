"""A recorded policy, made again without its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.authoring.policies import BadPolicyError
from migrated.authoring.recorded import recorded_policy
from migrated.recording.entries import PolicyLoaded, PolicyText
from policylang import load_policy
from policylang.ast import Layer, On, ScoreInterface, Statement
from policylang.loader import LoadResult, PolicyFile


def _loaded(result: LoadResult) -> PolicyLoaded:
    files = tuple(
        PolicyText(file=s.file, layer=s.layer, text=s.text or "", included_by=s.included_by)
        for s in result.sources
    )
    return PolicyLoaded(wall=0.0, clock=0.0, generation=1, files=files)


def _shape(statement: Statement) -> tuple[object, ...]:
    span = statement.span
    return (type(statement), span.file, span.line)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "main.policy").write_text(
        'monitor-policy {\n on port 22 { include "parts/*.policy"; margin 2 }\n'
        ' include\n  "none*"\n include "parts/b.policy" settle 1s\n}'
    )
    (tmp_path / "parts" / "a.policy").write_text("monitor-policy { score-interface eth* 1 }")
    (tmp_path / "parts" / "b.policy").write_text(
        'monitor-policy {\n\n score-interface wlan* 2\n include "../deep.policy" }'
    )
    (tmp_path / "deep.policy").write_text("monitor-policy { expire after 1h }")
    (tmp_path / "user.policy").write_text("monitor-policy { expire after 2h }")
    return tmp_path


@pytest.mark.parametrize("absolute", [True, False])
def test_it_is_the_same_also_when_the_files_are_others(folder: Path, absolute: bool) -> None:
    base = folder if absolute else Path()
    files = [PolicyFile(path=base / "main.policy"), PolicyFile(path=base / "user.policy", layer=Layer.USER)]
    result = load_policy(files, with_defaults=True)
    assert result.policy is not None
    assert len(result.sources) == 8
    for file in folder.rglob("*.policy"):
        file.write_text("monitor-policy { margin 77 }")
    (folder / "none-at-that-time").write_text("monitor-policy { margin 78 }")
    again = recorded_policy(_loaded(result))
    assert [_shape(s) for s in again.statements] == [_shape(s) for s in result.policy.statements]
    assert again.files == result.policy.files
    (on,) = [s for s in again.statements if isinstance(s, On)]
    inner = [s for s in on.body if isinstance(s, ScoreInterface)]
    assert [(s.span.file, s.span.line) for s in inner] == [
        (str(base / "parts/a.policy"), 1),
        (str(base / "parts/b.policy"), 3),
    ]
    layers = [s.layer for s in again.statements if hasattr(s, "layer")]
    assert Layer.USER in layers


def test_one_that_this_version_can_not_read_is_told() -> None:
    text = PolicyText(file="/etc/a.policy", layer=Layer.SYSTEM, text="monitor-policy { futuristic 5 }")
    with pytest.raises(BadPolicyError, match=r"/etc/a\.policy:1:18"):
        recorded_policy(PolicyLoaded(wall=0.0, clock=0.0, generation=1, files=(text,)))
