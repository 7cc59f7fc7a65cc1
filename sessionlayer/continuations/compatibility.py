"""Whether a host offers what a continuation needs, judged before anything is lost.

A program registers what is there (its *vector*), and a continuation carries what must be there when it is
invoked. A tag that is required must be offered with the same value; of a property that is there in several
versions each is offered with a tag of its own. What is offered beyond that does not matter.

Source: the Migrate paper, sections IV-E and V-A (register_compat_vector, compat_store).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import NAME_MAX, VECTORS_MAX
from sessionlayer.continuations.validity import check_tags
from sessionlayer.continuations.values import Tag


class Mismatch(Struct, frozen=True, kw_only=True):
    """A tag that is required and not offered.

    Attributes:
        required: the tag.
        found: the values that are offered for the same property; none where it is missing altogether.
    """

    required: Tag
    found: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in words for people."""
        tag = self.required
        if not self.found:
            return f"{tag.id} `{tag.name}` is missing: `{tag.value}` is required"
        offered = " and ".join(f"`{value}`" for value in self.found)
        return f"{tag.id} `{tag.name}` is {offered} now: `{tag.value}` is required"


def check_compatibility(required: Sequence[Tag], offered: Sequence[Tag]) -> tuple[Mismatch, ...]:
    """Return every required tag that is not offered, in the order in which they are required."""
    known: dict[tuple[str, str], set[str]] = {}
    for tag in offered:
        known.setdefault((tag.id, tag.name), set()).add(tag.value)
    found = ((tag, known.get((tag.id, tag.name), set())) for tag in dict.fromkeys(required))
    return tuple(
        Mismatch(required=tag, found=tuple(sorted(values)))
        for tag, values in found
        if tag.value not in values
    )


class CompatibilityRegistry:
    """Hold the vectors of all programs of a host, each user's apart: nobody speaks for another's program."""

    def __init__(self) -> None:
        self._vectors: dict[int, dict[str, tuple[Tag, ...]]] = {}

    def register(self, uid: int, program: str, tags: Sequence[Tag]) -> None:
        """Take a program's vector, in place of the one before.

        Args:
            uid: the user whose program it is.
            program: its name, 1 to 255 characters.
            tags: everything that it offers.

        Raises:
            ContinuationError: a bound is broken; the vector before stays.
        """
        if not 1 <= len(program) <= NAME_MAX:
            what = f"a name has 1 to {NAME_MAX} characters, this one has {len(program)}"
            raise ContinuationError("the program's name", what, "choose another name")
        check_tags(tags)
        vectors = self._vectors.setdefault(uid, {})
        if program not in vectors and len(vectors) >= VECTORS_MAX:
            what = f"{VECTORS_MAX} programs of this user have registered vectors, no more are kept"
            raise ContinuationError(f"program `{program}`", what, "register under names that stay the same")
        vectors[program] = tuple(tags)

    def offered(self, uid: int, program: str) -> tuple[Tag, ...]:
        """Return the vector of a program; an empty one where it has registered none."""
        return self._vectors.get(uid, {}).get(program, ())
