"""The editors' grammars know every word of the language, and colour Fig. 10 as it is meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grammar import editors, policy_grammar
from monitors.facts import UNITS

VSCODE = editors() / "vscode"
VIM = editors() / "vim"
PACKAGE = json.loads((VSCODE / "package.json").read_text())
TEXTMATE = json.loads((VSCODE / "syntaxes" / "migrate-policy.tmLanguage.json").read_text())
SYNTAX = (VIM / "syntax" / "migratepolicy.vim").read_text()
FIGURE_10 = (Path(__file__).parents[2] / "examples" / "figure10.policy").read_text()

KEYWORDS = re.findall(r'^[A-Z_]+(?:\.\d)?: "([a-z-]+)" END$', policy_grammar(), re.MULTILINE)
(_KEYS,) = re.findall(r"^KEY\.2: /\(\?:(.*)\)/ END$", policy_grammar(), re.MULTILINE)
KEYS = _KEYS.split("|")
UNIT_NAMES = sorted({name for names in UNITS.values() for name in names})

Piece = tuple[str, str]


def test_the_words_are_read_from_the_grammar() -> None:
    assert {"monitor-policy", "else", "never", "until", "score-server"} <= set(KEYWORDS)
    assert {"proto", "remote-host"} <= set(KEYS)


# ---- TextMate ----------------------------------------------------------------------------


def pieces(line: str) -> Iterator[Piece]:
    """Yield the coloured pieces of a line with their scopes, as TextMate does with a flat list."""
    patterns = [(re.compile(pattern["match"]), pattern) for pattern in TEXTMATE["patterns"]]
    at = 0
    while at < len(line):
        found = [(match, pattern) for regex, pattern in patterns if (match := regex.search(line, at))]
        if not found:
            return
        match, pattern = min(found, key=lambda pair: pair[0].start())
        yield from _scoped(match, pattern)
        at = match.end()


def _scoped(match: re.Match[str], pattern: dict[str, Any]) -> Iterator[Piece]:
    named = {0: pattern} if "name" in pattern else {int(n): part for n, part in pattern["captures"].items()}
    for group, part in named.items():
        yield match[group], part["name"].removesuffix(".migrate-policy")


def scopes(line: str) -> dict[str, str]:
    return dict(pieces(line))


@pytest.mark.parametrize("word", [*KEYWORDS, *KEYS])
def test_textmate_colours_every_word_of_the_language(word: str) -> None:
    assert scopes(f" {word}{{")[word].startswith("keyword.")
    assert not any(scope.startswith("keyword.") for scope in scopes(f"{word}x x{word} {word}-1").values())


@pytest.mark.parametrize("unit", UNIT_NAMES)
def test_textmate_colours_every_unit(unit: str) -> None:
    assert list(pieces(f"-12.5{unit} 7{unit}x")) == [
        ("-12.5", "constant.numeric"),
        (unit, "keyword.other.unit"),
    ]


def test_textmate_on_figure_10() -> None:
    found = [list(pieces(line)) for line in FIGURE_10.splitlines()]
    keyword, number = "keyword.other.statement", "constant.numeric"
    key, control, glob = "keyword.other.key", "keyword.control", "string.unquoted.glob"
    section, brace, separator = "keyword.other.section", "punctuation.section.block", "punctuation.separator"
    score = ("score-interface", keyword)
    on = ("on", control)
    end = [[("}", brace)]]
    assert found == [
        [("monitor-policy", section), ("{", brace)],
        [score, ("*", glob), ("1", number)],
        [score, ("eth*", glob), ("10", number)],
        [score, ("1000", number)],
        [score, ("ppp*", glob), ("5", number)],
        [on, ("proto", key), ("tcp", "support.constant"), ("{", brace)],
        [on, ("remote-ip", key), ("18.31.0.4/24", "constant.other.address")],
        [on, ("port", key)],
        [score, ("eth*", glob), ("100", number)],
        [on, ("l-port", key), ("3001-3010", "constant.numeric.range"), ("{", brace)],
        [score, ("eth*", glob), ("200", number), (";", separator)],
        [score, ("100", number)],
        *end,
        [on, ("port", key), (",", separator)],
        [("migrate", keyword), ("never", "keyword.other.modifier")],
        *end,
        *end,
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# on proto", {"# on proto": "comment.line.number-sign"}),
        ('include "a # b" # c', {'"a # b"': "string.quoted.double", "# c": "comment.line.number-sign"}),
        ('on user "ann', {'"ann': "invalid.illegal.unclosed-string"}),
        ("define LINKS = $OTHER", {"LINKS": "variable.other.set", "$OTHER": "variable.other.set"}),
        (
            "when wifi.signal<-75dbm",
            {"wifi.signal": "support.variable.fact", "<": "keyword.operator.comparison"},
        ),
        (
            "when rto!=3s until rto>=1s",
            {"!=": "keyword.operator.comparison", ">=": "keyword.operator.comparison"},
        ),
        ("on remote-ip fd00::/8", {"fd00::/8": "constant.other.address"}),
        ("score-interface -5", {"-5": "constant.numeric"}),
    ],
)
def test_textmate_on_single_lines(line: str, expected: dict[str, str]) -> None:
    assert expected.items() <= scopes(line).items()


def test_a_hash_in_quotes_begins_no_comment() -> None:
    assert not any("comment" in scope for scope in scopes('include "a # b"').values())


def test_the_extension_names_files_that_exist() -> None:
    contributes = PACKAGE["contributes"]
    (language,), (grammar,) = contributes["languages"], contributes["grammars"]
    named = [PACKAGE["main"], language["configuration"], grammar["path"]]
    assert [name for name in named if not (VSCODE / name).is_file()] == []
    assert (grammar["language"], grammar["scopeName"]) == (language["id"], TEXTMATE["scopeName"])
    assert set(language["extensions"]) == {f".{suffix}" for suffix in TEXTMATE["fileTypes"]}


def test_the_extension_starts_a_command_that_exists() -> None:
    from click import Context

    from migrated.commands.policy import policy

    (arguments,) = re.findall(r"args: (\[.*?\])", (VSCODE / "extension.js").read_text())
    group, command = json.loads(arguments)
    assert group == policy.name
    assert command in policy.list_commands(Context(policy))
    (setting,) = re.findall(r'\.get\("(\w+)"\)', (VSCODE / "extension.js").read_text())
    assert f"migratePolicy.{setting}" in PACKAGE["contributes"]["configuration"]["properties"]


# ---- Vim ---------------------------------------------------------------------------------


def vim_keywords() -> set[str]:
    lists = re.findall(r"^syn keyword \w+ (.*)$", SYNTAX, re.MULTILINE)
    return {
        word for words in lists for word in words.split() if not re.match(r"nextgroup=|skip|contained", word)
    }


@pytest.mark.parametrize("word", [*KEYWORDS, *KEYS])
def test_vim_knows_every_word_of_the_language(word: str) -> None:
    assert word in vim_keywords()


@pytest.mark.parametrize("unit", UNIT_NAMES)
def test_vim_knows_every_unit(unit: str) -> None:
    (listed,) = re.findall(r"\\%\((ms\\\|.*?)\\\)\\>", SYNTAX)
    assert re.fullmatch(listed.replace("\\|", "|").replace("\\=", "?"), unit)


def test_vim_gives_every_group_a_colour() -> None:
    groups = set(re.findall(r"^syn (?:keyword|match|region) (\w+)", SYNTAX, re.MULTILINE))
    assert groups == set(re.findall(r"^hi def link (\w+)", SYNTAX, re.MULTILINE))


def test_vim_finds_the_type_that_its_files_are_named_for() -> None:
    (name,) = re.findall(
        r"\*\.policy setfiletype (\w+)", (VIM / "ftdetect" / "migratepolicy.vim").read_text()
    )
    assert (VIM / "syntax" / f"{name}.vim").is_file()
    assert (VIM / "ftplugin" / f"{name}.vim").is_file()
