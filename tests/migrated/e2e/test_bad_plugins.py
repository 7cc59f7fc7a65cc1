"""Plugins that do all that a plugin must not do, and a good one, in one daemon that has sessions to move."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from migrated.control.observations import FactList, Facts, MonitorList, MonitorReport
from tests.migrated.e2e.arena import Arena
from tests.migrated.e2e.daemons import Daemon

MONITOR = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor
from monitors.events import FactMeasured
from monitors.facts import Fact, FactType, Subject
from monitors.spec import hookimpl

LEVEL = Fact(
    name="{name}.level", type=FactType.NUMBER, unit="", subject=Subject.HOST, summary="", monitor="{name}"
)

class It:
    name = "{name}"
    facts = (LEVEL,)

    async def run(self, report):
        level = 0.0
        while True:
            level += 1.0
            {does}

@hookimpl
def migrate_monitors():
    return [It()]
"""

REPORT = "report(FactMeasured(fact=LEVEL.name, value=level))"
RUNNING = {
    "good": f"{REPORT}; await asyncio.sleep(0.05)",
    "raises": 'raise RuntimeError("the modem is on fire")',
    "hangs": "await asyncio.Event().wait()",
    "sleeps": "time.sleep(3600.0)",
    "spins": "pass",
    "floods": f"{REPORT}; await asyncio.sleep(0.0)",
    "pools": "self.pool = ThreadPoolExecutor(); self.pool.submit(time.sleep, 9e3); await asyncio.sleep(9e3)",
    "deaf": """try:
                await asyncio.sleep(3600.0)
            except asyncio.CancelledError:
                pass""",
}
"""What monitors do again and again, by name."""

NOT_LOADED = {
    "misspelt": "from monitors.spec import hookimpl\n@hookimpl\ndef migrate_monitor():\n    return []\n",
    "unfinished": "import modem_manager_of_nobody\n",
    "exits": "import sys\nsys.exit('no licence')\n",
    "endless": "import time\ntime.sleep(3600.0)\n",
    "silent": "",
}
"""Files of plugins of which none can be used."""

WRONG = {
    "raises": ("paused after a failure", "RuntimeError: the modem is on fire"),
    "sleeps": ("blocked", "it has held up its event loop for "),
    "spins": ("paused after a failure", "it blocked its event loop for more than 5 s"),
    "floods": ("paused after a failure", "it reported more than 1,000 events a second for 5 s"),
    "misspelt": ("failed to load", "unknown hook `migrate_monitor`; did you mean `migrate_monitors`?"),
    "unfinished": ("failed to load", "ModuleNotFoundError: No module named 'modem_manager_of_nobody'"),
    "exits": ("failed to load", "SystemExit: no licence"),
    "endless": ("failed to load", "it did not load within 5 s"),
    "silent": ("failed to load", "it has no hook `migrate_monitors`"),
}
"""As what each of the bad ones is listed sooner or later, with how the reason begins."""

HANGS = "it has reported nothing since it began, "
"""What is said of one that can't be told from one that waits."""

BUILT_IN = ("carrier", "address", "route", "clock")
_MIGRATE = "from migrated.commands import main; main()"
PATIENCE_S = 90.0
USUALLY_S = 1.0
"""What a move takes at most where nothing disturbs it: some 20 ms, on a machine that runs other tests."""

ENDS_WITHIN_S = 5.0
DISTURBED_S = 8.0
"""For how long others may seem to be in trouble, on a machine that is busy for a moment too."""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Have the client's daemon load all of them when it is started."""
    with Arena(tmp_path_factory.mktemp("plugins")) as arena:
        folder = arena.here.folder / "plugins"
        folder.mkdir(mode=0o700)
        for name, does in RUNNING.items():
            (folder / f"{name}.py").write_text(MONITOR.format(name=name, does=does))
        for name, text in NOT_LOADED.items():
            (folder / f"{name}.py").write_text(text)
        arena.here.stop()
        arena.here.configure('plugin_folders = ["plugins"]\n', plugins=True)
        yield arena
    for daemon in (arena.here, arena.there):
        assert daemon.complaints() == []


@pytest.fixture
def here(arena: Arena) -> Daemon:
    """Have it run with all of them, and know its links."""
    if not arena.here.running:
        mark = arena.here.mark()
        arena.here.start()
        for link in arena.links:
            arena.here.await_event("link-up", since=mark, link=link.interface)
    return arena.here


def test_each_is_named_with_what_is_wrong(here: Daemon) -> None:
    seen = await_wrong(here)
    wait_for(lambda: any(m.name == "hangs" and m.detail.startswith(HANGS) for m in monitors_of(here, 1)))
    for name, monitor in seen.items():
        assert (monitor.kind, monitor.troubled) == ("file", True)
        assert monitor.origin == str(here.folder / "plugins" / f"{name}.py")
    assert seen["sleeps"].longest_step_s > 1.0


@pytest.mark.alone
def test_nobody_else_is_disturbed(here: Daemon) -> None:
    await_wrong(here)
    others: dict[str, MonitorReport] = {}

    def all_do_well() -> bool:
        """Return whether they do now; on a busy machine the loop of one may be late for a moment."""
        others.update((m.name, m) for m in monitors_of(here, 1) if m.name not in WRONG)
        running = all(others[name].state == "running" for name in ("good", *BUILT_IN))
        return running and not any(monitor.troubled for monitor in others.values())

    wait_for(all_do_well, DISTURBED_S)
    assert others.keys() >= {"good", "hangs", "pools", "deaf", *BUILT_IN}
    assert [monitor for monitor in others.values() if monitor.failures] == []


def test_the_fact_of_the_good_one_goes_on(here: Daemon) -> None:
    before = number(here, "good.level")
    wait_for(lambda: number(here, "good.level") > before + 20)


@pytest.mark.alone
def test_links_and_addresses_are_followed(arena: Arena, here: Daemon) -> None:
    link = arena.link("ppp0")
    mark = here.mark()
    begun = time.monotonic()
    link.cut()
    here.await_event("link-down", since=mark, link="ppp0", timeout_s=USUALLY_S)
    link.plug()
    here.await_event("link-up", since=mark, link="ppp0")
    assert time.monotonic() - begun < 3 * USUALLY_S
    before = number(here, "addresses", "ppp0")
    arena.net.client.ip("address add 192.0.2.7/32 dev ppp0")
    wait_for(lambda: number(here, "addresses", "ppp0") == before + 1)
    arena.net.client.ip("address del 192.0.2.7/32 dev ppp0")
    wait_for(lambda: number(here, "addresses", "ppp0") == before)


@pytest.mark.alone
def test_a_session_moves_as_quickly_as_ever(arena: Arena, here: Daemon) -> None:
    talk = arena.session_of()
    for link, other in (("eth0", "ppp0"), ("ppp0", "eth0"), ("eth0", "ppp0")):
        if here.session(talk.session).link != link:
            arena.move(talk, link)
        mark = here.mark()
        arena.link(link).cut()
        here.await_event("moved", since=mark, session=talk.session, to=other, timeout_s=USUALLY_S)
        talk.await_progress()
        arena.link(link).plug()
        here.await_event("link-up", since=mark, link=link)
    talk.finish()


@pytest.mark.alone
def test_the_daemon_ends_at_once_and_starts_without_them(here: Daemon) -> None:
    mark = here.mark()
    begun = time.monotonic()
    assert here.stop() == 0
    assert time.monotonic() - begun < ENDS_WITHIN_S
    here.await_event("stopped", since=mark)
    assert any("monitor deaf does not end although it was cancelled" in line for line in here.lines)
    here.start("--no-plugins")
    found = {monitor.name: monitor for monitor in monitors_of(here, 0)}
    assert {monitor.kind for monitor in found.values()} == {"built-in"}
    assert found.keys() >= {*BUILT_IN}
    assert found.keys().isdisjoint(RUNNING.keys() | NOT_LOADED.keys())
    assert here.stop() == 0


def monitors_of(daemon: Daemon, exit_status: int) -> tuple[MonitorReport, ...]:
    """Return what `migrate monitors --json` prints, which ends with this status."""
    command = [sys.executable, "-c", _MIGRATE, "monitors", "--json", "--socket", str(daemon.socket)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (exit_status, "")
    return msgspec.json.decode(done.stdout, type=MonitorList).monitors


def await_wrong(daemon: Daemon) -> dict[str, MonitorReport]:
    """Wait until each of the bad ones has been listed as such, and return them as they were then."""
    seen: dict[str, MonitorReport] = {}

    def all_were_told() -> bool:
        for monitor in monitors_of(daemon, 1):
            state, reason = WRONG.get(monitor.name, ("", ""))
            if monitor.state == state and monitor.detail.startswith(reason):
                seen[monitor.name] = monitor
        return seen.keys() == WRONG.keys()

    wait_for(all_were_told)
    return seen


def number(daemon: Daemon, fact: str, interface: str = "") -> float:
    """Return what the daemon knows of a fact of the host, or of a link; 0 if it is nothing yet."""
    report = daemon.ask(Facts(names=(fact,)))
    assert isinstance(report, FactList)
    value = next((row.value for row in report.facts if row.interface == interface), 0.0)
    assert isinstance(value, float)
    return value


def wait_for(holds: Callable[[], bool], for_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + for_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
