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
    return what[0].lower() + what[1:]
