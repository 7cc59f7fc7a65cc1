"""Names of terminals: what they may look like, a new one, and what was probably meant."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from difflib import get_close_matches
from itertools import count
from typing import Final

_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_WORDS: Final = (
    "adder", "badger", "beaver", "bison", "bittern", "buzzard", "carp", "crane", "crow", "curlew",
    "deer", "dipper", "dove", "eagle", "egret", "eider", "falcon", "ferret", "finch", "fox", "gannet",
    "godwit", "goose", "grouse", "gull", "hare", "harrier", "hawk", "hedgehog", "heron", "ibis", "jay",
    "kestrel", "kite", "lark", "linnet", "lynx", "magpie", "marten", "merlin", "mole", "moose", "mouse",
    "newt", "otter", "owl", "perch", "pike", "plover", "quail", "raven", "robin", "rook", "salmon",
    "seal", "shrew", "siskin", "snipe", "stoat", "stork", "swan", "swift", "teal", "tern", "thrush",
    "toad", "trout", "vole", "wagtail", "weasel", "wigeon", "wolf", "wren",
)  # fmt: skip


def mistake_in(name: str) -> str:
    """Return why ``name`` can't be the name of a terminal, or an empty string if it can."""
    if _FORM.fullmatch(name):
        return ""
    return f"`{name}` can't be a name: 1 to 32 letters, digits, `.`, `_`, `-`, the first a letter or digit"


def new_name(taken: Collection[str]) -> str:
    """Return a short word that is not among those ``taken``, with a number where all words are."""
    free = [word for word in _WORDS if word not in taken]
    if free:
        return secrets.choice(free)
    word = secrets.choice(_WORDS)
    return next(name for number in count(2) if (name := f"{word}-{number}") not in taken)


def unknown(name: str, known: Collection[str]) -> str:
    """Say that there is no terminal ``name``, and which was probably meant or which there are."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"there is no terminal `{name}`; did you mean `{close[0]}`?"
    if not known:
        return f"there is no terminal `{name}`, nor any other"
    return f"there is no terminal `{name}`; there is {', '.join(f'`{other}`' for other in sorted(known))}"
