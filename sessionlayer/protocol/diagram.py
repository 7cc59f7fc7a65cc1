"""Draw the two state machines from their tables: ``python -m sessionlayer.protocol.diagram`` rewrites docs/.

Every state is a column and every transition one arrow on a row of its own: nothing crosses a label, however
the tables grow, and the same tables give the same bytes. The pictures are plain SVG: shapes, text and simple
classes, without markers and paint order, which some viewers do not draw.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape

from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.transitions import ASSOCIATION, SESSION

COLUMN = 164
BOX_WIDTH = 148
BOX_HEIGHT = 28
ROW = 34
MARGIN = 90
HEAD = 50
CHARACTER = 7.6
"""Pixels of one character at 13 px in DejaVu Sans, the widest font that `sans-serif` usually means."""

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)

_STYLE = (
    "text{font:13px sans-serif;fill:#1b1b1b}.state{fill:#e4ecf7;stroke:#3b5b8c}.life{stroke:#c5cedb}"
    ".move{stroke:#3b5b8c;stroke-width:1.5;fill:none}.head{fill:#3b5b8c}.halo{fill:#fff}"
    ".name{text-anchor:middle;font-weight:bold}"
)


def as_svg(table: Mapping[StateT, Mapping[EventT, StateT]], title: str) -> str:
    """Return a picture of a transition table."""
    columns = {state: MARGIN + COLUMN * number for number, state in enumerate(table)}
    moves = [(state, event, target) for state, row in table.items() for event, target in row.items()]
    width = 2 * MARGIN + COLUMN * (len(table) - 1)
    height = 2 * HEAD + ROW * len(moves)
    size = f'width="{width}" height="{height}"'
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect {size} fill="#fff"/>',
        *(_column(state.value, x, height) for state, x in columns.items()),
    ]
    for number, (state, event, target) in enumerate(moves):
        y = HEAD + ROW * number + 26
        body.append(_arrow(columns[state], columns[target], y, event.value))
    return "\n".join([*body, "</svg>", ""])


def as_table(table: Mapping[StateT, Mapping[EventT, StateT]]) -> str:
    """Return a transition table as Markdown, one transition to a line."""
    lines = ["| state | event | next state |", "|---|---|---|"]
    for state, row in table.items():
        lines += [f"| {state.value} | {event.value} | {target.value} |" for event, target in row.items()]
    return "\n".join(lines)


def files(page: str) -> dict[str, str]:
    """Return the contents of the generated files by name, given the page ``protocol.md`` as it is.

    Raises:
        LocalProtocolError: the page lacks the marks between which a table belongs.
    """
    page = _with_table(page, "association", as_table(ASSOCIATION))
    return {
        "protocol-association.svg": as_svg(ASSOCIATION, "States of an association"),
        "protocol-session.svg": as_svg(SESSION, "States of a session"),
        "protocol.md": _with_table(page, "session", as_table(SESSION)),
    }


def main(arguments: list[str]) -> None:
    """Rewrite the generated files in the folder of ``arguments``, or in ``docs``."""
    folder = Path(arguments[0] if arguments else "docs")
    page = (folder / "protocol.md").read_text(encoding="utf-8")
    for name, text in files(page).items():
        (folder / name).write_text(text, encoding="utf-8")


def _column(name: str, x: int, height: int) -> str:
    top, bottom = 10, height - 10 - BOX_HEIGHT
    line = f'<line class="life" x1="{x}" y1="{top + BOX_HEIGHT}" x2="{x}" y2="{bottom}"/>'
    return line + _box(name, x, top) + _box(name, x, bottom)


def _box(name: str, x: int, y: int) -> str:
    return (
        f'<rect class="state" x="{x - BOX_WIDTH // 2}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
        f'rx="6"/><text class="name" x="{x}" y="{y + 19}">{escape(name)}</text>'
    )


def _arrow(start: int, end: int, y: int, label: str) -> str:
    width = round(CHARACTER * len(label))
    if start == end:
        loop = f'<path class="move" d="M{start} {y - 10}h24v10h-16"/>'
        return loop + _head(start, y, "left") + _label(start + 36, y, label, width)
    side = "right" if end > start else "left"
    line = f'<path class="move" d="M{start} {y}H{end - 8 if end > start else end + 8}"/>'
    return _label((start + end - width) // 2, y - 9, label, width) + line + _head(end, y, side)


def _head(x: int, y: int, side: str) -> str:
    """Return an arrowhead whose point is at ``x``."""
    back = 9 if side == "left" else -9
    return f'<path class="head" d="M{x} {y}l{back} -5v10z"/>'


def _label(x: int, y: int, text: str, width: int) -> str:
    """Return a text of about ``width`` pixels from ``x`` on, on a white ground that hides the lines."""
    halo = f'<rect class="halo" x="{x - 3}" y="{y - 12}" width="{width + 6}" height="16"/>'
    centre = x + width // 2
    return f'{halo}<text x="{centre}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _with_table(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
    before, found, rest = page.partition(begin)
    _old, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise LocalProtocolError(f"the page lacks the lines `{begin}` and `{end}`")
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    main(sys.argv[1:])
