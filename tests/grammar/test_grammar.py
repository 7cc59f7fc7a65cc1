"""The grammar itself: free of conflicts, and in step with the words that messages use."""

from __future__ import annotations

import logging
import re

import pytest
from lark import Lark, logger

from grammar import policy_grammar
from policylang.expected import _PHRASES, KEYS, MODIFIERS, RESERVED, STATEMENTS, terminal


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    # lark resolves a shift/reduce conflict silently, and tells of it only here.
    logger.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    try:
        Lark(policy_grammar(), parser="lalr", lexer="contextual", debug=True)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(logging.CRITICAL)
    assert [record.message for record in caplog.records if "conflict" in record.message.lower()] == []


def _terminals() -> dict[str, str]:
    lark = Lark(policy_grammar(), parser="lalr", lexer="contextual")
    return {definition.name: definition.pattern.to_regexp() for definition in lark.terminals}


def test_every_reserved_word_is_a_terminal_of_its_name() -> None:
    terminals = _terminals()
    for word in RESERVED:
        assert re.fullmatch(terminals[terminal(word)], word)


def test_the_grammar_reserves_the_words_that_messages_call_reserved() -> None:
    free = _terminals()["VALUE"]
    assert all(re.fullmatch(free, word) is None for word in RESERVED)
    assert all(re.fullmatch(free, word) for word in KEYS | MODIFIERS)
    assert all(re.fullmatch(free, word + "x") for word in RESERVED)


def test_the_keys_of_the_grammar_are_those_of_the_messages() -> None:
    words = _terminals()["KEY"].partition("(?!")[0]
    assert set(re.findall(r"[a-z][a-z-]*", words)) == KEYS


def test_every_terminal_has_words_for_people() -> None:
    literal = {word.upper().replace("-", "_") for word in STATEMENTS | RESERVED | MODIFIERS}
    silent = {"BLANK", "COMMENT", "INVALID", "RANGE", "REFERENCE", "_SEMICOLON"}
    assert set(_terminals()) - silent == (literal | set(_PHRASES)) - silent
