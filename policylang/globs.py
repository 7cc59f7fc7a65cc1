"""Sets of shell patterns as one automaton: which of them can match one name together, with a name for each.

The automaton is the subset construction over all patterns at once, explored as far as it is
reached. Its letters are not characters but runs of characters that no pattern tells apart, so
that every character there is counts.
"""

from __future__ import annotations

import string
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from policylang.ast import Glob, Name

MAX_STATES = 20_000
"""Most states of an automaton that are looked at; only patterns such as `*a????????????????` reach it."""

MAX_STEPS = 10_000_000
"""Most places in patterns that are looked at in all states, for each character: some seconds of work."""

_MAGIC = frozenset("*?[")
_NICE = (
    "0" + string.ascii_lowercase + string.digits + "-_." + string.ascii_uppercase + string.punctuation + " "
)
_UNICODE_END = 0x110000

_Item = tuple[int, int, bool]  # a pattern, how much of it is behind us, and whether it began after a `/`


class TooComplexError(Exception):
    """Patterns or conditions that can't be compared within the bounds of this program."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What names may be made of, and how a pattern is compared with them.

    Attributes:
        forbidden: Characters that no name contains.
        paths: Whether names are paths, which a pattern matches as a whole or by their last part.
    """

    forbidden: str = ""
    paths: bool = False


ANY_NAME = Alphabet()


def pattern_text(value: Glob | Name) -> str:
    """Return a value as a shell pattern: what is magic in a `Name` stands in brackets."""
    if isinstance(value, Glob):
        return value.text
    return "".join(f"[{c}]" if c in _MAGIC else c for c in value.text)


def names_of(
    patterns: Sequence[str], likely: Iterable[str] = (), alphabet: Alphabet = ANY_NAME
) -> Mapping[frozenset[int], str]:
    """Return every set of patterns (by number) that some name matches, and no other; and such a name.

    Args:
        patterns: Shell patterns, as `fnmatch.fnmatchcase` reads them.
        likely: Names that people would recognise, taken where one will do.
        alphabet: What names are made of.

    Raises:
        TooComplexError: It would take more than `MAX_STATES` states or `MAX_STEPS` steps.
    """
    found: dict[frozenset[int], str] = {}
    match = _Matcher(patterns, alphabet)
    for name in (*likely, *(_filled(pattern) for pattern in patterns)):
        if name and not set(name) & set(alphabet.forbidden):
            found.setdefault(match(name), name)
    for signature, name in _Automaton(patterns, alphabet).names():
        found.setdefault(signature, name)
    return found


def _filled(pattern: str) -> str:
    """Return a name that a simple pattern matches."""
    return "" if "[" in pattern else pattern.replace("*", "0").replace("?", "0")


class _Matcher:
    """Tells which patterns match a name; those that say one name alone are looked up."""

    def __init__(self, patterns: Sequence[str], alphabet: Alphabet) -> None:
        self._paths = alphabet.paths
        self._plain: dict[str, list[int]] = {}
        self._globs: list[tuple[int, str]] = []
        for number, pattern in enumerate(patterns):
            if _MAGIC.isdisjoint(pattern):
                self._plain.setdefault(pattern, []).append(number)
            else:
                self._globs.append((number, pattern))

    def __call__(self, name: str) -> frozenset[int]:
        """Return the numbers of the patterns."""
        names = (name, name.rpartition("/")[2]) if self._paths else (name,)
        plain = (number for n in names for number in self._plain.get(n, ()))
        globs = (number for number, pattern in self._globs if any(fnmatchcase(n, pattern) for n in names))
        return frozenset((*plain, *globs))


class _Automaton:
    def __init__(self, patterns: Sequence[str], alphabet: Alphabet) -> None:
        self._paths = alphabet.paths
        self._letters = _letters(patterns, alphabet)
        parts = [list(_parts(pattern)) for pattern in patterns]
        self._stars = [[part == "*" for part in listed] for listed in parts]
        accepted = {part: self._accepted(part) for listed in parts for part in listed}
        self._accepts = [[accepted[part] for part in listed] for listed in parts]

    def names(self) -> Iterator[tuple[frozenset[int], str]]:
        """Yield, for every state that can be reached, the patterns that match there and a shortest name."""
        start = self._closed((number, 0, False) for number in range(len(self._stars)))
        reached: set[frozenset[_Item]] = set()  # by a name, which is never empty
        waiting = deque([(start, "")])
        steps = 0
        while waiting:
            state, name = waiting.popleft()
            steps += len(state) * len(self._letters)
            for letter in self._letters:
                following = self._step(state, letter)
                if following in reached:
                    continue
                reached.add(following)
                waiting.append((following, name + letter))
                yield frozenset(n for n, at, _ in following if at == len(self._stars[n])), name + letter
            if len(reached) > MAX_STATES or steps > MAX_STEPS:
                raise TooComplexError("the patterns have too many ways to match together")

    def _accepted(self, part: str) -> frozenset[str]:
        return frozenset(letter for letter in self._letters if fnmatchcase(letter, part))

    def _step(self, state: frozenset[_Item], letter: str) -> frozenset[_Item]:
        following: list[_Item] = []
        cut = self._paths and letter == "/"
        for number, at, last_part in state:
            if at == len(self._stars[number]) or (cut and last_part):
                continue
            if letter in self._accepts[number][at]:
                following.append((number, at if self._stars[number][at] else at + 1, last_part))
        if cut:
            following += [(number, 0, True) for number in range(len(self._stars))]
        return self._closed(following)

    def _closed(self, items: Iterable[_Item]) -> frozenset[_Item]:
        """Add what is reached without a letter: a star may match nothing."""
        closed: set[_Item] = set()
        for number, at, last_part in items:
            stars = self._stars[number]
            end = next((i for i in range(at, len(stars)) if not stars[i]), len(stars))
            closed.update((number, i, last_part) for i in range(at, end + 1))
        return frozenset(closed)


def _letters(patterns: Sequence[str], alphabet: Alphabet) -> str:
    """Return one character of each run that no pattern tells apart."""
    written = {c for pattern in patterns for c in pattern} | set("/" if alphabet.paths else "")
    written |= set(alphabet.forbidden)
    cuts = sorted({0, _UNICODE_END} | {ord(c) + i for c in written for i in (0, 1)})
    runs = pairwise(cuts)
    letters = [next((c for c in _NICE if low <= ord(c) < high), chr(low)) for low, high in runs]
    kept = [letter for letter in letters if letter not in alphabet.forbidden]
    return "".join(sorted(kept, key=lambda c: _NICE.find(c) if c in _NICE else len(_NICE)))


def _parts(pattern: str) -> Iterator[str]:
    """Yield the parts of a pattern that match one character each, and its stars."""
    at = 0
    while at < len(pattern):
        end = _class_end(pattern, at) if pattern[at] == "[" else at + 1
        yield pattern[at:end]
        at = end


def _class_end(pattern: str, start: int) -> int:
    """Return where the character class that begins at ``start`` ends; a `[` without `]` is itself."""
    first = start + 2 if pattern[start + 1 : start + 2] == "!" else start + 1
    end = pattern.find("]", first + 1)
    return start + 1 if end < 0 else end + 1
