"""Which statements no test reached."""

from __future__ import annotations

from migrated.authoring.coverage import coverage, total_percent
from policylang import DEFAULT_POLICY_FILE, load_policy, parse_policy
from policylang.ast import Policy

TEXT = """monitor-policy {
    margin 1
    on port 22 {
        score-interface a 1
        score-interface b 1
    } else
        score-interface c 1
    when hour = 3 suspend never else suspend after 1m
    settle 1s
}
"""


def _policy(text: str = TEXT, file: str = "a.policy") -> Policy:
    policy = parse_policy(text, file).policy
    assert policy is not None
    return policy


def test_statements_count_by_themselves_and_blocks_by_what_is_in_them() -> None:
    policy = _policy()
    (nothing,) = coverage([policy], ())
    assert (nothing.file, nothing.statements, nothing.reached, nothing.percent) == ("a.policy", 7, 0, 0.0)
    assert nothing.missed_lines == "2, 4-5, 7-9"
    some = [span for span in nothing.missed if span.line not in (4, 9)]
    (most,) = coverage([policy], some)
    assert (most.reached, most.missed_lines) == (5, "4, 9")
    (everything,) = coverage([policy], nothing.missed)
    assert (everything.percent, everything.missed_lines) == (100.0, "")


def test_files_are_counted_once_and_the_shipped_one_never() -> None:
    default = load_policy([DEFAULT_POLICY_FILE]).policy
    assert default is not None
    files = coverage([_policy(), default, _policy(file="b.policy"), _policy()], ())
    assert [(file.file, file.statements) for file in files] == [("a.policy", 7), ("b.policy", 7)]
    assert total_percent(files) == 0.0


def test_of_no_statement_all_are_reached() -> None:
    assert coverage([_policy("monitor-policy { }")], ()) == ()
    assert total_percent(()) == 100.0
