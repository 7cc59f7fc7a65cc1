"""Say which rights are missing before a connection has to pay for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NEEDED: Final = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
}
"""What rebinding needs, with the kernel's numbers. docs/capabilities.md says what for."""

FOR_OTHER_USERS: Final = {"CAP_SETGID": 6, "CAP_SETUID": 7}
"""What acting for another user needs: sockets and files of theirs (CAP_SETUID), and programs (both)."""


def missing_capabilities() -> tuple[str, ...]:
    """Return the names of those needed capabilities that this process does not have.

    Source: capabilities(7), ``CapEff`` in ``/proc/self/status``.
    """
    return _missing(NEEDED)


def why_no_kernel(*, wanted: bool) -> str:
    """Return why the daemon moves no connections, or nothing where it does.

    Args:
        wanted: whether it is to move them.

    Raises:
        PermissionError: it is to, and capabilities are missing.
    """
    missing = missing_capabilities()
    what = f"these capabilities are missing: {', '.join(missing)}" if missing else "`--without-kernel`"
    if missing and wanted:
        raise PermissionError(
            f"{what}; start `migrated` as root (docs/capabilities.md says what for), or with "
            "`--without-kernel`, which needs none and moves no connections"
        )
    return "" if wanted else f"no kernel rebinding: {what}"


def missing_for_other_users() -> tuple[str, ...]:
    """Return the names of those capabilities that this process lacks to act for another user."""
    return _missing(FOR_OTHER_USERS)


def _missing(wanted: dict[str, int]) -> tuple[str, ...]:
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return tuple(name for name, number in wanted.items() if not effective >> number & 1)
