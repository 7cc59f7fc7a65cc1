"""What can be wrong with a continuation; each error says where, what, and what to do."""

from __future__ import annotations


class ContinuationError(ValueError):
    """Say what is wrong with a continuation.

    Args:
        where: the part that is meant, in the user's words.
        what: what is wrong with it.
        advice: what to do.
    """

    def __init__(self, where: str, what: str, advice: str) -> None:
        super().__init__(f"{where}: {what}; {advice}")
        self.where = where
        self.what = what
        self.advice = advice


class AttributeStoreFullError(ContinuationError):
    """Say that an attribute store can't take more. It is as it was before."""


class UnknownAttributeError(ContinuationError, LookupError):
    """Say that there is no attribute of this name."""


class DependencyCycleError(ContinuationError):
    """Say that a session would depend on itself; ``cycle`` is the way back to itself."""

    def __init__(self, cycle: tuple[str, ...]) -> None:
        text = " on ".join(f"`{name}`" for name in cycle)
        super().__init__(
            f"session `{cycle[0]}`",
            f"it would depend on itself: {text}",
            "let dependencies lead one way, from a parent to its children",
        )
        self.cycle = cycle
