"""Timelines that are run: what each key of a step does, and what each expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.authoring.policies import BadPolicyError
from migrated.authoring.running import Outcome, PolicyShelf, run
from migrated.authoring.timeline_file import parse_timelines

POLICY = """monitor-policy {
    score-interface wlan* 10
    score-interface eth* 100
    when metered = yes
        score-interface * -50
    on port 80 adopt
    on user ann { expire after 1h resume lazy ignore }
    score-server *.near 10
    score-server bad never
}
"""
HEAD = """policy = ["dock.policy"]
[[test]]
name = "t"
links = { eth0 = "10.0.0.5", wlan0 = "10.1.0.5" }
sessions = { shell = "tcp 10.0.0.5:40000 -> 18.31.0.9:22" }
"""
ANN = 'open = { web = { connections = ["tcp 10.0.0.5:1 -> 18.31.0.9:80"], user = "ann", '
ANN += 'servers = ["bad", "far", "b.near"] } }'


def outcome(folder: Path, *steps: str, head: str = HEAD, policy: str = POLICY) -> Outcome:
    (folder / "dock.policy").write_text(policy)
    (folder / "other.policy").write_text("monitor-policy { score-interface wlan* 500 settle 0s }")
    text = head + "steps = [\n" + "".join(f"  {{ {step} }},\n" for step in steps) + "]\n"
    file = parse_timelines(text.encode(), folder / "dock.timeline.toml")
    return run(file.tests[0], file, PolicyShelf(file))


def test_layers(tmp_path: Path) -> None:
    (tmp_path / "mine.policy").write_text("monitor-policy { expire after 2h score-interface wlan* 200 }")
    (tmp_path / "app.policy").write_text("monitor-policy { expire after 3h settle 3s }")
    layers = 'user_policy = ["mine.policy"]\napplication_policy = ["app.policy"]\n'
    steps = (
        'at = "2.9s", expect = { shell = "eth0" }, expires = { shell = "1h" }',
        'at = "3s", expect = { shell = "wlan0" }, because = { shell = ["mine.policy:1", "app.policy:1"] }',
        'at = "4s", policy = ["other.policy"], expires = { shell = "2h" }',
    )
    policy = POLICY.replace("}\n", "} expire after 1h\n", 1)
    result = outcome(tmp_path, *steps, head=layers + HEAD, policy=policy)
    assert (result.status, result.message) == ("passed", "")


@pytest.mark.parametrize(
    "steps",
    [
        ('at = "0s", expect = { shell = "eth0" }, moves = { shell = 0 }',),
        # Links.
        ('at = "5s", down = "eth0", expect = { shell = "wlan0" }, because = "dock.policy:2"',),
        ('at = "5s", down = ["wlan0", "eth0"], expect = { shell = "suspended" }',),
        ('at = "5s", remove = "eth0", expect = { shell = "wlan0" }',),
        (
            'at = "5s", remove = "eth0", expect = { shell = "wlan0" }',
            'at = "6s", add = { eth0 = "10.0.0.5" }',
            'at = "7.9s", expect = { shell = "wlan0" }',
            'at = "8s", expect = { shell = "eth0" }',
            'at = "8s", because = { shell = ["dock.policy:2", "dock.policy:3"] }',
        ),
        (
            'at = "1s", add = { "eth1:2" = "10.3.0.5" }, remove = "eth0"',
            'at = "9s", expect = { shell = "eth1:2" }',
            'at = "9s", remove = "eth1:2", expect = { shell = "wlan0" }',
        ),
        (
            'at = "1s", down = "eth0"',
            'at = "2s", up = "eth0"',
            'at = "3.9s", expect = { shell = "wlan0" }',
            'at = "4s", expect = { shell = "eth0" }, moves = { shell = 2 }',
        ),
        # Moves that fail.
        (
            'at = "1s", fails = "wlan0", down = "eth0", expect = { shell = "suspended" }',
            'at = "2m", works = "wlan0"',
            'at = "10m", expect = { shell = "wlan0" }',
        ),
        # Facts.
        (
            'at = "1s", facts = { "metered eth0" = true, "metered wlan0" = "no" }',
            'at = "3s", expect = { shell = "eth0" }',
        ),
        (
            'at = "1s", up = "wlan0", facts = { "metered eth0" = "yes" }, expect = { shell = "eth0" }',
            'at = "2s", facts = { "metered eth0" = "unknown" }',
            'at = "60s", expect = { shell = "eth0" }',
        ),
        (
            'at = "1s", policy = ["metered.policy"]',
            'at = "1s", facts = { "metered eth0" = { value = true, lifetime = "10s" } }',
            'at = "2.9s", expect = { shell = "eth0" }',
            'at = "3s", expect = { shell = "wlan0" }',
            'at = "12.9s", expect = { shell = "wlan0" }',
            'at = "13s", expect = { shell = "eth0" }',
        ),
        # A reload.
        ('at = "1s", policy = ["other.policy"], expect = { shell = "wlan0" }',),
        ('at = "1s", policy = ["dock.policy", "other.policy"], expect = { shell = "wlan0" }',),
        # Sessions, and the other expectations.
        (
            f'at = "1s", {ANN}, expect = {{ web = "eth0" }}, adopted = {{ web = true, shell = false }}',
            'at = "2s", expires = { web = "1h", shell = "30d" }, eager = { web = false, shell = true }',
            'at = "2s", notified = { web = false, shell = true }, servers = { web = ["b.near", "far"] }',
            'at = "3s", close = ["shell", "web"]',
        ),
    ],
)
def test_all_is_as_expected(tmp_path: Path, steps: tuple[str, ...]) -> None:
    (tmp_path / "metered.policy").write_text(POLICY.replace("-50", "-95"))
    found = outcome(tmp_path, *steps)
    assert (found.status, found.message) == ("passed", "")
    assert found.line == 2


@pytest.mark.parametrize(
    ("step", "message", "actual"),
    [
        ('expect = { shell = "wlan0" }', "shell: expected wlan0, found eth0", "eth0"),
        ('expect = { shell = "suspended" }', "shell: expected suspended, found eth0", "eth0"),
        ('down = "eth0", expect = { shell = "eth0" }', "shell: expected eth0, found wlan0", "wlan0"),
        ("moves = { shell = 1 }", "shell: moves: expected 1, found 0", "0"),
        (
            'expect = { shell = "eth0" }, because = "dock.policy:33"',
            "shell: because: expected dock.policy:33",
            "",
        ),
        (
            'expect = { shell = "eth0" }, because = "ock.policy:3"',
            "shell: because: expected ock.policy:3, found ",
            "",
        ),
        ("adopted = { shell = true }", "shell: adopted: expected yes, found no", "no"),
        ('expires = { shell = "never" }', "shell: expires: expected never, found after 30d", ""),
        ("eager = { shell = false }", "shell: eager: expected no, found yes", "yes"),
        ("notified = { shell = false }", "shell: notified: expected no, found yes", "yes"),
    ],
)
def test_what_is_not_as_expected_is_told(tmp_path: Path, step: str, message: str, actual: str) -> None:
    found = outcome(tmp_path, 'at = "0s"', f'at = "5s", {step}', 'at = "6s", expect = { nobody = "eth0" }')
    assert found.status == "failed"
    assert found.message.startswith(f"at 5s: {message}")
    assert found.line == 8
    assert actual in found.mismatches[0].actual


def test_a_mismatch_says_why_with_lines_and_what_happened_before(tmp_path: Path) -> None:
    found = outcome(
        tmp_path, 'at = "2s", note = "pulled", down = "eth0"', 'at = "5s", expect = { shell = "eth0" }'
    )
    (mismatch,) = found.mismatches
    assert f"`wlan0` scores 10 ({tmp_path}/dock.policy:2)" in mismatch.why
    assert [(told.at, told.text.partition(",")[0]) for told in found.story] == [
        (2.0, "# pulled"),
        (2.0, "down eth0"),
        (2.0, "shell: moves to wlan0"),
    ]
    assert found.checked == 1


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ('down = "eth9"', "there is no link `eth9`; did you mean `eth0`?"),
        ('down = "eth0:1"', "`eth0:1` is a label; a whole link is up or down: `eth0`"),
        ('remove = "eth0:1"', "there is no label `eth0:1`"),
        ('add = { eth1 = "10.0.0.5" }', "the address 10.0.0.5 is on `eth0` already"),
        ('add = { eth1 = "nowhere" }', "`nowhere` is not an address"),
        ('fails = "ppp0"', "there is no link `ppp0`"),
        ('close = "shel"', "there is no session `shel`; did you mean `shell`?"),
        ('expect = { shel = "eth0" }', "there is no session `shel`; did you mean `shell`?"),
        ('expect = { shell = "eht0" }', "there is no link `eht0`; did you mean `eth0`?"),
        ('because = "dock.policy:2"', "`because` needs an `expect`"),
        ('facts = { "metered eht0" = true }', "there is no link `eht0`; did you mean `eth0`?"),
        ('facts = { "rto shel" = "1s" }', "there is no session `shel`"),
        ('facts = { "rtt eth0" = "1kg" }', "`kg` is not a unit of `rtt`"),
        ('open = { shell = "tcp 10.0.0.5:1 -> 10.0.0.9:2" }', "there is a session `shell` already"),
        ('open = { web = "tcp 10.7.0.5:1 -> 10.0.0.9:2" }', "no link has 10.7.0.5, the local address of"),
        ("open = { web = { connections = [] } }", "the session `web` has no connection"),
        ('servers = { shell = ["a"] }', "the session `shell` names no `servers` to choose from"),
        ('expires = { shell = "soon" }', "`soon` is not a number"),
    ],
)
def test_a_step_that_makes_no_sense_is_told(tmp_path: Path, step: str, message: str) -> None:
    found = outcome(tmp_path, f'at = "1500ms", {step}')
    assert found.status == "error"
    assert message in found.message
    assert found.message.startswith("at 1.5s: ")
    assert found.line == 7


def test_time_does_not_go_back(tmp_path: Path) -> None:
    found = outcome(tmp_path, 'at = "5s"', 'at = "4s"')
    assert (found.status, found.line) == ("error", 8)
    assert "the step at 4s comes after a later one" in found.message
    assert "`4` has no unit" in outcome(tmp_path, 'at = "4"').message


def test_a_session_may_begin_suspended_and_elsewhere(tmp_path: Path) -> None:
    head = HEAD.replace(
        'shell = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"',
        'shell = { connections = ["tcp 10.9.9.9:1 -> 18.31.0.9:22"], link = "wlan0", suspended = true }',
    )
    found = outcome(tmp_path, 'at = "0s", expect = { shell = "eth0" }, moves = { shell = 1 }', head=head)
    assert (found.status, found.message) == ("passed", "")


def test_a_link_may_have_addresses_of_both_families(tmp_path: Path) -> None:
    head = HEAD.replace('wlan0 = "10.1.0.5"', 'wlan0 = ["10.1.0.5", "2001:db8::5"]').replace(
        '"tcp 10.0.0.5:40000 -> 18.31.0.9:22"', '"tcp [2001:db8::5]:40000 -> [2001:db8::9]:22"'
    )
    steps = (
        'at = "5s", expect = { shell = "wlan0" }',  # where IPv4 alone is, the peer can't be reached
        'at = "6s", add = { eth0 = "2001:DB8::6" }',
        'at = "8s", expect = { shell = "eth0" }',
    )
    found = outcome(tmp_path, *steps, head=head)
    assert (found.status, found.message) == ("passed", "")


def test_a_fact_about_a_way_is_about_that_to_every_peer(tmp_path: Path) -> None:
    policy = "monitor-policy { score-interface eth* 5 when rtt > 1s score-interface eth* never }"
    step = 'at = "1s", facts = { "rtt eth0" = "2s" }, expect = { shell = "wlan0" }'
    assert outcome(tmp_path, step, policy=policy).status == "passed"
    found = outcome(tmp_path, 'at = "1s", close = "shell", facts = { "rtt eth0" = "2s" }', policy=policy)
    assert "there is no session yet" in found.message


def test_a_policy_that_never_comes_to_rest_fails_the_test(tmp_path: Path) -> None:
    found = outcome(tmp_path, 'at = "0s"', policy="monitor-policy { score-interface current -10 settle 0s }")
    assert found.status == "failed"
    assert "to and fro" in found.message


def test_statements_are_reached(tmp_path: Path) -> None:
    found = outcome(tmp_path, 'at = "1s", facts = { "metered wlan0" = true }')
    lines = {span.line for span in found.reached if span.file.endswith("dock.policy")}
    assert lines == {2, 3, 5, 8, 9}


def test_a_policy_with_mistakes_can_not_be_run(tmp_path: Path) -> None:
    with pytest.raises(BadPolicyError, match=r"dock\.policy:1:18"):
        outcome(tmp_path, 'at = "0s"', policy="monitor-policy { scor * 1 }")


def test_the_shipped_defaults_can_be_left_out(tmp_path: Path) -> None:
    head = "defaults = false\n" + HEAD
    assert outcome(tmp_path, 'at = "0s", expires = { shell = "never" }', head=head).status == "passed"
