"""Logs on the disk: parts in order, lines that can't be read left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.authoring.logs import BadLine, in_order, read_log
from migrated.recording import entries
from migrated.recording.entries import Entry, SessionSuspended, encode_line


def _entry(wall: float) -> Entry:
    return SessionSuspended(wall=wall, clock=wall - 100.0, session="a")


def _write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_bad_lines_are_left_out_and_told(tmp_path: Path) -> None:
    first, second = encode_line(_entry(1.0)), encode_line(_entry(2.0))
    path = _write(tmp_path / "log", first, b"garbage\n", b"\n", second, first[:-20])
    bad: list[BadLine] = []
    sizes: list[int] = []
    found = list(read_log([path], bad=bad.append, read=sizes.append))
    assert found == [_entry(1.0), _entry(2.0)]
    assert [(line.file, line.line) for line in bad] == [(path, 2), (path, 3), (path, 5)]
    assert "cut off" in bad[2].why
    assert sum(sizes) == path.stat().st_size


def test_a_line_that_is_too_long_is_one_bad_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = encode_line(_entry(1.0))
    monkeypatch.setattr(entries, "MAX_LINE_BYTES", len(line))
    path = _write(tmp_path / "log", b"x" * 1000 + b"\n", line, b"y" * (len(line) + 1) + b"\n", line)
    bad: list[BadLine] = []
    assert list(read_log([path], bad=bad.append)) == [_entry(1.0), _entry(1.0)]
    assert [bad_line.line for bad_line in bad] == [1, 3]


def test_parts_are_sorted_by_their_first_line(tmp_path: Path) -> None:
    late = _write(tmp_path / "a", b"garbage\n", encode_line(_entry(9.0)))
    early = _write(tmp_path / "b", encode_line(_entry(3.0)), encode_line(_entry(99.0)))
    assert in_order([late, early]) == [early, late]
    assert [entry.wall for entry in read_log(in_order([late, early]))] == [3.0, 99.0, 9.0]
