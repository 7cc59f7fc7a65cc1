from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.terminal.escape import EscapeKeys, Wish

CASES = [
    (b"~.", [Wish.LEAVE]),
    (b"~?", [Wish.HELP]),
    (b"~\x1a", [Wish.STOP]),
    (b"~~", [b"~"]),
    (b"~x", [b"~x"]),
    (b"a~.", [b"a~."]),
    (b"a\r~.", [b"a\r", Wish.LEAVE]),
    (b"a\n~?b\r", [b"a\n", Wish.HELP, b"b\r"]),
    (b"~?~.", [Wish.HELP, Wish.LEAVE]),
    (b"~~.", [b"~."]),
]


@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_keys(typed: bytes, expected: list[bytes | Wish]) -> None:
    assert list(EscapeKeys().feed(typed)) == expected


@given(st.lists(st.sampled_from([b"~", b".", b"?", b"\r", b"a", b"~~"])))
def test_pieces_do_not_matter(keys: list[bytes]) -> None:
    def joined(parts: list[bytes | Wish]) -> list[bytes | Wish]:
        merged: list[bytes | Wish] = []
        for part in parts:
            if isinstance(part, bytes) and merged and isinstance(merged[-1], bytes):
                merged[-1] += part
            else:
                merged.append(part)
        return merged

    apart = EscapeKeys()
    one_by_one = [part for key in keys for part in apart.feed(key)]
    assert joined(one_by_one) == joined(list(EscapeKeys().feed(b"".join(keys))))
