"""The shipped policy leaves links that lead nowhere, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.authoring.running import PolicyShelf, run
from migrated.authoring.timeline_file import parse_timelines
from policylang import DEFAULT_POLICY_FILE

PREFERENCES = """\
monitor-policy {
    score-interface eth0 10
    score-interface wlan0 5
    on port 443 {
        delay 4s
        settle 30s
    }
    on port 80
        migrate never
}
"""
HEAD = 'policy = ["my.policy"]\n'
WORLD = """
links = { eth0 = "10.0.0.5", wlan0 = "10.1.0.5" }
sessions.shell = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
sessions.patient = "tcp 10.0.0.5:40001 -> 18.31.0.9:443"
sessions.rooted = "tcp 10.0.0.5:40002 -> 18.31.0.9:80"
"""
TIMELINES = {
    "a dead link is left at once or after a user's own delay, whatever settle says": """
steps = [
  { at = "10s", facts = { "loss eth0" = "0%", "loss wlan0" = "0%" } },
  { at = "20s", facts = { "loss eth0" = "70%" }, expect = { shell = "eth0" } },
  { at = "20100ms", facts = { "loss eth0" = "80%" }, expect = { shell = "wlan0", patient = "eth0" } },
  { at = "24099ms", expect = { patient = "eth0" } },
  { at = "24100ms", expect = { patient = "wlan0", rooted = "eth0" } },
]""",
    "it is returned to when it was good for 5 s and led for settle": """
steps = [
  { at = "10s", facts = { "loss eth0" = "100%" }, expect = { shell = "wlan0" } },
  { at = "60s", facts = { "loss eth0" = "50%" } },
  { at = "61s", facts = { "loss eth0" = "10%" } },
  { at = "65s", facts = { "loss eth0" = "20%" } },
  { at = "66s", facts = { "loss eth0" = "0%" } },
  { at = "72999ms", expect = { shell = "wlan0" } },
  { at = "73s", expect = { shell = "eth0", patient = "wlan0" }, moves = { shell = 2 } },
  { at = "101s", expect = { patient = "eth0" }, moves = { patient = 2, rooted = 0 } },
]""",
    "where all links are dead nothing is done, and the first that is alive is taken": """
steps = [
  { at = "10s", facts = { "loss eth0" = "100%" }, expect = { shell = "wlan0" } },
  { at = "11s", facts = { "loss wlan0" = "90%" } },
  { at = "12s", note = "of two dead links the better one", expect = { shell = "wlan0" } },
  { at = "13s", expect = { shell = "eth0" } },
  { at = "60s", facts = { "loss wlan0" = "0%" } },
  { at = "64999ms", expect = { shell = "eth0" } },
  { at = "65s", expect = { shell = "wlan0" } },
]""",
    "a link without carrier is worse than a dead one, and only without any link a session waits": """
steps = [
  { at = "10s", facts = { "loss eth0" = "100%" }, expect = { shell = "wlan0" } },
  { at = "20s", down = "wlan0", expect = { shell = "eth0" } },
  { at = "30s", down = "eth0", expect = { shell = "suspended" } },
  { at = "90s", up = "eth0", expect = { shell = "eth0" } },
]""",
    "what nobody measures moves nothing, nor does a loss of which the word has run out": """
steps = [
  { at = "10m", expect = { shell = "eth0" } },
  { at = "11m", facts = { "loss eth0" = "40%", "retransmits shell" = 9, "peer-silence shell" = "9s" } },
  { at = "12m", expect = { shell = "eth0" }, moves = { shell = 0, patient = 0, rooted = 0 } },
]""",
    "data that are lost too make less loss enough, if the peer is heard, and for a minute": """
steps = [
  { at = "1s", facts = { "peer-silence shell" = "0s", "retransmits shell" = 0, "loss eth0" = "0%" } },
  { at = "10s", facts = { "loss eth0" = "50%" } },
  { at = "11s", facts = { "retransmits shell" = 1 }, expect = { shell = "eth0" } },
  { at = "12s", facts = { "retransmits shell" = 2 }, expect = { shell = "wlan0", patient = "eth0" } },
  { at = "13s", facts = { "retransmits shell" = 0 } },
  { at = "74s", expect = { shell = "wlan0" } },
  { at = "75s", expect = { shell = "eth0" }, moves = { shell = 2 } },
]""",
    "a host that is away, and neither heard nor reached, says nothing of a link": """
steps = [
  { at = "1s", facts = { "peer-silence shell" = "2s", "retransmits shell" = 0, "loss eth0" = "60%" } },
  { at = "2s", facts = { "retransmits shell" = 5 } },
  { at = "60s", expect = { shell = "eth0" }, moves = { shell = 0 } },
]""",
    "a link that flaps is left alone from the third loss until a minute without any": """
steps = [
  { at = "10s", down = "eth0", facts = { "flaps eth0" = 1 }, expect = { shell = "wlan0" } },
  { at = "11s", up = "eth0" },
  { at = "15s", down = "eth0", facts = { "flaps eth0" = 2 } },
  { at = "16s", up = "eth0" },
  { at = "20s", down = "eth0", facts = { "flaps eth0" = 3 } },
  { at = "21s", up = "eth0" },
  { at = "60s", expect = { shell = "wlan0" } },
  { at = "75s", facts = { "flaps eth0" = 1 } },
  { at = "79s", expect = { shell = "wlan0" } },
  { at = "80s", facts = { "flaps eth0" = 0 } },
  { at = "82s", expect = { shell = "eth0" }, moves = { shell = 6 } },
]""",
    "a link that failed its peer three times is left alone until it has held for ten minutes": """
steps = [
  { at = "10s", facts = { "outages eth0" = 2 }, expect = { shell = "eth0" } },
  { at = "20s", facts = { "outages eth0" = 3 }, expect = { shell = "wlan0" } },
  { at = "5m", facts = { "outages eth0" = 1 }, expect = { shell = "wlan0" } },
  { at = "10m", facts = { "outages eth0" = 0 }, expect = { shell = "wlan0" } },
  { at = "602s", expect = { shell = "eth0" } },
]
""",
    "a link that flaps and is the only one left is used": """
steps = [
  { at = "10s", facts = { "flaps eth0" = 3 }, expect = { shell = "wlan0" } },
  { at = "11s", down = "wlan0", expect = { shell = "eth0" }, moves = { rooted = 0 } },
]""",
}


@pytest.mark.parametrize("name", TIMELINES)
def test_path_health(name: str, tmp_path: Path) -> None:
    reach(name, tmp_path)


def reach(name: str, folder: Path) -> set[tuple[str, int]]:
    """Run a timeline and return the lines that it reached."""
    (folder / "my.policy").write_text(PREFERENCES)
    text = f'{HEAD}[[test]]\nname = "{name}"{WORLD}{TIMELINES[name]}\n'
    file = parse_timelines(text.encode(), folder / "my.timeline.toml")
    (test,) = file.tests
    outcome = run(test, file, PolicyShelf(file))
    assert outcome.status == "passed", outcome.message
    return {(span.file, span.line) for span in outcome.reached}


def test_every_statement_about_links_is_reached(tmp_path: Path) -> None:
    lines = DEFAULT_POLICY_FILE.read_text().splitlines()
    wanted = {number for number, line in enumerate(lines, 1) if "avoid" in line and "#" not in line}
    reached = {
        line for name in TIMELINES for file, line in reach(name, tmp_path) if file == str(DEFAULT_POLICY_FILE)
    }
    assert len(wanted) == 4
    assert wanted <= reached
