from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from migrated.streams.addresses import Endpoint, UnixEndpoint
from migrated.streams.listening import listening
from migrated.streams.outcomes import StreamProgramError

LOOPBACK = Endpoint("127.0.0.1", 0)


def test_a_unix_socket_is_its_owners_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    umask = os.umask(0o22)
    os.umask(umask)
    with listening([UnixEndpoint(str(path))]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()
    assert os.umask(umask) == umask


def test_the_socket_of_a_dead_program_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening([UnixEndpoint(str(path))]), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_socket_of_a_living_program_is_left_alone(tmp_path: Path) -> None:
    place = UnixEndpoint(str(tmp_path / "x.sock"))
    with listening([place]):
        with pytest.raises(StreamProgramError, match="another program listens there"), listening([place]):
            pass
        assert Path(place.path).is_socket()


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(StreamProgramError, match="there is a file of another kind"),
        listening([UnixEndpoint(str(tmp_path / "file"))]),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_socket_that_took_our_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as other:
        with listening([UnixEndpoint(str(path))]):
            path.unlink()
            other.bind(str(path))
        assert path.is_socket()


def test_a_port_that_is_taken_is_named_and_what_was_opened_is_closed() -> None:
    with listening([LOOPBACK]) as (taken,):
        port = taken.getsockname()[1]
        with (
            pytest.raises(
                StreamProgramError, match=f"cannot listen on 127.0.0.1:{port}: address already in use"
            ),
            listening([LOOPBACK, Endpoint("127.0.0.1", port)]),
        ):
            pass


def test_all_addresses_take_both_families() -> None:
    with listening([Endpoint("", 0)]) as (sock,):
        port = sock.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()
