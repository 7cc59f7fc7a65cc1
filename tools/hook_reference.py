"""Write the reference of docs/writing-monitors.md from the docstrings of what authors of monitors use.

    python tools/hook_reference.py

It replaces what stands between the two marks in the document.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "writing-monitors.md"
BEGIN: Final = "<!-- made by tools/hook_reference.py from docstrings: -->\n"
END: Final = "<!-- end of what was made -->\n"

_SECTION: Final = re.compile(r"(Args|Attributes|Returns|Raises|Source):[^\S\n]*(.*)")
_ENTRY: Final = re.compile(r"(\w+): (.*)")


def contents() -> dict[ModuleType, tuple[str, ...]]:
    """Return the modules of the reference, with the names that belong to it."""
    from monitors import events, facts, settings, spec, surroundings, testing

    return {
        spec: ("migrate_monitors", "Monitor", "NotAvailableError", "SettingsError"),
        events: ("FactMeasured", "LinkState", "LinkGone", "AddressPresent", "AddressGone", "OperState"),
        facts: ("Fact", "FactType", "Subject"),
        surroundings: (
            *("Surroundings", "WatchedConnection", "WatchedPath", "WatchedPeer"),
            *("KeepAlive", "Solitude"),
        ),
        settings: ("read",),
        testing: (
            *("check_monitor", "check_facts", "ConformanceError", "Recorder"),
            *("FakeClock", "settle", "FakeSurroundings", "ScriptedFeed"),
        ),
    }


def reference() -> str:
    """Return the whole reference as Markdown."""
    parts = (part for module, names in contents().items() for part in _module(module, names))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip("\n") + "\n"


def replaced(text: str) -> str:
    """Return a document with the reference as it is now.

    Raises:
        ValueError: it lacks the marks.
    """
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the document needs the lines `{BEGIN.strip()}` and `{END.strip()}`")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _module(module: ModuleType, names: Iterable[str]) -> Iterator[str]:
    yield f"### `{module.__name__}`\n"
    for name in names:
        thing = getattr(module, name)
        yield f"**`{_head(thing)}`**\n"
        yield from _described(thing)
        if inspect.isclass(thing):
            yield from _members(thing)


def _head(thing: Any) -> str:  # noqa: ANN401 - whatever a module has
    if inspect.isclass(thing):
        bare = issubclass(thing, BaseException | Enum) or getattr(thing, "_is_protocol", False)
        return f"class {thing.__name__}" if bare else f"class {thing.__name__}{_signature(thing)}"
    return _called(thing.__name__, thing)


def _called(name: str, function: Any) -> str:  # noqa: ANN401
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{prefix}{name}{_signature(function)}"


class _Bare:
    """An annotation as it was written, without quotes."""

    def __init__(self, text: object) -> None:
        self._text = str(text)

    def __repr__(self) -> str:
        return self._text


def _signature(function: Any) -> str:  # noqa: ANN401
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_Bare(each.annotation))
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    returned = signature.return_annotation
    silent = returned in (None, "None", inspect.Signature.empty)
    outcome = inspect.Signature.empty if silent else _Bare(returned)
    text = str(signature.replace(parameters=parameters, return_annotation=outcome))
    return re.sub(r"<function (\w+) at [^>]*>", r"\1", text)


def _members(kind: type) -> Iterator[str]:
    if issubclass(kind, Enum):
        yield f"Values: {', '.join(f'`{member.name}`' for member in kind)}.\n"
        return
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else member
        public = not name.startswith("_") or name == "__call__"
        if not public or not inspect.isfunction(function) or not function.__doc__:
            continue
        head = name if isinstance(member, property) else _called(name, function)
        yield f"* `{head}`: {_summary(function)}"
    yield ""


def _summary(function: Any) -> str:  # noqa: ANN401
    """Return the first paragraph of a docstring."""
    return _plain(" ".join(inspect.cleandoc(function.__doc__).partition("\n\n")[0].split()))


def _described(thing: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the paragraphs of a docstring, its sections as lists."""
    for paragraph in inspect.cleandoc(thing.__doc__ or "").split("\n\n"):
        section = _SECTION.match(paragraph)
        if section is None:
            yield _prose(paragraph)
        else:
            yield f"{section[1]}: {_plain(section[2])}".strip() + "\n"
            yield from _entries(paragraph.partition("\n")[2])
            yield ""


def _prose(paragraph: str) -> str:
    """Return a paragraph, or a piece of program as such."""
    if paragraph == "::":
        return ""
    if paragraph.startswith("    "):
        return f"```python\n{textwrap.dedent(paragraph)}\n```\n"
    return _plain(paragraph.removesuffix("::").replace("\n", " ").strip()) + (
        ":\n" if paragraph.endswith("::") else "\n"
    )


def _entries(text: str) -> Iterator[str]:
    """Yield the entries of a section, each in a line."""
    lines = textwrap.dedent(text).replace("\n    ", " ").splitlines()
    for line in lines:
        entry = _ENTRY.match(line)
        yield f"* `{entry[1]}`: {_plain(entry[2])}" if entry else f"* {_plain(line)}"


def _plain(text: str) -> str:
    return text.replace("``", "`")


def main() -> None:
    """Write the document anew."""
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
