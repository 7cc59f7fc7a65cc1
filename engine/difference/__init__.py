"""What two policies decide differently: exactly, with an example session for each difference."""

from engine.difference.cases import MAX_CASES
from engine.difference.compare import compare
from engine.difference.found import Circumstance, Decided, Difference
from policylang.regions import TooComplexError

__all__ = ["MAX_CASES", "Circumstance", "Decided", "Difference", "TooComplexError", "compare"]
