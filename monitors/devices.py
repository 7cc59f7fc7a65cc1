"""The kernel's counters of its links.

``/proc/thread-self/net/dev`` is that of the caller's own network namespace, which sysfs is only after
somebody mounted it there, and one read tells of all links.

Source: proc_net(5); Documentation/networking/statistics.rst.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from monitors.usage import Counted, Reading

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_DEVICES: Final = Path("/proc/thread-self/net/dev")
_HEADLINES: Final = 2
_RECEIVED, _SENT, _COLUMNS = 0, 8, 16


def read_counters() -> Reading:
    """Return the counters of every link of this network namespace.

    Raises:
        OSError: the kernel does not tell them.
        ValueError: what it tells has another form.
    """
    indexes = {name: index for index, name in socket.if_nameindex()}
    links = parse_devices(os.fsdecode(_DEVICES.read_bytes()), indexes)
    return Reading(_BOOT.read_text().strip(), links)


def parse_devices(text: str, indexes: Mapping[str, int]) -> dict[str, Counted]:
    """Read the kernel's table of links.

    Args:
        text: as in ``/proc/net/dev``.
        indexes: the kernel's number of each link. One that is not among them has come or gone since and is
            left out, and so is one whose name can't be shown.

    Raises:
        ValueError: a line has another form.
    """
    found: dict[str, Counted] = {}
    # Names may hold what `splitlines` takes for the end of a line.
    for line in text.rstrip("\n").split("\n")[_HEADLINES:]:
        name, _, rest = line.partition(":")
        name = name.strip(" ")
        columns = rest.split()
        if len(columns) != _COLUMNS:
            raise ValueError(
                f"a line of the kernel's table of links has {len(columns)} columns: {line!r:.80}"
            )
        if name in indexes and name.isprintable():
            found[name] = Counted(indexes[name], int(columns[_RECEIVED]), int(columns[_SENT]))
    return found
