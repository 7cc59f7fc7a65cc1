"""Who may use a gateway and where they may go, as the file of keys says at each moment."""

from __future__ import annotations

import logging
from pathlib import Path

from migrated.log import event
from migrated.streams.authorized import Clients, KeysFileError, read_clients
from migrated.streams.rules import Rules
from sessionlayer.protocol.keys import fingerprint

_log = logging.getLogger(__name__)
_Version = tuple[int, int, int, int]


class Admission:
    """The keys that are let in. A change of the file counts at once; one with mistakes changes nothing.

    Args:
        file: the file of keys.
        allow: where keys may go whose line does not say.

    Raises:
        KeysFileError: the file can't be read or has mistakes.
    """

    def __init__(self, file: Path, allow: Rules) -> None:
        self._file = file
        self._allow = allow
        self._version = _version(file)
        self._clients = read_clients(file)

    @property
    def leads_nowhere(self) -> bool:
        """Return whether no key may go anywhere, so that a gateway would be of no use."""
        return not any(self.rules(key) for key in self._clients)

    def refusal(self, key: bytes) -> str:
        """Return why a key (32 bytes) is not let in, or nothing if it is."""
        if key in self._current():
            return ""
        return f"your key {fingerprint(key)} is not in the gateway's file of authorized keys"

    def rules(self, key: bytes) -> Rules:
        """Return where a key may go: where its line says, else where the gateway's options say."""
        client = self._current().get(key)
        if client is None:
            return ()
        return self._allow if client.rules is None else client.rules

    def name(self, key: bytes) -> str:
        """Return what the file says about a key, for people; its fingerprint if that is nothing."""
        client = self._clients.get(key)
        return client.comment if client and client.comment else fingerprint(key)

    def _current(self) -> Clients:
        version = _version(self._file)
        if version != self._version:
            self._version = version
            self._reload()
        return self._clients

    def _reload(self) -> None:
        try:
            self._clients = read_clients(self._file)
        except KeysFileError as error:
            for line in str(error).splitlines():
                event(
                    _log, logging.WARNING, "keys-unreadable", reason=line, advice="the old keys stay in force"
                )
        else:
            event(_log, logging.INFO, "keys-read", file=str(self._file), keys=len(self._clients))


def _version(file: Path) -> _Version | None:
    """Return what changes when a file does, or ``None`` where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
