"""Draw the two state machines from their tables: ``python -m sessionlayer.diagram [FOLDER]`` rewrites docs/.

Every state is a column and every transition one arrow on a row of its own: nothing crosses a label, however
the tables grow, and the same tables give the same bytes. The pictures are plain SVG for any browser.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape

from sessionlayer.errors import LocalProtocolError
from sessionlayer.transitions import ASSOCIATION, SESSION

COLUMN = 120
ROW = 30
MARGIN = 70
HEAD = 50

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)

_STYLE = (
    "text{font:13px sans-serif;fill:#1b1b1b}.state{fill:#e4ecf7;stroke:#3b5b8c}.life{stroke:#c5cedb}"
    ".move{stroke:#3b5b8c;stroke-width:1.5;fill:none;marker-end:url(#head)}.label{text-anchor:middle;"
    "paint-order:stroke;stroke:#fff;stroke-width:4px}.name{text-anchor:middle;font-weight:bold}"
)
_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#3b5b8c"/></marker></defs>'
)


def as_svg(table: Mapping[StateT, Mapping[EventT, StateT]], title: str) -> str:
    """Return a picture of a transition table."""
    columns = {state: MARGIN + COLUMN * number for number, state in enumerate(table)}
    moves = [(state, event, target) for state, row in table.items() for event, target in row.items()]
    width = 2 * MARGIN + COLUMN * (len(table) - 1)
    height = HEAD + ROW * (len(moves) + 1)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{_HEAD}",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *(_column(state.value, x, height) for state, x in columns.items()),
    ]
    for number, (state, event, target) in enumerate(moves):
        y = HEAD + ROW * (number + 1)
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
    return (
        f'<line class="life" x1="{x}" y1="{HEAD - 12}" x2="{x}" y2="{height - 8}"/>'
        f'<rect class="state" x="{x - 56}" y="10" width="112" height="28" rx="6"/>'
        f'<text class="name" x="{x}" y="29">{escape(name)}</text>'
    )


def _arrow(start: int, end: int, y: int, label: str) -> str:
    if start == end:
        path = f"M{start} {y - 6}h22v10h-20"
        return f'<path class="move" d="{path}"/>{_label(start + 26, y + 4, label, "start")}'
    path = f"M{start} {y}H{end - 2 if end > start else end + 2}"
    return f'<path class="move" d="{path}"/>{_label((start + end) // 2, y - 5, label, "middle")}'


def _label(x: int, y: int, text: str, anchor: str) -> str:
    return f'<text class="label" x="{x}" y="{y}" style="text-anchor:{anchor}">{escape(text)}</text>'


def _with_table(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
    before, found, rest = page.partition(begin)
    _old, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise LocalProtocolError(f"the page lacks the lines `{begin}` and `{end}`")
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    main(sys.argv[1:])
