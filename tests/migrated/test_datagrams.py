"""The daemon's UDP port."""

from __future__ import annotations

import socket

import pytest

from migrated.control.socketfile import ControlError
from migrated.datagrams import DatagramPort


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        number = taken.getsockname()[1]
        port = DatagramPort(number, lambda data, path: None, lambda address: 0)
        with pytest.raises(ControlError) as caught:
            port.open()
    assert str(caught.value).startswith(f"cannot open UDP port {number}: address already in use; is another")
