"""Policy text to statements. The only module that imports lark at run time.

After a mistake the parser goes on at the next statement, so that one mistake gives
one message: it drops the states of the statement that it could not read, puts the
token INVALID in its place, and skips to a word that can follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.lexer import LineCounter
from lark.parsers.lalr_interactive_parser import InteractiveParser

from grammar import policy_grammar
from monitors.facts import UNITS
from policylang.ast import Span, Statement
from policylang.build import build
from policylang.diagnostics import MAX_DIAGNOSTICS, Report, quote
from policylang.expected import KEYS, RESERVED, Expectation, terminal

MAX_RECOVERIES = MAX_DIAGNOSTICS + 1
"""How often the parser goes on after a mistake in one file: one more than is shown."""

SCRAP = re.compile(r'#[^\n]*|"[^"\n]*"?|[{};,]|[=<>]+|[^\s{};,#"=<>]+|\s+')
"""A text of any content cut into comments, quoted text, delimiters, words and blanks."""

_UNIT_WORDS = frozenset(word for words in UNITS.values() for word in words)


def parse(text: str, report: Report) -> tuple[Statement, ...]:
    """Return the statements of a policy file; mistakes go to ``report``.

    The statements around a mistake are returned all the same, so that they can be checked.
    """
    return parse_with_tree(text, report)[0]


def parse_with_tree(text: str, report: Report) -> tuple[tuple[Statement, ...], Tree[Token] | None]:
    """Return what `parse` returns, and the words as they were written.

    The tree holds every word but `;` and `,`, in order and with its offsets. There is none after too
    many mistakes; where ``report`` has an error it is not what the author wrote.
    """
    tree = _Session(text, report).run()
    statements = build(tree, report) if tree is not None else ()
    return statements, tree


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a policy as the grammar reads it in its place.

    Attributes:
        kind: The grammar's terminal: ``KEY``, ``VALUE``, ``FACT`` ...
        text: What is written.
        start: The offset of its first character in the text.
    """

    kind: str
    text: str
    start: int


def read_words(text: str) -> tuple[tuple[Word, ...], frozenset[str]]:
    """Return the words of a text that may break off anywhere, and the terminals that may come next.

    What could not be read is left out.
    """
    return _Session(text, Report(file="", text=text)).words()


def forget_grammar() -> None:
    """Give back what reading needs, 1.7 MB: the next text takes 10 ms longer."""
    _grammar.cache_clear()


@cache
def _grammar() -> Lark:
    # lark's `cache` would unpickle a file of a predictable name in the temporary folder.
    return Lark(policy_grammar(), parser="lalr", lexer="contextual", maybe_placeholders=False, cache=False)


class _Session:
    """Parse one text, going on after mistakes."""

    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._parser: InteractiveParser = _grammar().parse_interactive(text)
        self._lost_outside = False
        self._else_forgiven = False
        # Behind the last `{` that nothing expected; blocks that are not closed then follow from it.
        self._stray_brace_end: int | None = None

    def run(self) -> Tree[Token] | None:
        """Return the tree of the file, or ``None`` after too many mistakes."""
        for _ in range(MAX_RECOVERIES):
            try:
                return self._resume()
            except UnexpectedInput as error:
                tree = self._recover(self._position(error))
            if tree is not None:
                return tree
        return None

    def words(self) -> tuple[tuple[Word, ...], frozenset[str]]:
        """Return the words, and what may come next, without asking for more where the text ends."""
        words: list[Word] = []
        for _ in range(MAX_RECOVERIES):
            try:
                for token in self._parser.iter_parse():
                    words.append(Word(token.type, str(token), token.start_pos or 0))  # noqa: PERF401 - it may raise
                break
            except UnexpectedInput as error:
                position = self._position(error)
                self._recover(position)
                # A word that was not expected has been counted already.
                if words and words[-1].start >= position:
                    words.pop()
        return tuple(words), frozenset(self._accepted() - {"INVALID", "$END"})

    def _resume(self) -> Tree[Token]:
        tree: Tree[Token] = self._parser.resume_parse()  # type: ignore[no-untyped-call]
        return tree

    def _accepted(self) -> set[str]:
        """Return the names of the terminals that may stand next."""
        accepted: set[str] = self._parser.accepts()  # type: ignore[no-untyped-call]
        return accepted

    def _position(self, error: UnexpectedInput) -> int:
        """Return the offset of the first character that was not expected."""
        if isinstance(error, UnexpectedToken) and error.token.type != "$END":
            return error.token.start_pos or 0
        if isinstance(error, UnexpectedCharacters):
            return self._counter().char_pos
        return len(self._text)

    def _recover(self, position: int) -> Tree[Token] | None:
        """Report what was met at ``position`` and go on behind it; return the tree where the text ends."""
        found = self._word(position)
        braces = self._open_braces()
        if braces and found in ("", "monitor-policy"):
            return self._close_blocks(braces, position, found)
        if not self._report_slip(found, position):
            self._report_unexpected(found, position, outside=not braces)
        self._put_invalid(position)
        if not found:
            return self._end(position)
        self._skip(position)
        return None

    def _word(self, position: int) -> str:
        match = SCRAP.match(self._text, position)
        return match[0] if match else ""

    def _open_braces(self) -> list[Token]:
        """Return every `{` that is not closed yet, the outermost first."""
        open_: list[Token] = []
        for value in self._parser.parser_state.value_stack:
            if isinstance(value, Token) and value.type == "LBRACE":
                open_.append(value)
            elif isinstance(value, Token) and value.type == "RBRACE":
                open_.pop()
        return open_

    def _close_blocks(self, braces: list[Token], position: int, found: str) -> Tree[Token] | None:
        """Report a missing `}` and go on as if it stood there, outside all blocks."""
        if "RBRACE" not in self._accepted():
            self._report_unexpected(found, position, outside=False)
        elif self._stray_brace_end is None:
            self._report_unclosed(braces[-1], found)
        self._put_invalid(position)
        # Asking the parser each time whether it is outside would be quadratic in the depth.
        for _ in self._open_braces():
            self._parser.feed_token(self._token("RBRACE", "}", position))
        if not found:
            return self._end(position)
        self._seek(position)
        return None

    def _report_unclosed(self, brace: Token, found: str) -> None:
        before = "`monitor-policy`" if found else "the end of the file"
        hint = f"add `}}` before {before}, or where the block should end"
        span = _span_of(self._report.file, brace)
        self._report.error(span, "unclosed", "this block is never closed", hint)

    def _end(self, position: int) -> Tree[Token]:
        tree: Tree[Token] = self._parser.feed_token(self._token("$END", "", position))
        return tree

    def _put_invalid(self, position: int) -> None:
        """Drop what cannot be completed and put INVALID in its place."""
        state = self._parser.parser_state
        invalid = self._token("INVALID", "", position)
        while True:
            try:
                self._parser.feed_token(invalid)
            except UnexpectedToken:
                state.state_stack.pop()
                state.value_stack.pop()
            else:
                return

    def _skip(self, position: int) -> None:
        """Continue at the first word from ``position`` on that can follow."""
        accepted = self._accepted()
        for match in SCRAP.finditer(self._text, position):
            if terminal(match[0]) in accepted:
                self._seek(match.start())
                return
        self._seek(len(self._text))

    def _seek(self, position: int) -> None:
        counter = self._counter()
        counter.char_pos = position
        counter.line_start_pos = self._text.rfind("\n", 0, position) + 1
        counter.line = self._text.count("\n", 0, position) + 1
        counter.column = position - counter.line_start_pos + 1

    def _counter(self) -> LineCounter:
        """Return where the lexer stands."""
        lexer_state = self._parser.lexer_thread.state
        assert lexer_state is not None
        return lexer_state.line_ctr

    def _token(self, kind: str, value: str, position: int) -> Token:
        span = self._span(position, len(value))
        return Token(
            kind,
            value,
            start_pos=position,
            line=span.line,
            column=span.column,
            end_line=span.end_line,
            end_column=span.end_column,
            end_pos=position + len(value),
        )

    def _report_unexpected(self, found: str, position: int, *, outside: bool) -> None:
        """Report one mistake; what follows from an earlier one is passed over."""
        # Outside of all blocks everything up to the next block follows from the first mistake,
        # and an `else` may have lost its `on` to one.
        repeated = self._lost_outside if outside else found == "else" and self._else_forgiven
        repeated |= self._in_run_of_braces(found, position)
        self._lost_outside |= outside
        self._else_forgiven = True
        if repeated:
            return
        expectation = Expectation.of(self._accepted())
        last = self._last_token()
        if last is not None and expectation.continues and (not found or found in "{};" or found in RESERVED):
            self._report.error(
                _span_of(self._report.file, last),
                "incomplete",
                f"expected {expectation.phrase} after {quote(last)}, found {_shown(found)}",
                "conditions stand before the statement that depends on them"
                if "on" in expectation.words
                else "",
            )
            return
        self._report.error(self._span(position, len(found)), *expectation.complaint(found, _shown(found)))

    def _report_slip(self, found: str, position: int) -> bool:
        """Report what was probably meant, where the mistake is before the word that shows it."""
        last = self._last_token()
        return (
            self._report_lone_unit(found, position)
            or (last is not None and self._report_comma(last))
            or (last is not None and self._report_not(last))
        )

    def _report_comma(self, last: Token) -> bool:
        """Report a comma between two conditions, by which a key becomes a value; return whether so."""
        before = self._text[: last.start_pos].rstrip()
        if last.type != "VALUE" or last not in KEYS or not before.endswith(","):
            return False
        self._report.explained(_span_of(self._report.file, last))
        self._report.error(
            self._span(len(before) - 1, 1),
            "comma-before-key",
            f"this comma makes `{last}` one of the values before it",
            f"take it away: `{last}` begins another condition",
        )
        return True

    def _report_not(self, last: Token) -> bool:
        """Report a `not` behind `when`, where it is read as a fact; return whether so."""
        if last.type != "FACT" or last != "not":
            return False
        hint = "compare otherwise, as in `metered = no` or by `!=`, or use `else`"
        self._report.error(_span_of(self._report.file, last), "unexpected", "a `when` has no `not`", hint)
        return True

    def _report_lone_unit(self, found: str, position: int) -> bool:
        """Report a number and its unit as one mistake if there are blanks between them; return whether so."""
        number = self._last_token() if found in _UNIT_WORDS else None
        if number is None or number.type != "QUANTITY" or not number[-1].isdigit():
            return False
        start = number.start_pos or 0
        written = self._text[start : position + len(found)]
        if "\n" in written:
            return False
        joined = number + found
        span = self._span(start, len(written))
        self._report.error(
            span, "lone-unit", "a number and its unit are one word", f"write `{joined}`", joined
        )
        self._report.explained(span)
        return True

    def _in_run_of_braces(self, found: str, position: int) -> bool:
        """Note a `{` that nothing expects and return whether it follows directly upon another."""
        if found != "{":
            return False
        end, self._stray_brace_end = self._stray_brace_end, position + 1
        return end is not None and not self._text[end:position].strip()

    def _last_token(self) -> Token | None:
        """Return the last token read of the statement that is being read."""
        stack = self._parser.parser_state.value_stack
        node = stack[-1] if stack else None
        while isinstance(node, Tree):
            node = node.children[-1] if node.children else None
        return node

    def _span(self, position: int, length: int) -> Span:
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        return Span(
            file=self._report.file, line=line, column=column, end_line=line, end_column=column + length
        )


def _span_of(file: str, token: Token) -> Span:
    return Span(
        file=file,
        line=token.line or 0,
        column=token.column or 0,
        end_line=token.end_line or 0,
        end_column=token.end_column or 0,
    )


def _shown(found: str) -> str:
    return quote(found) if found else "the end of the file"
