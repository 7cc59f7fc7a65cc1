"""What docs/streams.md says is so: its tables are those of the code, and its example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sessionlayer.protocol.diagram import as_table
from sessionlayer.streams import limits
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.statements import Statement
from sessionlayer.streams.transitions import CONNECTION, SESSION

PAGE = (Path(__file__).parents[3] / "docs" / "streams.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "table"), [("session", as_table(SESSION)), ("connection", as_table(CONNECTION))]
)
def test_the_tables_of_states_are_current(name: str, table: str) -> None:
    assert f"<!-- table {name} -->\n{table}\n<!-- end -->" in PAGE


def test_every_statement_is_listed_under_its_number() -> None:
    for statement in Statement.__args__:
        kind = statement.__struct_config__.tag
        fields = ", ".join(statement.__struct_fields__)
        assert f"| {kind} | {statement.__name__} | {fields}{' ' if fields else ''}|" in PAGE


def test_bounds_are_those_of_the_code() -> None:
    options = StreamOptions()
    assert f"`sessions_max` ({options.sessions_max:,})" in PAGE
    assert f"`sessions_per_key` ({options.sessions_per_key})" in PAGE
    assert f"`connections_max` ({options.connections_max})" in PAGE
    assert f"between {limits.RING_MIN >> 10} KiB and `ring_max` ({options.ring_max >> 20} MiB)" in PAGE
    assert f"after {limits.ACK_BYTES >> 10} KiB, or {limits.ACK_DELAY_S * 1000:.0f} ms" in PAGE
    assert f"transports without proof | {limits.PENDING_MAX}," in PAGE


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("b'HELLO'\n")
