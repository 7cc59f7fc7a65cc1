from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrated.terminal.output import OutputLog

BLOCK = 64 * 1024


def everything(log: OutputLog, step: int = 10_000) -> bytes:
    parts, offset = [], log.start
    while offset < log.end:
        parts.append(log.read(offset, step))
        offset += len(parts[-1])
    return b"".join(parts)


@settings(deadline=None)
@given(st.lists(st.integers(1, 3 * BLOCK), max_size=12), st.integers(1000, 100_000))
def test_the_log_is_the_end_of_what_was_written(lengths: list[int], step: int) -> None:
    log, whole = OutputLog(4 * BLOCK), b""
    for number, length in enumerate(lengths):
        data = bytes([number]) * length
        log.append(data)
        whole += data
    assert log.end == len(whole)
    assert log.end - log.start <= 4 * BLOCK
    assert log.end - log.start >= min(len(whole), 3 * BLOCK)
    assert everything(log, step) == whole[log.start :]


def test_what_is_gone_or_has_not_come_is_an_error() -> None:
    log = OutputLog(BLOCK)
    log.append(bytes(BLOCK + 1))
    assert (log.start, log.end) == (BLOCK, BLOCK + 1)
    for offset in (BLOCK - 1, BLOCK + 1):
        with pytest.raises(LookupError):
            log.read(offset, 1)


def test_the_tail_begins_with_a_line_and_knows_the_modes() -> None:
    log = OutputLog(BLOCK)
    log.append(b"\x1b[?1049h" + b"x" * (2 * BLOCK) + b"\x1b[?25l\nfirst\nsecond")
    modes, text = log.tail(20)
    assert text == b"first\nsecond"
    assert modes.sequence() == b"\x1b[?25l\x1b[?1049h"


def test_the_tail_is_all_there_is_where_that_is_little() -> None:
    log = OutputLog()
    log.append(b"no end of line")
    assert log.tail(1000)[1] == b"no end of line"


def test_a_tail_without_lines_begins_with_an_escape_sequence() -> None:
    log = OutputLog()
    log.append(b"\xc3\xbc" * 50_000 + b"\x1b[1;1Hhere")
    assert log.tail(30_001)[1] == b"\x1b[1;1Hhere"


def test_byte_by_byte_costs_no_more_memory() -> None:
    log = OutputLog(2 * BLOCK)
    for _ in range(BLOCK):
        log.append(b"x")
    assert len(log._blocks) == 1
