"""The metered monitor and the real NetworkManager, alone in namespaces.

Started with a folder inside ``unshare --net --mount`` by `test_metered`. The folders of the host's own
NetworkManager are covered. It takes udev for missing where /sys can only be read, as in a container, and then
manages links of which no udev has told it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path

from monitors.events import FactMeasured
from monitors.metered import MeteredMonitor
from monitors.networkmanager import metered_links
from monitors.testing import Recorder
from tests.monitors.buses import bus_in, running

_CONFIGURATION = """
[main]
plugins=keyfile
dns=none
rc-manager=unmanaged
auth-polkit=false
no-auto-default=*
[keyfile]
path={folder}/connections
[connectivity]
enabled=false
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def prepare(folder: Path) -> None:
    run("mount", "-t", "sysfs", "-o", "ro", "sysfs", "/sys")
    for place in ("/run", "/var/lib/NetworkManager"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
    run("ip", "link", "add", "wwan7", "type", "veth", "peer", "name", "far7")
    for link in ("lo", "wwan7", "far7"):
        run("ip", "link", "set", link, "up")
    for name in ("connections", "empty"):
        (folder / name).mkdir()
    (folder / "nm.conf").write_text(_CONFIGURATION.format(folder=folder))


async def start(folder: Path) -> Process:
    manager = await asyncio.create_subprocess_exec(
        "NetworkManager",
        "--no-daemon",
        f"--config={folder}/nm.conf",
        f"--config-dir={folder}/empty",
        f"--system-config-dir={folder}/empty",
        f"--intern-config={folder}/intern.conf",
        f"--state-file={folder}/state",
        f"--pid-file={folder}/pid",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    await call("nm-online", "--wait-for-startup", "--timeout=30")
    return manager


async def call(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    assert await process.wait() == 0, " ".join(command)


async def nmcli(*words: str) -> None:
    await call("nmcli", *words)


async def story(folder: Path) -> None:
    """Set, change and unset what a connection says, and end NetworkManager and start it again."""
    recorder = Recorder()

    async def hears(value: bool | None, start: int = 0) -> int:
        wanted = FactMeasured(fact="metered", value=value, interface="wwan7")
        await recorder.wait_for(lambda event: event == wanted, start=start, timeout_s=30)
        return len(recorder.events)

    manager = await start(folder)
    monitor = MeteredMonitor(manager=lambda: metered_links(restart_s=30.0))
    async with running(monitor.run(recorder)):
        address = ("ipv4.method", "manual", "ipv4.addresses", "10.9.9.1/24", "ipv6.method", "disabled")
        profile = ("type", "ethernet", "ifname", "wwan7", "con-name", "mobile", *address)
        await nmcli("connection", "add", *profile, "autoconnect", "yes", "connection.metered", "yes")
        heard = await hears(True)
        await nmcli("connection", "modify", "mobile", "connection.metered", "no")
        await nmcli("device", "reapply", "wwan7")
        heard = await hears(False, heard)
        manager.terminate()
        await manager.wait()
        manager = await start(folder)
        await nmcli("connection", "modify", "mobile", "connection.metered", "yes")
        await nmcli("connection", "up", "mobile")
        heard = await hears(True, heard)
        await nmcli("connection", "down", "mobile")
        await hears(None, heard)
    manager.terminate()
    await manager.wait()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    prepare(place)
    with bus_in(place) as bus:
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bus
        asyncio.run(story(place))
