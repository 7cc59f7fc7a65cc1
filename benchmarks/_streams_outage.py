"""Somebody types, the link is cut, and the other link has another address: how long until keys come back.

The same outage for each system, in turn. *Cut*: the cable of the link in use is cut and its address is
withdrawn, as a network manager does when a cable goes. *Silence*: a router far away drops everything for
some seconds, and nobody is told. Fifty keys a second are typed, each of which the far end sends back. The
gap is from the cut, or the end of the silence, to the first echo of a key that was typed after the trouble
began.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _figures import Summary, progress, summary
from _stage import BenchmarkError
from _streams_window import FAR_END, Window

from migrated.demo.openssh import PORT, OpenSsh
from migrated.demo.traffic import TrafficError, await_listener
from migrated.lab import SERVER_V4, Lab, TwoLinks, two_links

MIGRATE = str(Path(sys.executable).with_name("migrate"))
GATEWAY_PORT = 6448
START_LIMIT_S, QUIET_S = 60.0, 1.0
SILENCE_S = 5.5
"""No multiple of the second in which ours try to connect: the gap then has half of that in it."""
FORWARDING = "net.ipv4.ip_forward"
ALIVE = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3")
"""How soon OpenSSH notices that nobody answers: the same three seconds as ours."""

_MOSH_SERVER = re.compile(r"MOSH CONNECT (\d+) (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Something that people type through.

    ``needs`` are its programs and their Debian packages; ``keeps`` is whether the far end's program goes on.
    """

    name: str
    needs: dict[str, str]
    keeps: bool
    command: Callable[[Scene], tuple[list[str], dict[str, str]]]

    @property
    def missing(self) -> str:
        """Return the Debian packages that are to be installed, or nothing."""
        lacking = {package for program, package in self.needs.items() if not shutil.which(program)}
        return " ".join(sorted(lacking))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What became of one system. ``gap_ms`` is ``None`` if no echo came in any round."""

    outage: str
    system: str
    note: str
    rounds: int
    gap_ms: Summary | None
    lost: int


@dataclass(frozen=True, slots=True)
class Scene:
    """The two hosts, with a server of OpenSSH's and a gateway of ours on the one."""

    net: TwoLinks
    openssh: OpenSsh
    folder: Path

    def ssh(self, *words: str) -> list[str]:
        """Return a command of ssh's that runs the far end in a terminal."""
        command = self.openssh.client_command(SERVER_V4)
        return [*command[:-1], *words, "-tt", command[-1], FAR_END]

    def environment(self, end: str) -> dict[str, str]:
        """Return that of a user of ours, at the client's or the server's end."""
        place = self.folder / end
        ours = {name: str(place / name) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
        return {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **ours}


def over_connect(scene: Scene) -> tuple[list[str], dict[str, str]]:
    proxy = shlex.join([MIGRATE, "connect", "-q", "%h", "%p"])
    return scene.ssh("-o", f"ProxyCommand={proxy}"), {}


def migrate_ssh(scene: Scene) -> tuple[list[str], dict[str, str]]:
    terminals = str(scene.folder / "terminals")
    server = scene.folder / "migrate"
    server.write_text(
        f'#!/bin/sh\nMIGRATE_TERMINALS={shlex.quote(terminals)} exec {shlex.quote(MIGRATE)} "$@"\n'
    )
    server.chmod(0o755)
    options = ["-F", str(scene.openssh.folder / "ssh_config"), "--server", str(server)]
    return [MIGRATE, "ssh", *options, SERVER_V4, FAR_END], {"MIGRATE_TERMINALS": terminals}


def mosh(scene: Scene) -> tuple[list[str], dict[str, str]]:
    """Start its server as its own wrapper does over ssh, and return its client; it must not guess echoes."""
    server = ["mosh-server", "new", "-i", SERVER_V4, "--", "sh", "-c", FAR_END]
    done = scene.net.server.run(server, env=scene.environment("there"), timeout=START_LIMIT_S)
    found = _MOSH_SERVER.search(done.stdout)
    if not found:
        raise BenchmarkError(f"`mosh-server` did not start: {done.stdout}{done.stderr}")
    secrets = {"MOSH_KEY": found[2], "MOSH_PREDICTION_DISPLAY": "never"}
    return ["mosh-client", SERVER_V4, found[1]], secrets


def autossh(scene: Scene) -> tuple[list[str], dict[str, str]]:
    command = ["autossh", "-M", "0", *scene.ssh(*ALIVE)[1:]]
    return command, {"AUTOSSH_GATETIME": "0", "AUTOSSH_PATH": scene.openssh.client}


def ssh_alone(scene: Scene) -> tuple[list[str], dict[str, str]]:
    return scene.ssh(), {}


SSH = {"ssh": "openssh-client", "sshd": "openssh-server"}
SYSTEMS = (
    System(name="ssh over migrate connect", needs=SSH, keeps=True, command=over_connect),
    System(name="migrate ssh", needs=SSH, keeps=True, command=migrate_ssh),
    System(name="mosh", needs={"mosh-server": "mosh"}, keeps=True, command=mosh),
    System(name="autossh", needs=SSH | {"autossh": "autossh"}, keeps=False, command=autossh),
    System(name="ssh", needs=SSH, keeps=True, command=ssh_alone),
)
ABSENT = {"Eternal Terminal": "not in Debian 12, nor on PyPI: not measured"}


def measure(rounds: int, limit_s: float) -> list[Gap]:
    """Trouble each system in turn, so that what else the machine does hits all alike."""
    found = []
    with scene() as place:
        for outage, trouble in OUTAGES.items():
            gaps: dict[str, list[float | None]] = defaultdict(list)
            for number in range(rounds):
                for system in SYSTEMS:
                    if not system.missing:
                        gaps[system.name].append(gap_once(place, system, trouble, limit_s))
                told = ", ".join(f"{name} {shown(times[-1])}" for name, times in gaps.items())
                progress(f"{outage} {number + 1}/{rounds}: {told}")
            found += [result(outage, system, gaps[system.name], limit_s) for system in SYSTEMS]
    return found


def shown(gap_ms: float | None) -> str:
    return "none" if gap_ms is None else f"{gap_ms:.0f} ms"


def result(outage: str, system: System, gaps: list[float | None], limit_s: float) -> Gap:
    there = [gap for gap in gaps if gap is not None]
    lost = len(gaps) - len(there)
    note = "" if system.keeps else "a new session each time: the program at the other end is lost"
    if lost:
        note = f"no echo within {limit_s:g} s in {lost} of {len(gaps)} times"
    if system.missing:
        note = f"not installed: apt install {system.missing}"
    return Gap(
        outage=outage,
        system=system.name,
        note=note,
        rounds=len(gaps),
        gap_ms=summary(there) if there else None,
        lost=lost,
    )


def gap_once(place: Scene, system: System, trouble: Trouble, limit_s: float) -> float | None:
    """Return the gap of one outage in milliseconds, or ``None`` if it did not end."""
    command, extra = system.command(place)
    window = Window(place.net.client, command, place.environment("here") | extra)
    try:
        if window.await_echo(START_LIMIT_S) is None:
            raise BenchmarkError(f"{system.name}: nothing is echoed before the cut: {window.screen()}")
        settle(window)
        before = window.typed
        with trouble(place, window):
            begun = time.monotonic()
            echo = window.await_echo(limit_s, newer_than=before)
            return None if echo is None else 1e3 * (time.monotonic() - begun)
    finally:
        window.close()


def settle(window: Window) -> None:
    """Type for a while in peace; the cut then comes between two keys, whose echoes are there."""
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        window.await_echo(QUIET_S, newer_than=window.typed)


@contextmanager
def cut(place: Scene, window: Window) -> Iterator[None]:
    """Cut a link and take its address; bring both back afterwards."""
    del window
    link = place.net.links[0]
    link.cut()
    link.withdraw()
    try:
        yield
    finally:
        link.plug()
        link.configure()


@contextmanager
def silence(place: Scene, window: Window) -> Iterator[None]:
    """Type for a while in vain, until the network is there again."""
    place.net.router.sysctl(FORWARDING, 0)
    try:
        window.type_for(SILENCE_S)
    finally:
        place.net.router.sysctl(FORWARDING, 1)
    yield


Trouble = Callable[[Scene, Window], AbstractContextManager[None]]
OUTAGES: dict[str, Trouble] = {"cut": cut, "silence": silence}


@contextmanager
def scene() -> Iterator[Scene]:
    """Yield the lab with everything that the systems need on the server."""
    with tempfile.TemporaryDirectory(prefix="migrate-bench-") as name, Lab() as lab:
        folder = Path(name)
        try:
            place = Scene(two_links(lab), OpenSsh.prepared(folder), folder)
            start_sshd(place)
        except TrafficError as error:
            raise BenchmarkError(str(error)) from error
        start_gateway(place)
        yield place


def start_sshd(place: Scene) -> None:
    place.openssh.allow_port(place.net.server)
    serve(place, place.openssh.server_command(), PORT, dict(os.environ))


def start_gateway(place: Scene) -> None:
    """Start a gateway that lets the client's user in, and to OpenSSH's server."""
    printing = [MIGRATE, "connect", "--print-key"]
    environment = place.environment("here")
    line = subprocess.check_output(printing, env=environment, text=True, stderr=subprocess.DEVNULL)
    keys = place.folder / "authorized_keys"
    keys.write_text(line)
    command = [MIGRATE, "gateway", "--authorized-keys", str(keys), "--allow", f"localhost:{PORT}"]
    serve(place, command, GATEWAY_PORT, place.environment("there"))


def serve(place: Scene, command: list[str], port: int, environment: dict[str, str]) -> None:
    log = place.folder / f"{port}.log"
    with log.open("wb") as stream:
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": stream, "stderr": stream}
        program = place.net.server.popen(command, env=environment, **options)
    await_listener(place.net.server, port, program, log, START_LIMIT_S)


TITLES = {
    "cut": "a cut under somebody who types, the other link has another address: ms until keys come back",
    "silence": f"{SILENCE_S:g} s of silence far away: ms from its end until keys come back",
}


def print_gaps(gaps: list[Gap]) -> None:
    for outage, title in TITLES.items():
        print(f"\n{title}")
        print(f"  {'':26}{'median':>9} {'p99':>9} {'max':>9}")
        for gap in gaps:
            if gap.outage == outage:
                figures = str(gap.gap_ms) if gap.gap_ms else ""
                print(f"  {gap.system:26}{figures}{'; ' if figures and gap.note else ''}{gap.note}")
    for name, why in ABSENT.items():
        print(f"  {name:26}{why}")
