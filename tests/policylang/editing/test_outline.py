from __future__ import annotations

from policylang.editing import Symbol, outline

TEXT = """\
define office = ann, bob
include "more.policy"
monitor-policy {
    on proto tcp
       user $office {
        when rtt > 1s for 2s score-interface * never
        margin 3
    } else
        on port 22 migrate never
}
monitor-policy { settle 1s }
"""


def shown(symbols: tuple[Symbol, ...], depth: int = 0) -> list[str]:
    return [
        line
        for symbol in symbols
        for line in (f"{'  ' * depth}{symbol.kind.value} {symbol.name}", *shown(symbol.children, depth + 1))
    ]


def test_outline() -> None:
    assert shown(outline(TEXT)) == [
        "set $office",
        "include more.policy",
        "block monitor-policy",
        "  condition on proto tcp user $office",
        "    condition when rtt > 1s for 2s",
        "    condition on port 22",
        "block monitor-policy",
    ]


def test_the_head_is_inside_of_its_symbol() -> None:
    block = outline(TEXT)[2]
    (condition,) = block.children
    assert TEXT[condition.start : condition.head_end] == "on proto tcp\n       user $office"
    assert TEXT[condition.start : condition.end].endswith("migrate never")
    assert block.start <= condition.start < condition.end <= block.end


def test_a_file_that_is_being_written() -> None:
    assert shown(outline("monitor-policy { on proto tcp { margin } on us")) == [
        "block monitor-policy",
        "  condition on proto tcp",
    ]
