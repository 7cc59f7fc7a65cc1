"""Where the files of gateways and their clients are: in the folders of whoever runs them, root too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from migrated.config import ConfigurationError, xdg_folder
from migrated.keyfile import KeyFileError, read_or_make_key
from migrated.streams.words import reason
from sessionlayer.protocol.keys import HostKey

CLIENT_KEY: Final = "user.key"
"""Proves to gateways who we are; like the private key of ssh."""

GATEWAY_KEY: Final = "gateway.key"
"""Proves to clients which gateway they have reached. A key of its own: a gateway can't pass for its user."""

KNOWN_GATEWAYS: Final = "known_gateways"
AUTHORIZED_KEYS: Final = "authorized_keys"


class FolderError(Exception):
    """Say which folder or key can't be used, and what to do."""


def state_file(name: str) -> Path:
    """Return where a file of this user is that programs write; its folder is made if it is missing.

    Raises:
        FolderError: there is no such folder and none can be made.
    """
    folder = _base("XDG_STATE_HOME", ".local/state")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"cannot make the folder {folder}: {reason(error)}; see XDG_STATE_HOME") from error
    return folder / name


def config_file(name: str) -> Path:
    """Return where a file of this user is that people write.

    Raises:
        FolderError: the user has no home folder.
    """
    return _base("XDG_CONFIG_HOME", ".config") / name


def own_key(name: str) -> tuple[HostKey, bool]:
    """Return one of this user's keys, and whether it was made just now.

    Raises:
        FolderError: it can't be read or made, or others may read it.
    """
    try:
        return read_or_make_key(state_file(name))
    except KeyFileError as error:
        raise FolderError(str(error)) from error


def _base(variable: str, below_home: str) -> Path:
    try:
        return xdg_folder(variable, below_home) / "migrate"
    except ConfigurationError as error:
        raise FolderError(str(error)) from error
