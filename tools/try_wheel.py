"""Try the installed package: bytes go there and back through a gateway, and what runs apart can be started.

    python tools/try_wheel.py
    python tools/try_wheel.py monitor    # a new monitor, from nothing to a policy; needs pytest, too

The Python that the wheel was installed for runs it; nothing of the checkout is imported. Its files are in the
folder that HOME names.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import migrated.custody.custodian
import migrated.terminal.holder
import sessionlayer
from migrated.terminal.requests import List, encode

MIGRATE: Final = str(Path(sys.executable).with_name("migrate"))
LOOPBACK: Final = "127.0.0.1"
PATIENCE_S: Final = 60.0
DATA: Final = bytes(range(256)) * 1024
ENVIRONMENT: Final = {
    name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MIGRATE_"))
}


def migrate(*words: str, said: bytes = b"") -> bytes:
    """Run a command, and return what it prints."""
    command = [MIGRATE, *words]
    done = subprocess.run(
        command, input=said, stdout=subprocess.PIPE, env=ENVIRONMENT, timeout=PATIENCE_S, check=True
    )
    return done.stdout


@contextmanager
def gateway(destination: str) -> Iterator[str]:
    """Run a gateway that leads there; return where it listens."""
    command = [MIGRATE, "gateway", "--json", "--listen", f"{LOOPBACK}:0", "--allow", destination]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        overdue = threading.Timer(PATIENCE_S, process.kill)
        overdue.start()
        try:
            assert process.stderr is not None
            line = next((line for line in process.stderr if '"listening"' in line), "")
            assert line, "the gateway ended, or did not listen in time"
            yield str(json.loads(line)["fields"]["on"])
        finally:
            overdue.cancel()
            process.terminate()
            process.communicate()
    assert process.returncode == 0, f"the gateway ended with {process.returncode}"


def send_back(listener: socket.socket) -> None:
    """Send one client back whatever it says."""
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(65_536):
            connection.sendall(data)


def try_stream() -> None:
    """Send bytes through a gateway to a server that sends them back."""
    keys = Path(os.environ["HOME"], ".config/migrate/authorized_keys")
    keys.parent.mkdir(parents=True, exist_ok=True)
    keys.write_bytes(migrate("connect", "--print-key"))
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(PATIENCE_S)
        threading.Thread(target=send_back, args=(listener,), daemon=True).start()
        destination = f"{LOOPBACK}:{listener.getsockname()[1]}"
        with gateway(destination) as place:
            pin = migrate("gateway", "--print-key").decode().strip()
            back = migrate("connect", "--gateway", place, "--pin", pin, destination, said=DATA)
    assert back == DATA, f"{len(back)} of {len(DATA)} bytes came back, or others"


def try_monitor() -> None:
    """Write a monitor, run its tests, check it, and use its fact in a policy."""
    os.chdir(os.environ["HOME"])
    migrate("monitors", "new", "weather")
    subprocess.run(
        [Path(sys.executable).with_name("pytest"), "-q"], cwd="weather", env=ENVIRONMENT, check=True
    )
    migrate("monitors", "check", "weather")
    folder = Path("config").absolute()
    (folder / "monitors.d").mkdir(mode=0o755, parents=True)
    (folder / "migrated.toml").write_text("[monitors.weather]\ninterval = 1.0\n")
    Path("weather/weather.py").rename(folder / "monitors.d" / "weather.py")
    ENVIRONMENT["MIGRATE_CONFIG"] = str(folder / "migrated.toml")
    (fact,) = json.loads(migrate("facts", "weather.load", "--json"))
    assert fact["measured"], fact
    Path("my.policy").write_text("monitor-policy { when weather.load > 4 score-interface wlan* -20 }\n")
    migrate("policy", "check", "my.policy")


def try_all() -> None:
    """Try everything else."""
    for module in (sessionlayer, migrated.custody.custodian, migrated.terminal.holder):
        assert Path(module.__file__ or "").is_relative_to(sys.prefix), f"{module.__file__} is not the wheel's"
    assert callable(sessionlayer.get_session)
    assert b'"terminal-list"' in migrate("terminal", "serve", said=encode(List()))
    try_stream()


if __name__ == "__main__":
    try_monitor() if "monitor" in sys.argv[1:] else try_all()
