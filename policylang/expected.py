"""What a parser state expects, in the words of a person who writes policies."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from policylang.diagnostics import closest, one_of, question

STATEMENTS = frozenset(
    {
        "adopt",
        "define",
        "delay",
        "expire",
        "ignore",
        "include",
        "margin",
        "migrate",
        "notify",
        "on",
        "resume",
        "score-interface",
        "score-server",
        "settle",
        "suspend",
        "when",
    }
)
"""The words that begin a statement."""

RESERVED = STATEMENTS | {"else", "monitor-policy"}
"""The words that are names only in quotes."""

KEYS = frozenset(
    {
        "any-port",
        "app",
        "l-port",
        "local-ip",
        "port",
        "proto",
        "remote-host",
        "remote-ip",
        "role",
        "session",
        "user",
    }
)
"""The words after `on`."""

MODIFIERS = frozenset(
    {"after", "always", "avoid", "current", "eager", "for", "lazy", "never", "not", "until"}
)
"""The words inside statements that mean something of themselves; elsewhere they are names."""

_PHRASES = {
    "EQUALS": "`=`",
    "FACT": "a fact such as `rto`",
    "KEY": "a key such as `proto`",
    "LBRACE": "`{`",
    "NAME": "a name",
    "NUMBER": "a whole number",
    "OPERATOR": "a comparison such as `<`",
    "PATTERN": "a pattern such as `eth*`",
    "QUANTITY": "a duration such as `2s`",
    "RBRACE": "`}`",
    "SCORE": "a score such as `10` or `+5`",
    "STRING": "text in quotes",
    "VALUE": "a value",
    "_COMMA": "`,`",
}

_CONNECTIVES = {
    "and": "there is no `and`: conditions nest, one in the body of the other, and keys follow one `on`",
    "or": "there is no `or`: list the values with commas, or write the statement once for each condition",
}
"""What to do without the words by which other languages join conditions."""

_OTHER_FORMS = frozenset({"RANGE", "REFERENCE", "STRING", "QUANTITY"})
"""Terminals that go without saying where a value or a pattern is expected."""


def terminal(word: str) -> str:
    """Return the name of the grammar's terminal for a reserved word, a brace or `;`; else nothing."""
    if word in RESERVED:
        return word.upper().replace("-", "_")
    return {"{": "LBRACE", "}": "RBRACE", ";": "_SEMICOLON"}.get(word, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What may stand next.

    Attributes:
        phrase: The choices, in alphabetical order: ``a statement or `}```.
        words: The literal words among them.
        continues: Whether the statement that was begun needs something more.
    """

    phrase: str
    words: frozenset[str]
    continues: bool

    @classmethod
    def of(cls, terminals: Set[str]) -> Expectation:
        """Describe a set of terminals of the grammar."""
        words = {word for word in RESERVED | MODIFIERS if word.upper().replace("-", "_") in terminals}
        shown = {f"`{word}`" for word in words - _unsaid_words(terminals)}
        shown |= {_PHRASES[name] for name in terminals - _unsaid_forms(terminals) if name in _PHRASES}
        if "ON" in terminals:
            shown.add("a statement")
        return cls(
            phrase=one_of(shown),
            words=frozenset(words | KEYS if "KEY" in terminals else words),
            continues="_SEMICOLON" not in terminals and "MONITOR_POLICY" not in terminals,
        )

    def complaint(self, word: str, shown: str) -> tuple[str, str, str, str]:
        """Return code, message, hint and replacement for a word that is none of these.

        Args:
            word: The word as it was written.
            shown: The word as it is printed.
        """
        if word.startswith('"') and not word.endswith('"', 1):
            return "unclosed", "the quote that begins here is not closed in this line", 'add `"`', ""
        if word == "else":
            hint = "`else` stands directly behind the body of an `on` or `when`, without `;` between them"
            return "unexpected", "this `else` belongs to nothing", hint, ""
        connective = _CONNECTIVES.get(word) if "on" in self.words else None
        if connective:
            return "unexpected", f"expected {self.phrase}, found {shown}", connective, ""
        if word in STATEMENTS and "monitor-policy" in self.words:
            hint = "statements stand inside of `monitor-policy { … }`"
            return "unexpected", f"expected {self.phrase}, found {shown}", hint, ""
        if word == "not" and (self.words >= KEYS or self.phrase == _PHRASES["OPERATOR"]):
            hint = "`not` stands behind a key, as in `on port not 22`; with a fact, write `!=`"
            return "unexpected", f"expected {self.phrase}, found {shown}", hint, ""
        if word == "avoid" and _PHRASES["SCORE"] in self.phrase:
            hint = "only links can be avoided: put a server last by a low score, or rule it out with `never`"
            return "unexpected", f"expected {self.phrase}, found {shown}", hint, ""
        guess = closest(word, self.words)
        hint = question(guess) or self._glued(word) or self._listing()
        return "unexpected", f"expected {self.phrase}, found {shown}", hint, guess

    def _glued(self, word: str) -> str:
        first = max((known for known in self.words if word.startswith(known)), key=len, default="")
        return f"put a space after `{first}`" if first else ""

    def _listing(self) -> str:
        if self.words >= KEYS and self.continues and not self.words & STATEMENTS:
            return f"the keys are {', '.join(sorted(KEYS))}"
        return ""


def _unsaid_words(terminals: Set[str]) -> Set[str]:
    # `a statement` stands for them, and outside of blocks nobody looks for `define`.
    return STATEMENTS | {"else"} if terminals & {"ON", "MONITOR_POLICY"} else frozenset()


def _unsaid_forms(terminals: Set[str]) -> Set[str]:
    return _OTHER_FORMS if terminals & {"VALUE", "PATTERN"} else frozenset()
