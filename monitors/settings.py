"""The settings of a monitor: its table of the configuration, as values of the types that it expects.

A monitor says what can be set as a msgspec ``Struct`` with defaults, and reads its table with it::

    class Settings(Struct, frozen=True):
        every_s: Annotated[float, Meta(ge=0.1)] = 2.0

    settings = read(surroundings.settings("modem"), Settings)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

import msgspec
from msgspec import inspect

from monitors.spec import SettingsError

ENABLED = "enabled"
"""The key by which the host switches any monitor off. It is the host's own and no monitor's setting."""

_S = TypeVar("_S", bound=msgspec.Struct)


def read(table: Mapping[str, object], kind: type[_S]) -> _S:
    """Return a table of the configuration as the settings that a monitor expects.

    Args:
        table: the keys and values of ``[monitors.NAME]``, as `tomllib` gives them.
        kind: a Struct with a field for each key; those with a default may be left out.

    Raises:
        SettingsError: a key is unknown or missing, or its value is none that it can have.
    """
    given = {key: value for key, value in table.items() if key != ENABLED}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in given:
        if key not in fields:
            raise SettingsError(f"`{key}` is no setting of it; {_instead(key, fields)}")
    for key, field in fields.items():
        if key in given:
            _check(key, given[key], field.type)
        elif field.required:
            raise SettingsError(f"`{key}` is missing; give {_words(inspect.type_info(field.type))}")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:  # what the Struct's own `__post_init__` says of them together
        raise SettingsError(str(error)) from None


class _Nothing(msgspec.Struct, frozen=True):
    pass


def refuse_any(table: Mapping[str, object]) -> None:
    """Read the table of a monitor that has no settings.

    Raises:
        SettingsError: it has a key.
    """
    read(table, _Nothing)


def enabled(table: Mapping[str, object]) -> bool:
    """Return whether a monitor with this table of the configuration is to run.

    Raises:
        SettingsError: the key ``enabled`` is neither true nor false.
    """
    value = table.get(ENABLED, True)
    if not isinstance(value, bool):
        raise SettingsError(f"`{ENABLED}` is {_given(value)}; expected true or false")
    return value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean ...?`` about the known word that is most like another one; empty if none is."""
    close = get_close_matches(word, sorted(known), 1)
    return f"did you mean `{close[0]}`?" if close else ""


def _instead(key: str, known: Iterable[str]) -> str:
    names = ", ".join(f"`{name}`" for name in known)
    every = f"it has {names}" if names else "it has none"
    return did_you_mean(key, known) or every


def _check(key: str, value: object, kind: object) -> None:
    info = inspect.type_info(kind)
    if isinstance(info, inspect.StructType) and isinstance(value, Mapping):
        _check_table(key, value, info)
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise SettingsError(f"`{key}` is {_given(value)}; expected {_words(info)}") from None


def _check_table(key: str, table: Mapping[str, object], info: inspect.StructType) -> None:
    try:
        read(table, info.cls)
    except SettingsError as error:
        raise SettingsError(f"in its table `{key}`: {error}") from None


def _given(value: object) -> str:
    """Return a value as it can stand in a configuration, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]} ..."


def _words(info: inspect.Type) -> str:
    """Return what a type's values are, in the words of those who write configurations."""
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(gt=gt, ge=ge, lt=lt, le=le):
            return "a whole number" + _range(gt, ge, lt, le)
        case inspect.FloatType(gt=gt, ge=ge, lt=lt, le=le):
            return "a number" + _range(gt, ge, lt, le)
        case inspect.StrType(pattern=pattern):
            return f"a text that matches {json.dumps(pattern)}" if pattern else "a text"
        case inspect.LiteralType(values=values):
            return _either(json.dumps(value) for value in values)
        case inspect.EnumType(cls=cls):
            return _either(json.dumps(member.value) for member in cls)
        case inspect.CollectionType(item_type=item):
            return f"a list, each item {_words(item)}"
        case inspect.DictType(value_type=value):
            return f"a table, each value {_words(value)}"
        case inspect.StructType(fields=fields):
            return f"a table with the keys {', '.join(f'`{field.encode_name}`' for field in fields)}"
        case inspect.UnionType(types=types):
            return _either(_words(each) for each in types if not isinstance(each, inspect.NoneType))
        case _:
            return f"a {type(info).__name__.removesuffix('Type').lower()}"


def _range(gt: float | None, ge: float | None, lt: float | None, le: float | None) -> str:
    if ge is not None and le is not None:
        return f" from {ge:g} to {le:g}"
    bounds = (("above", gt), ("of at least", ge), ("below", lt), ("of at most", le))
    parts = [f" {word} {bound:g}" for word, bound in bounds if bound is not None]
    return " and".join(parts)


def _either(options: Iterable[str]) -> str:
    *others, last = options
    return f"{', '.join(others)} or {last}" if others else last
