"""The pictures in the documentation are those of the tables."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sessionlayer.protocol import diagram
from sessionlayer.protocol.diagram import as_svg, files, main
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.transitions import ASSOCIATION, SESSION

DOCS = Path(__file__).parents[3] / "docs"


def test_the_documentation_is_current() -> None:
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    for name, text in files(page).items():
        current = (DOCS / name).read_text(encoding="utf-8")
        assert current == text, f"docs/{name} is out of date: run `python -m sessionlayer.protocol.diagram`"


def test_main_rewrites_what_is_out_of_date(tmp_path: Path) -> None:
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    (tmp_path / "protocol.md").write_text(page.replace("| settled | we move | asking |\n", ""))
    main([str(tmp_path)])
    assert (tmp_path / "protocol.md").read_text() == page
    assert (tmp_path / "protocol-session.svg").exists()


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="table association"):
        files("nothing here")


def test_every_transition_is_one_arrow() -> None:
    for name, svg, table in (
        ("association", as_svg(ASSOCIATION, "a"), ASSOCIATION),
        ("session", as_svg(SESSION, "s"), SESSION),
    ):
        arrows = [element for element in ElementTree.fromstring(svg).iter() if element.get("class") == "move"]
        assert len(arrows) == sum(len(row) for row in table.values()), name


@pytest.mark.parametrize("svg", [as_svg(ASSOCIATION, "a"), as_svg(SESSION, "s")])
def test_no_label_touches_an_arrowhead_or_leaves_the_picture(svg: str) -> None:
    picture = ElementTree.fromstring(svg)
    halos = [element.attrib for element in picture.iter() if element.get("class") == "halo"]
    heads = [element.attrib["d"] for element in picture.iter() if element.get("class") == "head"]
    boxes = [{side: int(halo[side]) for side in ("x", "y", "width", "height")} for halo in halos]
    assert len(boxes) == len(heads)
    for box in boxes:
        assert 0 <= box["x"] <= int(picture.attrib["width"]) - box["width"]
    for head in heads:
        x, y, back = (int(number) for number in re.findall(r"-?\d+", head)[:3])
        left, right = sorted((x, x + back))
        for box in boxes:
            beside = right < box["x"] or left > box["x"] + box["width"]
            above = box["y"] + box["height"] <= y - 5 or box["y"] >= y + 5
            assert beside or above, head


def test_the_name_of_every_state_fits_its_box() -> None:
    bold = 1.15 * diagram.CHARACTER
    for state in (*ASSOCIATION, *SESSION):
        assert bold * len(state.value) < diagram.BOX_WIDTH
