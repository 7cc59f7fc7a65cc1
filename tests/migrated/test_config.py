from __future__ import annotations

import base64
import os
import re
import tomllib
from contextlib import suppress
from datetime import date
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated import config
from migrated.config import ConfigurationError, file_of_this_host, find_socket, load_configuration
from monitors.spec import ENTRY_POINT_GROUP
from policylang.ast import Layer
from sessionlayer.protocol.trust import TrustMode


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ordinary user without any XDG variable."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def message_for(folder: Path, text: str) -> str:
    file = folder / "migrated.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(file)
    return str(caught.value).removeprefix(f"{file}:")


def test_defaults_of_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config.default_file() == Path("/etc/migrate/migrated.toml")
    empty = tmp_path / "migrated.toml"
    empty.touch()
    read = load_configuration(empty)
    assert (read.control_port, read.plugins, read.pinned_keys) == (6447, True, ())
    assert (read.plugin_folders, read.monitors) == ((tmp_path / "monitors.d",), {})
    assert read.state_folder == Path("/var/lib/migrate")
    assert read.socket == Path("/run/migrate/control.sock")
    assert read.policy == (f"{tmp_path}/policy.d/*.policy",)
    assert (read.user_policy, read.application_policy) == ((), (f"{tmp_path}/application.d/*.policy",))


def test_defaults_of_a_user_without_a_file(home: Path) -> None:
    read = load_configuration()
    own = home / ".config/migrate"
    assert read.policy == ("/etc/migrate/policy.d/*.policy",)
    assert read.user_policy == (f"{own}/policy.d/*.policy",)
    assert read.application_policy == (f"{own}/application.d/*.policy",)
    assert read.state_folder == home / ".local/state/migrate"
    assert read.runtime_folder == home / ".local/state/migrate/run"


def test_the_folders_of_a_user_follow_xdg(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r")
    read = load_configuration()
    assert read.user_policy == ("/c/migrate/policy.d/*.policy",)
    assert read.state_folder == home / ".local/state/migrate"
    assert read.runtime_folder == Path("/r/migrate")


def test_every_key(tmp_path: Path) -> None:
    key = bytes(range(32))
    file = tmp_path / "migrated.toml"
    file.write_text(
        f"""
        control_port = 7000
        policy = ["a.policy", "/etc/b/*.policy"]
        user_policy = ["u.policy"]
        application_policy = []
        state_folder = "state"
        runtime_folder = "/run/x"
        pinned_keys = ["{base64.b64encode(key).decode()}"]
        plugins = false
        plugin_folders = ["monitors", "/opt/monitors"]
        [monitors.wifi]
        every = 5
        [monitors."my own".deeper]
        since = 2026-01-01
        [trust]
        incoming = "pinned"
        [recording]
        enabled = false
        files = 2
        file_size = 65536
        """
    )
    read = load_configuration(file)
    assert read.control_port == 7000
    assert read.policy == (f"{tmp_path}/a.policy", "/etc/b/*.policy")
    assert (read.user_policy, read.application_policy) == ((f"{tmp_path}/u.policy",), ())
    assert read.policy_patterns == (*read.policy, *read.user_policy)
    assert read.recording == config.Recording(enabled=False, files=2, file_size=65536)
    assert (read.state_folder, read.runtime_folder) == (tmp_path / "state", Path("/run/x"))
    assert (read.pinned_keys, read.plugins) == ((key,), False)
    assert read.plugin_folders == (tmp_path / "monitors", Path("/opt/monitors"))
    assert read.monitors == {"wifi": {"every": 5}, "my own": {"deeper": {"since": date(2026, 1, 1)}}}
    trust = read.trust.as_policy()
    assert (trust.outgoing, trust.incoming) == (TrustMode.TOFU, TrustMode.PINNED)


def test_policy_files_come_by_pattern_then_by_name(tmp_path: Path) -> None:
    for name in ("20.policy", "10.policy", "note.txt"):
        (tmp_path / name).touch()
    file = tmp_path / "migrated.toml"
    file.write_text('policy = ["20.policy", "*.policy", "missing.policy"]')
    names = [found.path.name for found in load_configuration(file).policy_files()]
    assert names == ["20.policy", "10.policy", "missing.policy"]


def test_policy_files_come_layer_by_layer_and_count_where_they_are_named_first(tmp_path: Path) -> None:
    for name in ("a.policy", "b.policy", "c.policy"):
        (tmp_path / name).touch()
    file = tmp_path / "migrated.toml"
    file.write_text(
        'application_policy = ["*.policy"]\nuser_policy = ["b.policy", "a.policy"]\npolicy = ["a.policy"]'
    )
    found = [(found.path.name, found.layer) for found in load_configuration(file).policy_files()]
    assert found == [
        ("a.policy", Layer.SYSTEM),
        ("b.policy", Layer.USER),
        ("c.policy", Layer.APPLICATION),
    ]


MISTAKES = [
    ("\ncontrol_prot = 1", "2: unknown key `control_prot`; did you mean `control_port`?"),
    ("colour = 1", "1: unknown key `colour`; known are application_policy, "),
    ('[trust]\noutgoin = "tofu"', "2: unknown key `trust.outgoin`; did you mean `trust.outgoing`?"),
    ('[trust]\noutgoing = "tof"', '2: `trust.outgoing` can\'t be `"tof"`: expected "tofu" or "pinned"'),
    ('trust.incoming = "x"', '1: `trust.incoming` can\'t be `"x"`: expected "tofu" or "pinned"'),
    ("trust = 1", "1: `trust` can't be `1`: expected a table"),
    ('control_port = "6447"', '1: `control_port` can\'t be `"6447"`: expected a port number'),
    ("control_port = 0", "1: `control_port` can't be `0`: expected a port number from 1 to 65535"),
    ("control_port = true", "1: `control_port` can't be `true`: expected a port number"),
    ('policy = "a"', '1: `policy` can\'t be `"a"`: expected a list of files or patterns'),
    ("policy = [1]", "1: `policy` can't be `[1]`: expected a list of files or patterns"),
    ('state_folder = ""', '1: `state_folder` can\'t be `""`: expected the path of a folder'),
    ('user_policy = "a"', '1: `user_policy` can\'t be `"a"`: expected a list of files or patterns'),
    ("[recording]\nfiles = 1", "2: `recording.files` can't be `1`: expected a number from 2 to 1000"),
    ("[recording]\nfile_size = 9", "2: `recording.file_size` can't be `9`: expected a number of bytes"),
    ("recording = false", "1: `recording` can't be `false`: expected a table"),
    ('plugin_folders = "a"', '1: `plugin_folders` can\'t be `"a"`: expected a list of folders'),
    ('plugin_folders = [""]', '1: `plugin_folders` can\'t be `[""]`: expected a list of folders'),
    ("monitors = 1", "1: `monitors` can't be `1`: expected a table for each monitor"),
    ("[monitors]\nwifi = 1", '1: `monitors` can\'t be `{"wifi": 1}`: expected a table for each monitor'),
    ("plugins = 1", "1: `plugins` can't be `1`: expected true or false"),
    (
        'pinned_keys = ["SHA256:ab"]',
        '1: `pinned_keys` can\'t be `["SHA256:ab"]`: expected a list of host keys',
    ),
    (
        'pinned_keys = ["AAAA"]',
        '1: `pinned_keys` can\'t be `["AAAA"]`: expected a list of host keys in base64',
    ),
    ("plugins = true\nx = = 1", "2: this is not TOML: invalid value"),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert message_for(tmp_path, text).startswith(expected)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such configuration file"):
        load_configuration(tmp_path / "nowhere.toml")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the configuration: is a directory"):
        load_configuration(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\0")
    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        load_configuration(binary)


@given(st.recursive(st.integers() | st.booleans() | st.text('ab"\n`'), lambda v: st.lists(v, max_size=3)))
def test_no_value_of_any_key_raises_anything_else(value: object) -> None:
    import json
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for key in config._EXPECTED:
            file = Path(folder) / "c.toml"
            file.write_text(f"{key} = {json.dumps(value)}\n")
            with suppress(ConfigurationError):
                load_configuration(file)


def test_a_command_finds_the_users_daemon_first_and_the_hosts_second(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SYSTEM_RUNTIME_FOLDER", home / "host")
    read = load_configuration()
    assert find_socket(read) == read.socket
    (home / "host").mkdir()
    (home / "host" / "control.sock").touch()
    assert find_socket(read) == home / "host" / "control.sock"
    read.runtime_folder.mkdir(parents=True)
    read.socket.touch()
    assert find_socket(read) == read.socket


def test_a_socket_that_cannot_be_looked_at_is_left_to_who_connects(home: Path) -> None:
    file = home / "migrated.toml"
    file.write_text(f'runtime_folder = "{"x" * 300}"')
    read = load_configuration(file)
    with pytest.raises(OSError, match="too long"):
        read.socket.stat()
    assert find_socket(read) in (read.socket, Path("/run/migrate/control.sock"))


def test_a_user_without_a_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigurationError, match="you have no home folder; set XDG_CONFIG_HOME"):
        load_configuration()


def test_commands_follow_the_users_configuration_or_else_that_of_the_host(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_host, own = home / "host", home / ".config/migrate/migrated.toml"
    monkeypatch.setattr(config, "SYSTEM_CONFIG_FOLDER", of_the_host)
    monkeypatch.delenv("MIGRATE_CONFIG", raising=False)
    assert file_of_this_host() is None
    of_the_host.mkdir()
    (of_the_host / "migrated.toml").touch()
    assert file_of_this_host() == of_the_host / "migrated.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert file_of_this_host() is None
    monkeypatch.setenv("MIGRATE_CONFIG", "named.toml")
    assert file_of_this_host() == Path("named.toml")


DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_example_of_the_document_has_every_key(tmp_path: Path) -> None:
    example = DOCUMENT.read_text().partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "migrated.toml"
    file.write_text(example)
    load_configuration(file)
    assert set(config._keys(tomllib.loads(example))) == set(config._EXPECTED)


def test_the_document_describes_every_key() -> None:
    keys = DOCUMENT.read_text().partition("| key |")[2].partition("\n\n")[0]
    described = re.findall(r"^\| `([a-z_.]+)` \|", keys, re.MULTILINE)
    assert sorted([*described, "recording", "trust"]) == sorted(config._EXPECTED)


def test_the_document_describes_every_setting_of_the_built_in_monitors() -> None:
    points = [
        point for point in entry_points(group=ENTRY_POINT_GROUP) if point.module.startswith("monitors.")
    ]
    keys = DOCUMENT.read_text().partition("## Monitors")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `([a-z_.]+)` \|", keys, re.MULTILINE)
    assert sorted(described) == sorted(
        f"{point.name}.{setting}"
        for point in points
        for name, thing in vars(import_module(point.module)).items()
        if name.endswith("Settings") and issubclass(thing, msgspec.Struct)
        for setting in thing.__struct_fields__
    )
