"""Count the lines that make a server suspendable: the counterpart of the paper's Table II.

    python examples/count_lines.py

An example is a folder with pairs of programs, `plain….py` and `suspendable….py`. Modules of its folder
count with the program that imports them. Blank lines, comments and docstrings do not count; a line that
differs counts as added.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import json
import tokenize
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PAPER: Final = (("OpenSSH, in the paper", 38_885, 459), ("Icecast, in the paper", 18_676, 43))
"""Name, lines of code, lines added for resumption on the same host (Table II)."""

_SILENT: Final = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Count:
    """One example: its name, the lines of the plain program, and those added to make it suspendable."""

    name: str
    plain: int
    added: int


def code_lines(text: str) -> list[str]:
    """Return the lines of a program that hold code."""
    documented = {number for lines in _docstrings(ast.parse(text)) for number in lines}
    numbers = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _SILENT
        for number in range(token.start[0], token.end[0] + 1)
    }
    lines = text.splitlines()
    return [lines[number - 1] for number in sorted(numbers - documented)]


def added_lines(plain: str, suspendable: str) -> int:
    """Return how many lines of code a program has that the plain one has not."""
    matcher = difflib.SequenceMatcher(None, code_lines(plain), code_lines(suspendable), autojunk=False)
    return sum(
        end - start for kind, _, _, start, end in matcher.get_opcodes() if kind in ("insert", "replace")
    )


def modules(program: Path) -> set[Path]:
    """Return the modules of a program's own folder that it imports, themselves or through one another."""
    found: set[Path] = set()
    waiting = [program]
    while waiting:
        for module in _imported(waiting.pop()) - found:
            found.add(module)
            waiting.append(module)
    return found


def count(folder: Path) -> Iterator[Count]:
    """Count every pair of a folder."""
    for plain in sorted(folder.glob("plain*.py")):
        suspendable = plain.with_name(plain.name.replace("plain", "suspendable"))
        shared, needed = modules(plain), modules(suspendable)
        kind = plain.stem.removeprefix("plain").strip("_")
        yield Count(
            name=f"{folder.name} {kind}".strip().replace("_", " "),
            plain=sum(len(code_lines(file.read_text())) for file in {plain, *shared}),
            added=added_lines(plain.read_text(), suspendable.read_text())
            + sum(len(code_lines(file.read_text())) for file in needed - shared),
        )


def table(counts: list[Count]) -> str:
    """Return the counts as a table, with the paper's below."""
    rows = [*((item.name, item.plain, item.added) for item in counts), *PAPER]
    lines = [f"{name:24}{plain:>8,}{added:>8}{100 * added / plain:>10.2f} %" for name, plain, added in rows]
    return "\n".join([f"{'program':24}{'lines':>8}{'added':>8}{'overhead':>12}", *lines])


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description="Count the lines that make a server suspendable.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    counts = [item for folder in sorted(HERE.iterdir()) if folder.is_dir() for item in count(folder)]
    print(json.dumps([asdict(item) for item in counts]) if options.json else table(counts))


def _docstrings(tree: ast.Module) -> Iterator[range]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield range(first.lineno, (first.end_lineno or first.lineno) + 1)


def _imported(program: Path) -> set[Path]:
    folder = program.parent
    package = f"{folder.parent.name}.{folder.name}"
    names: set[str] = set()
    for node in ast.walk(ast.parse(program.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            names.add((node.module or "").rpartition(".")[2])
    return {folder / f"{name}.py" for name in names}


if __name__ == "__main__":
    main()
