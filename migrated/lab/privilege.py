"""The right to make network namespaces, and how an ordinary user gets it.

An ordinary user may make a *user namespace* and is root in there. The lab's programs then start
inside it. The network namespace stays the machine's, so that loopback works, but there is
no right over it in a user namespace: nothing here can touch it. Mounts are inside alone.

Source: user_namespaces(7), capabilities(7).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from migrated.lab.errors import LabError, require

_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN = 12, 13, 21
_NEEDED = 1 << _CAP_NET_ADMIN | 1 << _CAP_NET_RAW | 1 << _CAP_SYS_ADMIN
_MARK = "MIGRATE_LAB_REEXECUTED"  # ends the loop on a machine whose user namespaces give no rights


def is_privileged() -> bool:
    """Return whether this process may make namespaces and configure them."""
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return int(effective, 16) & _NEEDED == _NEEDED


def require_privilege() -> None:
    """Do nothing if this process may make namespaces.

    Raises:
        LabError: it may not.
    """
    if not is_privileged():
        raise LabError(
            "this needs the right to make network namespaces: run it as root, under `unshare -Urn`, "
            "or call `ensure_privileged()` first"
        )


def ensure_privileged() -> None:
    """Return if this process may make namespaces, else start the same command again in a user namespace.

    Call it at the very beginning: what the process has done so far is lost. The process number stays.

    Raises:
        LabError: this machine gives ordinary users no user namespaces, or `unshare` is missing.
    """
    if is_privileged():
        return
    unshare = require("unshare")
    _probe(unshare)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [unshare, "--user", "--map-root-user", "--mount", "--", sys.executable, *sys.orig_argv[1:]]
    os.execve(unshare, command, os.environ | {_MARK: "1"})  # noqa: S606 - no shell is wanted


def _probe(unshare: str) -> None:
    trial = subprocess.run(
        [unshare, "--user", "--map-root-user", "--mount", "--", unshare, "--net", "--", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode != 0 or _MARK in os.environ:
        raise LabError(
            "this machine gives ordinary users no namespaces of their own: run the command as root, or "
            "allow it with `sysctl kernel.unprivileged_userns_clone=1` (Debian) or "
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu)"
            + (f"; `unshare` said: {trial.stderr.strip()}" if trial.stderr else "")
        )
