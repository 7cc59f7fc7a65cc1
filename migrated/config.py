"""The daemon's configuration: one TOML file, every key optional, every mistake named with its line."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from policylang.loader import PolicyFile
    from sessionlayer.protocol.trust import TrustPolicy

CONTROL_PORT: Final = 6447
"""The TCP and UDP port on which daemons talk to each other."""

SYSTEM_RUNTIME_FOLDER: Final = Path("/run/migrate")
"""Where the daemon of the whole host has its control socket."""

SYSTEM_CONFIG_FOLDER: Final = Path("/etc/migrate")
"""Where the configuration and the policy of the whole host are."""

SOCKET_NAME: Final = "control.sock"

_FILE_NAME: Final = "migrated.toml"
_KEY_BYTES: Final = 32

_EXPECTED: Final[Mapping[str, str]] = {
    "control_port": "a port number from 1 to 65535",
    "policy": 'a list of files or patterns, such as ["policy.d/*.policy"]',
    "user_policy": 'a list of files or patterns, such as ["user.d/*.policy"]',
    "application_policy": 'a list of files or patterns, such as ["application.d/*.policy"]',
    "state_folder": "the path of a folder",
    "runtime_folder": "the path of a folder",
    "trust": 'a table with the keys "outgoing" and "incoming"',
    "trust.outgoing": '"tofu" or "pinned"',
    "trust.incoming": '"tofu" or "pinned"',
    "pinned_keys": "a list of host keys in base64, as `migrate status` prints them on the peer's host",
    "plugins": "true or false",
    "plugin_folders": 'a list of folders, such as ["monitors.d"]',
    "monitors": "a table for each monitor, such as [monitors.wifi]",
    "recording": 'a table with the keys "enabled", "files" and "file_size"',
    "recording.enabled": "true or false",
    "recording.files": "a number from 2 to 1000",
    "recording.file_size": "a number of bytes from 65536 to 1073741824",
}

Mode = Literal["tofu", "pinned"]


class ConfigurationError(Exception):
    """Say what is wrong in the configuration, in which file and line, and what to do."""


class Trust(Struct, frozen=True, kw_only=True):
    """Whether a host key is trusted on first use or has to be pinned, by who opened the association."""

    outgoing: Mode = "tofu"
    incoming: Mode = "tofu"

    def as_policy(self) -> TrustPolicy:
        """Return the modes as the session layer knows them."""
        from sessionlayer.protocol.trust import TrustMode, TrustPolicy

        return TrustPolicy(outgoing=TrustMode(self.outgoing), incoming=TrustMode(self.incoming))


class Recording(Struct, frozen=True, kw_only=True):
    """Whether events are written down for `migrate policy replay`, and how much of them is kept.

    Attributes:
        enabled: whether they are written down.
        files: how many files there are at most; the oldest is removed for a new one.
        file_size: bytes after which a new file is begun.
    """

    enabled: bool = True
    files: Annotated[int, Meta(ge=2, le=1000)] = 8
    file_size: Annotated[int, Meta(ge=1 << 16, le=1 << 30)] = 4 << 20


class Configuration(Struct, frozen=True, kw_only=True):
    """Everything that can be configured.

    Attributes:
        control_port: TCP and UDP port for other daemons.
        policy: absolute paths or patterns of the host's policy files, in the order in which they count.
        user_policy: those of the user's, whose statements win over the host's.
        application_policy: those of programs', whose statements win over the user's.
        state_folder: the host key and the store; survives a reboot.
        runtime_folder: the control socket; need not survive a reboot.
        trust: how host keys of peers are judged.
        pinned_keys: host keys (32 bytes each) that are trusted whatever ``trust`` says.
        plugins: whether monitors, and handlers of resources, are loaded that others wrote.
        plugin_folders: where monitors are that consist of one file.
        monitors: the settings of each monitor, by its name, as they were written.
        recording: what is written down of events.
    """

    control_port: Annotated[int, Meta(ge=1, le=65535)] = CONTROL_PORT
    policy: tuple[str, ...]
    user_policy: tuple[str, ...]
    application_policy: tuple[str, ...]
    state_folder: Path
    runtime_folder: Path
    trust: Trust = Trust()
    pinned_keys: tuple[Annotated[bytes, Meta(min_length=_KEY_BYTES, max_length=_KEY_BYTES)], ...] = ()
    plugins: bool = True
    plugin_folders: tuple[Path, ...] = ()
    monitors: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    recording: Recording = Recording()

    @property
    def socket(self) -> Path:
        """Return the path of the control socket."""
        return self.runtime_folder / SOCKET_NAME

    @property
    def policy_patterns(self) -> tuple[str, ...]:
        """Return the absolute paths and patterns of all layers."""
        return (*self.policy, *self.user_policy, *self.application_policy)

    def policy_files(self) -> tuple[PolicyFile, ...]:
        """Return the policy files there are now: layer after layer, in each pattern after pattern, by name.

        A file counts once, where it is named first. A path that is no pattern is returned
        whether or not there is such a file, so that whoever reads the files notices.
        """
        from policylang.ast import Layer
        from policylang.loader import PolicyFile

        layers = (
            (Layer.SYSTEM, self.policy),
            (Layer.USER, self.user_policy),
            (Layer.APPLICATION, self.application_policy),
        )
        found: dict[Path, PolicyFile] = {}
        for layer, patterns in layers:
            for file in (file for pattern in patterns for file in _matching(pattern)):
                found.setdefault(file, PolicyFile(path=file, layer=layer))
        return tuple(found.values())


def load_configuration(file: Path | None = None) -> Configuration:
    """Read the configuration.

    Args:
        file: the file, which must exist; ``None`` for the default one, which need not.

    Raises:
        ConfigurationError: the file cannot be read or has a mistake.
    """
    named, file = file is not None, (file or default_file()).absolute()
    text = _read(file, must_exist=named)
    table = _parse(file, text)
    for key in _keys(table):
        _check_known(file, text, key)
    return _convert(file, text, {**_defaults(file), **table})


def named_file() -> Path | None:
    """Return the configuration that ``MIGRATE_CONFIG`` names, for commands; ``None`` if it names none."""
    file = os.environ.get("MIGRATE_CONFIG")
    return Path(file) if file else None


def file_of_this_host() -> Path | None:
    """Return the configuration of the daemon that runs here for this user.

    It is what ``MIGRATE_CONFIG`` names, else the user's own, else that of the host if the user may read it.
    ``None`` stands for the user's own, which need not exist.

    Raises:
        ConfigurationError: the user has no home folder.
    """
    of_the_host = SYSTEM_CONFIG_FOLDER / _FILE_NAME
    if (named := named_file()) is not None:
        return named
    return of_the_host if not os.access(default_file(), os.F_OK) and os.access(of_the_host, os.R_OK) else None


def default_file() -> Path:
    """Return where the configuration is when nobody says otherwise.

    Raises:
        ConfigurationError: the user has no home folder.
    """
    return _config_folder() / _FILE_NAME


def find_socket(configuration: Configuration) -> Path:
    """Return the control socket that a command talks to: the user's own daemon, else that of the host."""
    own, of_the_host = configuration.socket, SYSTEM_RUNTIME_FOLDER / SOCKET_NAME
    # `Path.exists` raises where a folder on the way is closed to us; whoever connects will say so better.
    return of_the_host if os.path.exists(of_the_host) and not os.path.exists(own) else own  # noqa: PTH110


def _is_root() -> bool:
    return os.geteuid() == 0


def _config_folder() -> Path:
    return SYSTEM_CONFIG_FOLDER if _is_root() else xdg_folder("XDG_CONFIG_HOME", ".config") / "migrate"


def _defaults(file: Path) -> dict[str, Any]:
    state = (
        Path("/var/lib/migrate") if _is_root() else xdg_folder("XDG_STATE_HOME", ".local/state") / "migrate"
    )
    return {
        **_default_policies(),
        "plugin_folders": ["monitors.d"],
        "state_folder": str(state),
        "runtime_folder": str(SYSTEM_RUNTIME_FOLDER if _is_root() else _user_runtime_folder(state)),
    }


def _default_policies() -> dict[str, list[str]]:
    """Return where policies are: a user's own daemon follows the host's as well, and the user's wins."""
    own, of_programs = ["policy.d/*.policy"], ["application.d/*.policy"]
    if _is_root():
        return {"policy": own, "user_policy": [], "application_policy": of_programs}
    of_the_host = [str(SYSTEM_CONFIG_FOLDER / "policy.d/*.policy")]
    return {"policy": of_the_host, "user_policy": own, "application_policy": of_programs}


def _user_runtime_folder(state: Path) -> Path:
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) / "migrate" if folder.startswith("/") else state / "run"


def xdg_folder(variable: str, below_home: str) -> Path:
    """Return a base folder of this user.

    Args:
        variable: the variable of the environment that may name it.
        below_home: where it is otherwise.

    Raises:
        ConfigurationError: the user has no home folder.

    Source: XDG Base Directory Specification 0.8, which ignores relative paths.
    """
    folder = os.environ.get(variable, "")
    try:
        return Path(folder) if folder.startswith("/") else Path.home() / below_home
    except RuntimeError as error:
        raise ConfigurationError(
            f"you have no home folder; set {variable} or name a configuration"
        ) from error


def _matching(pattern: str) -> Iterator[Path]:
    if not has_magic(pattern):
        yield Path(pattern)
        return
    # `Path.glob` takes no absolute patterns.
    for name in sorted(glob(pattern, recursive=True)):  # noqa: PTH207
        yield Path(name)


def _read(file: Path, *, must_exist: bool) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not must_exist:
            return ""
        raise ConfigurationError(f"{file}: there is no such configuration file") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"{file}: cannot read the configuration: {reason}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: this is not UTF-8 text; a configuration is TOML") from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at line ")
        line = f":{place.partition(',')[0]}" if place[:1].isdigit() else ""
        raise ConfigurationError(f"{file}{line}: this is not TOML: {what[:1].lower()}{what[1:]}") from error


def _keys(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Return all keys, those of tables in tables with a dot between."""
    for name, value in table.items():
        yield prefix + name
        # What a monitor expects in its table is its own affair.
        if isinstance(value, dict) and prefix + name in _EXPECTED and prefix + name != "monitors":
            yield from _keys(value, f"{prefix}{name}.")


def _check_known(file: Path, text: str, key: str) -> None:
    if key in _EXPECTED:
        return
    from policylang.diagnostics import did_you_mean, quote

    help_ = did_you_mean(key, _EXPECTED) or f"known are {', '.join(sorted(_EXPECTED))}"
    raise ConfigurationError(f"{_place(file, text, key)}: unknown key {quote(key)}; {help_}")


def _convert(file: Path, text: str, table: dict[str, Any]) -> Configuration:
    def to_path(kind: type, value: object) -> Path:
        if kind is not Path or not isinstance(value, str) or not value:
            raise ValueError
        return file.parent / value

    try:
        read = msgspec.convert(table, Configuration, dec_hook=to_path)
    except msgspec.ValidationError as error:
        raise _wrong_value(file, text, table, error) from error
    return msgspec.structs.replace(
        read,
        policy=_absolute(file, read.policy),
        user_policy=_absolute(file, read.user_policy),
        application_policy=_absolute(file, read.application_policy),
    )


def _absolute(file: Path, patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(file.parent / pattern) for pattern in patterns)


def _wrong_value(
    file: Path, text: str, table: Mapping[str, Any], error: msgspec.ValidationError
) -> ConfigurationError:
    from policylang.diagnostics import quote

    found = re.search(r"`\$\.([a-z_.]+)", str(error))
    assert found is not None
    key = found[1]
    value: Any = table
    for name in key.split("."):
        value = value[name]
    place, as_written = _place(file, text, key), json.dumps(value, ensure_ascii=False, default=str)
    return ConfigurationError(f"{place}: `{key}` can't be {quote(as_written)}: expected {_EXPECTED[key]}")


def _place(file: Path, text: str, key: str) -> str:
    """Return ``file:line`` of the first line that sets ``key``, as far as it can be told from the text."""
    name = re.escape(key.rpartition(".")[2])
    setting = re.compile(rf"""\s*(\[\s*|[\w."'\s-]+\.\s*)?["']?{name}["']?\s*[\]=.]""")
    for number, line in enumerate(text.splitlines(), 1):
        if setting.match(line):
            return f"{file}:{number}"
    return str(file)
