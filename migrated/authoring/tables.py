"""Tables that people write, as typed values; what is wrong with one is said in plain words."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from policylang.diagnostics import did_you_mean, printable, quote


class TimelineError(ValueError):
    """A timeline makes no sense; the message says where, what, and what to write."""


class Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A table that people write: it has no other keys than these."""


WrittenT = TypeVar("WrittenT", bound=Written)

_PROBLEM: Final = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<place>[^`]*)`)?", re.DOTALL)
_UNKNOWN_KEY: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING_KEY: Final = re.compile(r"Object missing required field `(?P<name>.*)`")
_WRONG_TYPE: Final = re.compile(r"Expected `(?P<expected>.*)`, got `(?P<found>.*)`")

_PLAINLY: Final = {
    "str": "text in quotes",
    "array": "a list in brackets",
    "object": "a table",
    "int": "a number",
    "float": "a number",
    "bool": "`true` or `false`",
}
"""What msgspec calls the types of TOML, and what people call them."""


def read_table(raw: object, kind: type[WrittenT], where: str, inner: type[Written] | None = None) -> WrittenT:
    """Return a table as the value that it stands for.

    Args:
        raw: What the reader of TOML made of it.
        kind: What it is to be.
        where: Names it in messages.
        inner: What the tables within it are to be, where there are some.

    Raises:
        TimelineError: it has other keys, misses one, or has a value of another type.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        match = _PROBLEM.fullmatch(str(error))
        assert match is not None
        place = match["place"] or ""
        at = f"{where}: `{printable(place)}`" if place else where
        table = inner if inner and place else kind
        raise TimelineError(f"{at}: {_in_plain_words(match['what'], table)}") from None


def _in_plain_words(what: str, table: type[Written]) -> str:
    """Say what msgspec found."""
    if unknown := _UNKNOWN_KEY.fullmatch(what):
        keys = table.__struct_encode_fields__
        hint = did_you_mean(unknown["name"], keys) or f"there are {', '.join(f'`{key}`' for key in keys)}"
        return f"there is no key {quote(unknown['name'])}; {hint}"
    if missing := _MISSING_KEY.fullmatch(what):
        return f"the key `{missing['name']}` is missing"
    if wrong := _WRONG_TYPE.fullmatch(what):
        return f"expected {_plainly(wrong['expected'])}, found {_plainly(wrong['found'])}"
    return what[0].lower() + what[1:]


def _plainly(types: str) -> str:
    """Name types in the words of people: `str | array` is text in quotes or a list in brackets."""
    # What is missing in TOML is never written, so nobody needs to hear of `null`.
    named = [_PLAINLY.get(one, one) for one in types.split(" | ") if one != "null"]
    return " or ".join(dict.fromkeys(named))
