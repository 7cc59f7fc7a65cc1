"""`migrate ssh` where a firewall lets nothing but ssh through."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from migrated.lab import SERVER_V4
from tests.migrated.e2e.windows import Far, Window, await_true, far_in

COUNT = (
    "i=0; while [ ! -e {stop} ]; do echo number $i; i=$((i+1)); sleep 0.05; done; echo all $i; read x; exit 7"
)
MANY = 20_000
RULES = """\
add table inet wall
add chain inet wall incoming { type filter hook input priority 0; policy accept; }
add rule inet wall incoming iifname != lo tcp dport 6450-6549 drop
"""


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_in(tmp_path_factory.mktemp("wall")) as far:
        done = far.net.server.run(["nft", "-f", "-"], input=RULES)
        assert done.returncode == 0, done.stderr
        yield far


def carrying(far: Far) -> set[int]:
    """Return the processes, on either host, that carry a transport."""
    found = set()
    for folder in (path for path in Path("/proc").iterdir() if path.name.isdecimal()):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes()
            ours = bytes(far.folder) in line + (folder / "environ").read_bytes()
            if ours and (line.startswith(b"ssh\0") or b"\0terminal\0" in line):
                found.add(int(folder.name))
    return found


def test_a_shell_moves_to_another_link_and_leaves_no_login_behind(far: Far) -> None:
    stop = far.folder / "stop-1"
    window = far.window("--name", "wall", SERVER_V4, COUNT.format(stop=stop))
    window.await_line(r"migrate: ssh carries this terminal: 18.31.0.9 does not answer \(TCP port \d+\)")
    window.await_line("number 10")
    await_true(lambda: len(carrying(far)) == 4)  # two transports with two ends each
    link = far.net.links[0]
    link.cut()
    link.withdraw()
    seen = len(window.numbers())
    await_true(lambda: len(window.numbers()) > seen + 5)
    link.plug()
    link.configure()
    stop.touch()
    total = int(window.await_line(r"all (\d+)")[1])
    assert window.numbers() == list(range(total))
    window.type("\r")
    assert window.end() == 7
    await_true(lambda: not carrying(far))
    assert not list(far.folder.glob("migrate-ssh-*"))


def test_a_killed_client_leaves_no_login_behind_and_comes_back(far: Far) -> None:
    first = far.window("--via", "ssh", "--name", "orphan", SERVER_V4, f"seq -f 'number %.0f' 0 {MANY}; cat")
    first.await_line(f"number {MANY}")
    assert first.numbers() == list(range(MANY + 1))
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    await_true(lambda: not carrying(far))
    second = far.window("--via", "ssh", "--attach", "orphan", SERVER_V4)
    second.await_line(f"number {MANY}")
    second.type("~.")
    assert second.end() == 0
    assert far.there("kill", "orphan").returncode == 0


@pytest.mark.slow
def test_a_client_that_is_killed_without_a_network_leaves_no_login_behind(far: Far) -> None:
    window = far.window("--via", "ssh", "--name", "lonely", SERVER_V4, "echo ready; cat")
    window.await_line("ready")
    far.cut()
    window.process.send_signal(signal.SIGKILL)
    window.process.wait()
    await_true(lambda: not carrying(far))
    far.plug()
    assert far.there("kill", "lonely").returncode == 0


@pytest.mark.slow
def test_a_secret_is_asked_for_once_and_missed_after_an_outage(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    shutil.copy(far.folder / "openssh/user_key", key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho secret\n")
    ask.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(ask))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    settings = tmp_path / "config"
    text = (far.folder / "openssh/ssh_config").read_text().replace("BatchMode yes\n", "")
    settings.write_text(text.replace(f"{far.folder}/openssh/user_key", str(key)))
    words = [str(settings) if word.endswith("ssh_config") else word for word in far.ssh]
    words += ["--via", "ssh"]
    window = Window(far.net.client, [*words, "--name", "secret", SERVER_V4, "echo ready; cat"])
    window.await_line("ready")
    assert (tmp_path / "asked").read_text() == "asked\n"
    far.cut()
    await_true(lambda: far.state("secret") == "suspended")
    far.plug()
    await_true(lambda: "without asking you" in window.title)
    assert (tmp_path / "asked").read_text() == "asked\n"
    window.type("~.")
    assert window.end() == 0
    again = Window(far.net.client, [*words, "--attach", "secret", SERVER_V4])
    again.await_line("ready")
    again.type("~.")
    assert again.end() == 0
    assert far.there("kill", "secret").returncode == 0
