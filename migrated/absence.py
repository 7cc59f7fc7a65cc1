"""Hosts without a daemon, which are not asked again at every connection to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RETRY_FIRST_S: Final = 30.0
"""Seconds for which a host without a daemon is left alone; doubles up to `RETRY_LONGEST_S`."""

RETRY_LONGEST_S: Final = 3600.0

ABSENT_MAX: Final = 4096
"""Hosts without a daemon that are remembered; beyond it those whose time is up are forgotten, then all."""


@dataclass(frozen=True, slots=True)
class _Absent:
    """A host whose daemon did not answer, and when to ask again."""

    until: float
    wait_s: float


class Absences:
    """The hosts that did not answer, by address."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Absent] = {}

    def leave_alone(self, remote: str, now: float) -> bool:
        """Return whether a host is not to be asked yet.

        Args:
            remote: its address.
            now: the time, in monotonic seconds.
        """
        absent = self._hosts.get(remote)
        return absent is not None and absent.until > now

    def note(self, remote: str, now: float) -> float:
        """Take in that a host did not answer, and return for how many seconds it is left alone.

        Args:
            remote: its address.
            now: the time, in monotonic seconds.
        """
        if len(self._hosts) >= ABSENT_MAX:
            self._hosts = {host: absent for host, absent in self._hosts.items() if absent.until > now}
            if len(self._hosts) >= ABSENT_MAX:
                self._hosts.clear()
        before = self._hosts.get(remote)
        wait_s = min(before.wait_s * 2, RETRY_LONGEST_S) if before else RETRY_FIRST_S
        self._hosts[remote] = _Absent(until=now + wait_s, wait_s=wait_s)
        return wait_s

    def forget(self, remote: str) -> None:
        """Ask a host again at the next occasion."""
        self._hosts.pop(remote, None)
