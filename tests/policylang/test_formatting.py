"""The canonical form: Fig. 10's, each rule of ``docs/formatting.md``, and what holds for every text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang.diagnostics import Report
from policylang.formatting import WIDTH, format_policy
from policylang.parser import parse

ROOT = Path(__file__).parents[2]
FIGURE_10 = (ROOT / "examples" / "figure10.policy").read_text()


def formatted(text: str) -> str:
    result = format_policy(text)
    assert result.text is not None, result.diagnostics
    return result.text


def in_block(*lines: str) -> str:
    return "".join(f"{line}\n" for line in ("monitor-policy {", *(f"    {line}" for line in lines), "}"))


# ---- the figure and the shipped files ----------------------------------------------------


def test_figure_10_loses_its_semicolon_and_nothing_else() -> None:
    assert FIGURE_10.count(" ;\n") == 1
    assert formatted(FIGURE_10) == FIGURE_10.replace(" ;\n", "\n")


def test_figure_10_in_one_line_is_laid_out_as_the_paper_has_it() -> None:
    assert formatted(" ".join(FIGURE_10.split())) == FIGURE_10.replace(" ;\n", "\n")


@pytest.mark.parametrize(
    "file", ["policylang/default.policy", "examples/laptop.policy", "examples/server.policy"]
)
def test_the_shipped_policies_are_canonical(file: str) -> None:
    text = (ROOT / file).read_text()
    assert formatted(text) == text


# ---- the rules ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        pytest.param("margin 1; settle 2s;;", ["margin 1", "settle 2s"], id="semicolons"),
        pytest.param("on proto\ttcp migrate\nnever", ["on proto tcp", "    migrate never"], id="single-body"),
        pytest.param("on proto tcp{adopt}", ["on proto tcp {", "    adopt", "}"], id="block"),
        pytest.param("on proto tcp\n{\n}", ["on proto tcp {", "}"], id="empty-block"),
        pytest.param("on port 22 , 25,80 adopt", ["on port 22, 25, 80", "    adopt"], id="list"),
        pytest.param("on port 1 - 3,\n4-\n5 adopt", ["on port 1-3, 4-5", "    adopt"], id="range"),
        pytest.param(
            "on proto tcp port not ssh adopt", ["on proto tcp port not ssh", "    adopt"], id="keys"
        ),
        pytest.param("when rto>3s for 5s adopt", ["when rto > 3s for 5s", "    adopt"], id="threshold"),
        pytest.param(
            "when hour>=22 until hour=6 for 1m adopt",
            ["when hour >= 22 until hour = 6 for 1m", "    adopt"],
            id="until",
        ),
        pytest.param("define A=$B,x", ["define A = $B, x"], id="define"),
        pytest.param("suspend after 90s", ["suspend after 90s"], id="the authors unit"),
        pytest.param("on port ssh adopt", ["on port ssh", "    adopt"], id="the authors name"),
        pytest.param(
            "on proto tcp adopt else adopt never",
            ["on proto tcp", "    adopt", "else", "    adopt never"],
            id="else",
        ),
        pytest.param(
            "on proto tcp { adopt } else { margin 1 }",
            ["on proto tcp {", "    adopt", "} else {", "    margin 1", "}"],
            id="else-after-a-block",
        ),
        pytest.param(
            "on proto tcp { adopt } else margin 1",
            ["on proto tcp {", "    adopt", "} else", "    margin 1"],
            id="single-else-after-a-block",
        ),
        pytest.param(
            "on port 1 adopt else on port 2 margin 1 else when hour > 3 { margin 2 } else margin 3",
            [
                "on port 1",
                "    adopt",
                "else on port 2",
                "    margin 1",
                "else when hour > 3 {",
                "    margin 2",
                "} else",
                "    margin 3",
            ],
            id="ladder",
        ),
        pytest.param(
            "on port 1 { on port 2 adopt } else on port 3 on port 4 margin 1 else margin 2",
            [
                "on port 1 {",
                "    on port 2",
                "        adopt",
                "} else on port 3",
                "    on port 4",
                "        margin 1",
                "    else",
                "        margin 2",
            ],
            id="else-of-the-nearest",
        ),
    ],
)
def test_layout(written: str, lines: list[str]) -> None:
    assert formatted(f"monitor-policy {{ {written} }}") == in_block(*lines)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('score-interface "eth*" 1', "score-interface eth* 1"),
        ('score-interface "current" 1', 'score-interface "current" 1'),
        ('score-interface "eth 0" 1', 'score-interface "eth 0" 1'),
        ('score-interface "a#b" 1', 'score-interface "a#b" 1'),
        ('score-server "$a" 1', 'score-server "$a" 1'),
        ('score-server "adopt" 1', 'score-server "adopt" 1'),
        ('define A = "10.0.0.0/8", "not", "user"', 'define A = 10.0.0.0/8, "not", "user"'),
        ('define A = "1-3", "1 - 3", "22"', 'define A = 1-3, "1 - 3", 22'),
        ('include "a"', 'include "a"'),
    ],
)
def test_quotes_stay_where_they_are_needed(written: str, text: str) -> None:
    assert formatted(f"monitor-policy {{ {written} }}") == in_block(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [('"home"', "home"), ('"5"', '"5"'), ('"-5dbm"', '"-5dbm"'), ('"5G-guest"', '"5G-guest"'), ("5s", "5s")],
)
def test_a_measure_that_could_be_a_number_keeps_its_quotes(value: str, text: str) -> None:
    policy = f"monitor-policy {{ when wifi.ssid = {value} adopt }}"
    assert formatted(policy) == in_block(f"when wifi.ssid = {text}", "    adopt")


def test_empty_lines_are_kept_between_statements_one_at_most() -> None:
    written = "\n\n# a\n\n\n# b\n\nmonitor-policy {\n\n\nmargin 1\n\n \n\t\nsettle 2s\n;\ndelay 1s\n\n}\n\n"
    assert formatted(written) == (
        "# a\n\n# b\n\nmonitor-policy {\n    margin 1\n\n    settle 2s\n    delay 1s\n}\n"
    )


def test_comments_in_every_place() -> None:
    written = """# top
define A = 1 # one
  , # of both
  # own
  2
monitor-policy # policy
{ # open
on port # port
  22 # value
  # head
{ # block
  margin 1;# same line
  # last
}
# between
else
# body
  on port 23 adopt # adopt
  else # simple
  adopt never
} # closed
# end"""
    assert (
        formatted(written)
        == """# top
define A = 1,  # one
    # of both
    # own
    2
monitor-policy {  # policy
    # open
    on port  # port
            22 {  # value
        # head
        # block
        margin 1  # same line
        # last
    }
    # between
    else
        # body
        on port 23
            adopt  # adopt
        else  # simple
            adopt never
}  # closed
# end
"""
    )


def test_long_lists_are_wrapped_deeper_than_the_body() -> None:
    prefixes = ", ".join(f"192.168.{n}.0/24" for n in range(100, 112))
    lines = formatted(f"define A = {prefixes} monitor-policy {{ on remote-ip not {prefixes} {{ adopt }} }}")
    assert max(map(len, lines.splitlines())) <= WIDTH
    define, head = lines.partition("monitor-policy {\n")[::2]
    assert re.fullmatch(r"define A = 192\S+, .*,\n(    192.*,\n)+    192.*\n", define)
    inner = " " * 12
    assert re.fullmatch(
        rf"    on remote-ip not 192.*,\n({inner}192.*,\n)*{inner}192.* \{{\n        adopt\n    }}\n}}\n", head
    )


def test_a_long_head_breaks_before_a_key_and_before_until() -> None:
    user, fact = "u" * 60, "f" * 60
    written = f"on user {user} app not {user} adopt when {fact} > 1 until {fact} < 1 for 1s adopt"
    assert formatted(f"monitor-policy {{ {written} }}") == in_block(
        f"on user {user}",
        f"        app not {user}",
        "    adopt",
        f"when {fact} > 1",
        f"        until {fact} < 1 for 1s",
        "    adopt",
    )


def test_a_brace_does_not_pass_the_margin() -> None:
    users = "u" * (WIDTH - len("    on port 1 user "))
    assert formatted(f"monitor-policy {{ on port 1 user {users} adopt }}").splitlines()[1].endswith("u")
    assert formatted(f"monitor-policy {{ on port 1 user {users} {{ adopt }} }}").splitlines()[1:3] == [
        "    on port 1",
        f"            user {users} {{",
    ]


def test_carriage_returns_go() -> None:
    assert formatted("# a\r\n\r\nmonitor-policy { # b\r\n}\r\n") == "# a\n\nmonitor-policy {  # b\n}\n"


def examples() -> list[tuple[str, str]]:
    page = (ROOT / "docs" / "formatting.md").read_text()
    return re.findall(r"```text\n(.*?)```\n\nbecomes\n\n```policy\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize(("written", "becomes"), examples())
def test_the_examples_of_the_page(written: str, becomes: str) -> None:
    assert formatted(written) == becomes
    assert formatted(becomes) == becomes


# ---- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("monitor-policy { migrate nver }", "unexpected"),
        ("monitor-policy { margin 01 }", "bad-number"),
        ("# only a comment", "unexpected"),
        (f"monitor-policy {{ {'on proto tcp ' * 5000} adopt }}", "too-deep"),
        ("bogus" * 5000, "unexpected"),
    ],
)
def test_a_text_with_mistakes_has_no_form(text: str, code: str) -> None:
    result = format_policy(text, "my.policy")
    assert result.text is None
    assert [(d.code, d.span.file) for d in result.diagnostics] == [(code, "my.policy")]


def test_what_other_files_define_is_no_mistake() -> None:
    assert format_policy("monitor-policy { on port $WEB, nosuchservice adopt }").text is not None


# ---- what holds for every text -----------------------------------------------------------

Words = list[str]
NAMES = st.sampled_from(
    [
        *["eth*", "ann", '"ann"', '"not"', '"current"', '"a b"', '"a # b"', '"300ms"', '"1 - 2"', '"x;y"'],
        *["3001-3010", "7 - 9", "ssh", "user", "never", '"when"', "é", '""', "192.168.120.130/25", "$A"],
    ]
)
PATTERNS = st.sampled_from(["eth*", '"eth*"', "current", '"current"', '"eth 0"', "$LINKS", "*", "[ab]*", "5"])
KEYS = st.sampled_from(["port", "proto", "user", "app", "remote-ip", "role", "session"])


def words(*parts: str) -> st.SearchStrategy[Words]:
    return st.just(list(parts))


def joined(*parts: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    return st.tuples(*parts).map(lambda found: [word for part in found for word in part])


def listed(values: list[str]) -> Words:
    return [word for value in values for word in (",", value)][1:]


VALUES = st.lists(NAMES, min_size=1, max_size=12).map(listed)
CONDITION = joined(KEYS.map(lambda key: [key]), st.sampled_from([[], ["not"]]), VALUES)
THRESHOLD = joined(
    st.tuples(
        st.sampled_from(["rto", "wifi.ssid", "hour"]),
        st.sampled_from(["<", "<=", ">", ">=", "=", "!="]),
        st.sampled_from(["3s", "home", '"home"', '"300ms"', "-75dbm", '"+5"', "5%", '"a b"']),
    ).map(list),
    st.sampled_from([[], ["for", "90s"]]),
)
HEAD = joined(words("on"), CONDITION) | joined(words("on"), CONDITION, CONDITION)
HEAD |= joined(words("when"), THRESHOLD) | joined(words("when"), THRESHOLD, words("until"), THRESHOLD)
DEFINE = joined(words("define", "A", "="), VALUES)
SIMPLE = st.sampled_from(
    [
        *[
            "margin 1",
            "adopt",
            "adopt never",
            "migrate never",
            "suspend after 0.5s",
            "expire never",
            "score-interface $X avoid",
            'score-interface "avoid" avoid',
            "notify",
        ],
        *["resume lazy", 'include "x#y/*"', 'include "x"'],
    ]
).map(str.split)
SCORE = st.tuples(
    st.sampled_from(["score-interface", "score-server"]),
    PATTERNS,
    st.sampled_from(["5", "+5", "-5", "never"]),
).map(list)
PLAIN = SIMPLE | SCORE | DEFINE


def block(statement: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    behind = st.sampled_from([[], [";"], [";", ";"]])
    inside = st.lists(joined(statement, behind), max_size=4).map(lambda found: [w for s in found for w in s])
    return joined(words("{"), inside, words("}"))


def conditional(statement: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    body = PLAIN | block(statement)
    return (
        joined(HEAD, statement | block(statement))
        | joined(HEAD, body, words("else"), statement | block(statement))
        | joined(words("on"), CONDITION, block(statement), words("else"), block(statement))
    )


STATEMENT = st.recursive(PLAIN, conditional, max_leaves=8)
POLICY = st.lists(joined(words("monitor-policy"), block(STATEMENT)) | DEFINE, min_size=1, max_size=3).map(
    lambda found: [word for part in found for word in part]
)
COMMENT = st.sampled_from(["# a\n", "#b \t\n", '# "c\n', "# ; { on\r\n", "#\n", "\n# own\n", "\n\n# after\n"])
GAP = st.lists(
    st.sampled_from([" ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", "\x0c"]) | COMMENT, max_size=3
).map("".join)
DELIMITERS = frozenset("{};,=<>!")


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw a policy with anything that may stand between two words between any two of them."""
    text = draw(GAP)
    for word in draw(POLICY):
        glued = not text or text[-1] in "{};,\n" or text[-1].isspace() or word in ("{", "}", ";", ",")
        text += word if glued else f" {word}"
        text += draw(GAP)
    return text


def comments_of(text: str) -> Counter[str]:
    found = re.findall(r'"[^"\n]*"|(#[^\n]*)', text)
    return Counter(comment.rstrip() for comment in found if comment)


def without_spans(value: object) -> object:
    """Return a tree as nested tuples that hold all of it but where it was written."""
    if isinstance(value, tuple):
        return tuple(without_spans(part) for part in value)
    if not is_dataclass(value):
        return value
    named = ((f.name, getattr(value, f.name)) for f in fields(value) if f.name != "span")
    return (type(value).__name__, *((name, without_spans(part)) for name, part in named))


def meaning(text: str) -> object:
    report = Report(file="x", text=text)
    statements = parse(text, report)
    assert not report.failed, report.diagnostics()
    return without_spans(statements)


@given(texts())
def test_the_meaning_and_every_comment_are_kept(text: str) -> None:
    once = formatted(text)
    assert meaning(once) == meaning(text)
    assert comments_of(once) == comments_of(text)


@given(texts())
def test_what_is_canonical_stays_as_it_is_and_is_tidy(text: str) -> None:
    once = formatted(text)
    assert formatted(once) == once
    # No line ends in blanks, no two are empty, and none is where the file or a body begins or the file ends.
    assert re.search(r"[^\S\n]\n|\n\n\n|\A\n|\n\n\Z|\{\n\n|;$", once) is None
    code = (re.sub(r'("[^"\n]*")|#.*', r"\1", line).rstrip() for line in once.splitlines())
    # Nothing in the generated texts is too long to stand in a line of its own.
    assert max(map(len, code)) <= WIDTH


@given(
    st.text()
    | st.lists(st.sampled_from(["monitor-policy", "{", "}", "on", "#", "\n", "x", '"']), max_size=20).map(
        " ".join
    )
)
def test_no_text_raises(text: str) -> None:
    result = format_policy(text)
    assert (result.text is None) == any(d.severity.value == "error" for d in result.diagnostics)
