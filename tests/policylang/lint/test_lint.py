"""A policy with one fault of each rule; what is right; what comments allow; files and layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylang import DEFAULT_POLICY_FILE, Diagnostic, Severity, load_policy
from policylang.ast import Layer
from policylang.lint import RULES, UNKNOWN_CODE, lint_loaded, lint_policy, lint_text
from policylang.loader import PolicyFile

ROOT = Path(__file__).parents[3]
INTERFACES = frozenset({"eth0", "wlan0", "ppp0"})

SEEDED = """\
define USED = ann, bob
define LEFT-OVER = eve                              #! P008

monitor-policy {
    score-interface eth* 10
    score-interface wlna0 20                        #! P004
    settle 5s
    on proto tcp {
        on port ssh
            delay 1s                                #! P001
        delay 2s
        on proto udp                                #! P002
            margin 3
        on proto tcp                                #! P013
            margin 4
    }
    on role client, server
        resume lazy
    else
        resume eager                                #! P003
    on user $USED remote-ip 192.0.2.1/24            #! P005
        suspend after 5s
    on l-port 100-200
        score-interface wlan0 7
    on l-port 150-250                               #! P006
        score-interface wlan0 8
    on app ssh                                      #! P007
        notify
    else
        notify
    on port imaps {
        score-interface ppp* never
        score-interface ppp0 6                      #! P009
    }
    when rtt < 1s until rtt < 2s                    #! P010
        score-interface ppp* -1
    when keepalive-age > 7d
        adopt                                       #! P011
    on any-port 8000-8099, 8080                     #! P012
        migrate never
    on session backup
        settle 5s                                   #! P014
    score-interface current -5                      #! P015
    on port pop3s
        score-interface * avoid                     #! P019
    when battery > 120%                             #! P016
        migrate always
    on remote-host 18.31.0.9                        #! P018
        adopt
    score-server mirror* 5 on session backup        #! P017
        margin 9
    # lint: allow P999                              #! P000
}
"""


def marked(text: str) -> list[tuple[int, str]]:
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.split("#! ")[1]) for number, line in lines if "#! " in line]


def found(diagnostics: tuple[Diagnostic, ...]) -> list[tuple[int, str]]:
    return [(diagnostic.span.line, diagnostic.code) for diagnostic in diagnostics]


def lint(body: str, interfaces: frozenset[str] | None = None) -> list[tuple[int, str]]:
    return found(lint_text(f"monitor-policy {{\n{body}\n}}\n", interfaces=interfaces))


def test_the_seeded_policy_has_one_fault_of_each_rule() -> None:
    assert sorted(code for _, code in marked(SEEDED)) == sorted([*RULES, UNKNOWN_CODE])


def test_every_seeded_fault_is_found_once_and_in_its_line() -> None:
    diagnostics = lint_text(SEEDED, interfaces=INTERFACES)
    assert found(diagnostics) == marked(SEEDED)
    assert all(d.severity is Severity.WARNING and d.hint and d.source_line for d in diagnostics)


def test_figure_10_has_host_bits_and_nothing_else() -> None:
    (diagnostic,) = lint_policy([ROOT / "examples" / "figure10.policy"])
    assert (diagnostic.code, diagnostic.span.line, diagnostic.replacement) == ("P005", 7, "18.31.0.0/24")


@pytest.mark.parametrize("name", ["laptop", "server"])
def test_the_examples_are_without_fault(name: str) -> None:
    assert lint_policy([ROOT / "examples" / f"{name}.policy"]) == ()


def test_the_shipped_policy_is_without_fault_and_never_overridden() -> None:
    assert lint_policy([DEFAULT_POLICY_FILE]) == ()
    loaded = load_policy([ROOT / "examples" / "laptop.policy"], with_defaults=True)
    assert lint_loaded(loaded) == ()


RIGHT = [
    "settle 5s on proto tcp settle 3s else margin 2",
    "on proto tcp { settle 5s on port 22 settle 1s } else settle 2s",
    "score-interface a 5 when loss > 5% score-interface a 1 else score-interface b 2",
    "on port 22 { on user ann settle 1s else settle 2s } on port 80 settle 5s",
    "on port 80 settle 5s on port 22 { on user ann settle 1s else settle 2s }",
    "on port 80-443\nmigrate never\non port 22-100\nmigrate never",
    "on port 80-443\nmigrate never\non port 22-100\nsettle 1s",
    "settle 5s on proto tcp settle 2s",
    "score-interface eth* 1 score-interface eth0 5",
    "score-interface eth0 5 score-interface eth* +5",
    "score-interface current 5 score-interface eth* 5",
    "on proto tcp settle 5s else settle 2s on port 22 settle 5s",
    "on user ann settle 5s on user not ann settle 2s",
    "on user ann settle 5s else on user not ann settle 4s else settle 3s",
    # Another connection of the session may be the one that satisfies the second `on`.
    "on port 22 on remote-ip 10.0.0.0/8 settle 5s on port not 22 settle 1s",
    "on port 22 settle 5s on port 80 settle 1s else margin 2",
    "on app ssh settle 5s on app /usr/bin/ssh settle 3s",
    "on remote-host *.mit.edu on remote-host not www.mit.edu settle 5s",
    "when rtt > 300ms until rtt < 300ms score-interface eth* 1",
    "when hour >= 6 until hour >= 22 settle 5s",
    "when rto > 1s { when rto < 1s settle 5s }",
    "when rtt > 300ms until rtt < 200ms { when rtt < 250ms score-interface eth* 1 }",
    "when on-battery = yes settle 5s else settle 3s",
    "when loss > 5% for 10s { when loss > 3% for 60s score-interface eth* 1 }",
    "when keepalive-age > 7d settle 5s else adopt",
    "score-interface ppp* never on port ssh score-interface * 10",
    "on port ssh score-interface ppp* never score-interface ppp* 10",
    "settle 5s on port ssh { settle 2s } on port ssh user ann settle 5s",
    "score-interface a* 5 score-interface *b 4 on port ssh score-interface a* 5",
    "score-interface eth* +5 score-interface eth* +5",
    "score-interface eth* 5 score-interface eth* avoid score-interface eth0 9",
    "score-interface eth* avoid when loss > 5% score-interface * avoid else score-interface * 3",
    "when retransmits >= 2 { when rtt > 1s { on port ssh score-interface * avoid } }",
    "on l-port 3000-3010 score-interface eth* 1 on l-port 3002-3003 score-interface eth* 2",
    "on l-port 1-10 score-interface eth* 1 on l-port 5-15 score-interface wl* 2",
    "on l-port 1-10 user ann score-interface eth* 1 on l-port 5-15 user bob score-interface eth* 2",
    "on remote-ip 10.0.0.0/8, 2001:db8::/32 settle 5s",
    "on port ssh { on proto tcp settle 5s }",
    "on proto tcp, udp settle 5s",
    'include "nothing-*.policy" on port ssh { include "nothing-*.policy" }',
    "on port ssh { when no-such-plugin.fact > 3 settle 5s }",
    "adopt on port ssh {\nsettle 5s }",
    "adopt on port ssh # for ann\n# {\n{\nsettle 5s }",
    "adopt on port ssh settle 5s",
    "define A = b on user $A\nsettle 5s",
    "adopt on port\nssh settle 5s",
    "on user ann adopt\non port ssh\nsettle 5s",
    "on remote-host 10.example.org, 10.0.0.*, 300.1.1.1 settle 5s",
]


@pytest.mark.parametrize("body", RIGHT)
def test_nothing_is_said_about_what_is_right(body: str) -> None:
    assert lint(body) == []


WRONG = [
    ("settle 5s\non proto tcp\nsettle 2s\nsettle 3s", [(2, "P001"), (4, "P001")]),
    ("on port 22-25\nsettle 5s\non any-port 20-30\nsettle 1s", [(3, "P001")]),
    ("on port 22\nsettle 5s\nelse settle 3s\non port not 22\nsettle 1s", [(4, "P001")]),
    ("score-interface eth[01] 5\nscore-interface eth? 3", [(2, "P001")]),
    ("score-interface current 5\nscore-interface * 3", [(2, "P001")]),
    ("when loss > 9% for 5s\nscore-interface a 5\nwhen loss > 5%\nscore-interface a 6", [(3, "P001")]),
    ("score-server a* 5\nscore-server * 3", [(2, "P001")]),
    ("settle 5s\non proto tcp\nsettle 3s\nelse settle 2s", [(2, "P001")]),
    ("on port 80\nmigrate never\nwhen hour >= 22\nmigrate never\nelse migrate always", [(3, "P001")]),
    ("on port 22\nsettle 5s\non port 80\nsettle 1s\nelse settle 2s", [(3, "P001")]),
    (
        "score-server a 5\nwhen hour < 8 { score-server b 1\nscore-server a 1 } else score-server * 2",
        [(2, "P001")],
    ),
    ("on port 22\non port not 22, 80\nsettle 5s", [(3, "P002")]),
    ("on port 22\non remote-ip 10.0.0.0/8\nlocal-ip 2001:db8::/32\nsettle 5s", [(3, "P002")]),
    ("on port 22\nsettle 5s\nelse {\non port 20-22\nsettle 1s\non port 22\nsettle 2s\n}", [(7, "P002")]),
    ("when rtt > 2s\n{ when rtt < 1s\nscore-interface a 1\n}", [(3, "P002")]),
    ("when rto > 2s\nsettle 3s\nelse\nwhen rto > 3s\nsettle 1s", [(5, "P002")]),
    ("on remote-ip 0.0.0.0/0, ::/0\nsettle 3s\nelse\nsettle 1s", [(5, "P003")]),
    ("when rtt > 2s {\nwhen rtt > 1s\nscore-interface a 1\nelse\nscore-interface a 2\n}", [(6, "P003")]),
    ("on user ann, bob\nscore-interface a 1\non user bob, eve\nscore-interface a 2", [(4, "P006")]),
    ("on port 80-443\nmigrate never\non port 22-100\nmigrate always", [(4, "P006")]),
    ("on port ssh, imaps\nsettle 5s\non port imaps, https\n{ delay 1s settle 2s }", [(4, "P006")]),
    ("on user ann, bob\nexpire after 1d\non user bob, eve\nexpire never", [(4, "P006")]),
    ("score-interface a 1\nscore-interface * never", [(2, "P009")]),
    ("score-interface ppp* never\nscore-interface ppp0 avoid", [(3, "P009")]),
    ("when hour >= 22 until hour >= 6\nsettle 5s", [(2, "P010")]),
    ("when flaps < 0\nscore-interface * avoid", [(2, "P016")]),
    ("on port http,\n80\nsettle 5s", [(3, "P012")]),
    ("on app ssh,\n/usr/bin/ssh\nsettle 5s", [(3, "P012")]),
    ("on remote-host *.MIT.edu,\nwww.mit.edu\nsettle 5s", [(3, "P012")]),
    ("score-interface a never\nscore-interface a never", [(3, "P014")]),
    ("score-interface a avoid\nscore-interface * 4\nscore-interface a avoid", [(4, "P014")]),
    ("define LINKS = eth0, *\nwhen retransmits > 2\nscore-interface $LINKS avoid", [(4, "P019")]),
    ("when rto > 9s\nscore-interface * 3\nelse score-interface * avoid", [(4, "P019")]),
    ("adopt on port ssh # {\nsettle 5s", [(2, "P017")]),
    ("on user ann {\nmigrate never when hour < 8\nsettle 5s\n}", [(3, "P017")]),
    ("on user ann\nadopt\nelse { ignore; on port ssh\n\nsettle 5s }", [(4, "P017")]),
    ("on remote-host 10.0.0.0/8, 2001:db8::1 settle 5s", [(2, "P018")]),
    ("on remote-host a.org,\n10.0.0.1,\n10.0.0.2 settle 5s", [(3, "P018"), (4, "P018")]),
]


@pytest.mark.parametrize(("body", "expected"), WRONG)
def test_what_is_found(body: str, expected: list[tuple[int, str]]) -> None:
    assert lint(body) == expected


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("eth*", True),
        ("eth0:1", True),
        ("*:1", True),
        ("eth[0:1]", True),
        ("current", True),
        ("$UPLINKS", True),
        ("wlan*", False),
        ("wlan0:1", False),
        ("$OTHERS", False),
    ],
)
def test_patterns_are_compared_with_the_interfaces_that_are_present(pattern: str, matches: bool) -> None:
    sets = "define UPLINKS = wlan0, eth0 define OTHERS = wlan0, wlan1 score-interface $UPLINKS +1"
    body = f"{sets} score-interface $OTHERS +1\nscore-interface {pattern} 5"
    assert ((3, "P004") in lint(body, interfaces=frozenset({"eth0"}))) is not matches
    assert not any(code == "P004" for _, code in lint(body))


@pytest.mark.parametrize(
    "text",
    [
        "on remote-ip 10.0.0.1/8 settle 5s  # lint: allow P005",
        "on remote-ip 10.0.0.1/8 settle 5s  # lint: allow P001, P005: the host that we mean",
        "# lint: allow p005 as the ticket says\n# which is old\n\non remote-ip 10.0.0.1/8 settle 5s",
    ],
)
def test_a_comment_allows(text: str) -> None:
    assert lint(text) == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("on remote-ip 10.0.0.1/8 settle 5s  # lint: allow P001", ["P005"]),
        ("# lint: allow P005\nsettle 1s on remote-ip not\n10.0.0.1/8 settle 5s", ["P005"]),
        ('on app "# lint: allow P005" remote-ip 10.0.0.1/8 settle 5s', ["P005"]),
        ("on remote-ip 10.0.0.1/8 settle 5s  # lint: allow host-bits", ["P005", "P000"]),
        ("on remote-ip 10.0.0.1/8 settle 5s  # lint: allow P005 P777", ["P000"]),
        ("settle 5s # lint: allowed P777", []),
    ],
)
def test_a_comment_that_does_not_allow(text: str, codes: list[str]) -> None:
    assert [code for _, code in lint(text)] == codes


def test_a_statement_that_stands_alone_is_told_how_to_depend() -> None:
    (slip,) = lint_text("monitor-policy {\nadopt on port  ssh\nsettle 5s\n}")
    assert slip.message == "`adopt` does not depend on `on port ssh`, which begins another statement"
    assert slip.hint == "write `on port ssh adopt` if it should, else begin a line with `on port ssh`"


@pytest.mark.parametrize(
    ("condition", "place"),
    [
        ("remote-host 10.0.0.1, 10.0.0.2", ("remote-ip", 11)),
        ("remote-host not 10.0.0.0/8", ("remote-ip", 11)),
        ("remote-host a.org, 10.0.0.2", ("", 8)),
    ],
)
def test_an_address_needs_the_key_for_addresses(condition: str, place: tuple[str, int]) -> None:
    (slip,) = lint_text(f"monitor-policy {{ on {condition} settle 5s }}")
    assert (slip.replacement, slip.span.end_column - slip.span.column) == place


def test_an_unknown_code_is_shown_where_it_stands() -> None:
    (mistake,) = lint_text("monitor-policy { settle 5s } # lint: allow P005, P777")
    assert (mistake.span.column, mistake.span.end_column) == (50, 54)


def test_errors_come_first() -> None:
    (error,) = lint_text("monitor-policy { on remote-ip 10.0.0.1/8 settle 5x }")
    assert (error.severity, error.code) == (Severity.ERROR, "bad-duration")


def test_layers_and_files_may_override_each_other(tmp_path: Path) -> None:
    system, user = tmp_path / "system.policy", tmp_path / "user.policy"
    system.write_text("monitor-policy { settle 5s expire after 1d score-interface * 1 }")
    user.write_text(
        'include "system.policy" monitor-policy { settle 2s expire after 1h score-interface * 2 }'
    )
    assert lint_policy([user]) == ()
    user.write_text("monitor-policy { settle 2s expire after 1h score-interface * 2 }")
    files = [PolicyFile(path=system), PolicyFile(path=user, layer=Layer.USER)]
    assert lint_policy(files) == ()


def test_a_file_that_is_included_twice_is_judged_in_both_places(tmp_path: Path) -> None:
    shared, main = tmp_path / "shared.policy", tmp_path / "main.policy"
    shared.write_text("monitor-policy {\n on proto tcp\n margin 3\n on remote-ip 10.0.0.1/8\n delay 1s\n}")
    main.write_text('monitor-policy { on proto udp { include "shared.policy" } include "shared.policy" }')
    assert found(lint_policy([main])) == [(4, "P005")]
    shared.write_text("monitor-policy { on proto tcp margin 3 else margin 3 }")
    assert found(lint_policy([main])) == [(1, "P007")]
    shared.write_text("monitor-policy {\n on proto tcp\n margin 3\n on remote-ip 10.0.0.1/8\n delay 1s\n}")
    main.write_text('monitor-policy { on proto udp { include "shared.policy" } }')
    assert found(lint_policy([main])) == [(2, "P002"), (4, "P005")]


def test_a_file_of_sets_is_a_library(tmp_path: Path) -> None:
    sets, main = tmp_path / "sets.policy", tmp_path / "main.policy"
    sets.write_text("define A = ann define B = $A define C = bob")
    main.write_text('include "sets.policy" define D = eve monitor-policy { on user $B settle 5s }')
    assert lint_policy([sets]) == ()
    assert [d.message for d in lint_policy([main])] == ["the set `$D` is never used"]


def test_patterns_that_cannot_be_compared_are_said_to_be_so() -> None:
    hard = "*a" + "?" * 30
    (diagnostic,) = lint_text(f"monitor-policy {{ on user {hard} settle 5s }}")
    assert diagnostic.code == "too-complex"
