"""The small process that holds a lab's namespaces and outlives the lab's builder by a moment.

A namespace made here has no name in the file system: it lives as long as this process
holds its file descriptor or a program runs inside it. When the builder says so or
dies, however it dies, every program inside our namespaces is killed and we end; the kernel then takes
the namespaces, their interfaces and their rules away.

A pid namespace would also end all programs with its first one, but they would see other process
numbers than `/proc` shows, which the daemon under test reads.

Protocol: each line ``new`` on standard input asks for one namespace; the answer is one line with
the number of our descriptor, or the reason why there is none. Any other line, such as ``end``,
ends us. The end of input alone would not do: a child that the builder forked may hold the pipe open.

Source: namespaces(7), pidfd_open(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from migrated.lab.system import unshare_network

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_IFREQ = "16sh22x"  # struct ifreq: name, flags, padding to 40 bytes
_NEW = b"new\n"
_REQUEST_MAX = 64  # bytes; a builder that was interrupted ends us without having read the answer before
_SWEEP_PAUSE_S = 0.005
_SWEEPS = (
    400  # two seconds: a program that a signal cannot end sits in the kernel and is not ours to wait for
)

# What a fresh namespace has otherwise depends on the machine. Addresses are usable at once (no duplicate
# address detection); the reverse path is checked loosely, as Debian's systemd does it.
_SYSCTLS = {
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "2",
}


def main() -> int:
    """Serve requests for namespaces until the builder is gone, then end all programs in them."""
    builder = os.pidfd_open(os.getppid())
    held: list[int] = []
    # Read without a buffer: a line in there would not be heard of, as `select` sees only what is in the pipe.
    while _readable(builder) and os.read(sys.stdin.fileno(), _REQUEST_MAX) == _NEW:
        _answer(held)
    os.close(builder)  # the sweep needs a descriptor, and namespaces may have all others
    _sweep(held)
    return 0


def _readable(builder: int) -> bool:
    """Wait for a request; return false if the builder died (a forked child may keep the pipe open)."""
    ready, _, _ = select.select([sys.stdin, builder], [], [])
    return builder not in ready


def _answer(held: list[int]) -> None:
    try:
        held.append(_new_namespace())
        reply = str(held[-1])
    except OSError as error:
        reply = str(error)
    sys.stdout.write(reply + "\n")
    sys.stdout.flush()


def _new_namespace() -> int:
    unshare_network()
    for name, value in _SYSCTLS.items():
        Path("/proc/sys/net", name).write_text(value)
    _raise_loopback()
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack(_IFREQ, b"lo", 0))
        flags: int = struct.unpack(_IFREQ, request)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))


def _sweep(held: list[int]) -> None:
    """Kill what runs in our namespaces, again and again while something forks or is still ending."""
    # Our descriptors keep the inode numbers from being given to a namespace of someone else's.
    ours = {(entry.st_dev, entry.st_ino) for entry in map(os.fstat, held)}
    for _ in range(_SWEEPS):
        if not [pid for pid in _inside(ours) if _kill(pid, ours)]:
            return
        time.sleep(_SWEEP_PAUSE_S)


def _inside(namespaces: set[tuple[int, int]]) -> Iterator[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return (pid for pid in pids if pid != os.getpid() and _network_of(pid) in namespaces)


def _network_of(pid: int) -> tuple[int, int] | None:
    try:
        entry = Path(f"/proc/{pid}/ns/net").stat()
    except OSError:  # it has ended, or belongs to someone whom we may not look at
        return None
    return entry.st_dev, entry.st_ino


def _kill(pid: int, namespaces: set[tuple[int, int]]) -> bool:
    """Kill one process unless its number has just passed to another; return whether it may be there still."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except OSError as error:  # EINVAL: it has ended, to older kernels, while its session or group goes on
        return error.errno != errno.EINVAL  # otherwise we could not look, for want of descriptors or memory
    try:
        if _network_of(pid) not in namespaces:
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(process)
    return True


if __name__ == "__main__":
    sys.exit(main())
