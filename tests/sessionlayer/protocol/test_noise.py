"""The public vector of the pattern, byte by byte, and every way to spoil a handshake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.noise import NoiseXX

VECTOR_FILE = Path(__file__).parent / "data" / "noise_xx_25519_chachapoly_sha256.json"


def vector() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTOR_FILE.read_text())
    return loaded


def side(prefix: str) -> NoiseXX:
    values = vector()
    return NoiseXX(
        initiator=prefix == "init",
        host_key=HostKey.from_private(bytes.fromhex(values[f"{prefix}_static"])),
        entropy=lambda _length: bytes.fromhex(values[f"{prefix}_ephemeral"]),
        prologue=bytes.fromhex(values[f"{prefix}_prologue"]),
    )


def test_the_public_vector_is_reproduced_byte_by_byte() -> None:
    initiator, responder = side("init"), side("resp")
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector()["messages"]]
    for number, (payload, ciphertext) in enumerate(messages[:3]):
        writer, reader = (initiator, responder) if number % 2 == 0 else (responder, initiator)
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
    ours, theirs = initiator.finish(), responder.finish()
    assert ours.handshake_hash == theirs.handshake_hash == bytes.fromhex(vector()["handshake_hash"])
    for number, (payload, ciphertext) in enumerate(messages[3:]):
        sender, receiver = (theirs, ours) if number % 2 == 0 else (ours, theirs)
        assert sender.send.encrypt(b"", payload) == ciphertext
        assert receiver.receive.decrypt(b"", ciphertext) == payload


def test_each_side_learns_the_static_key_of_the_other() -> None:
    initiator, responder = side("init"), side("resp")
    responder.read_message(initiator.write_message(b""))
    initiator.read_message(responder.write_message(b""))
    responder.read_message(initiator.write_message(b""))
    assert initiator.peer_static == HostKey.from_private(bytes.fromhex(vector()["resp_static"])).public_bytes
    assert responder.peer_static == HostKey.from_private(bytes.fromhex(vector()["init_static"])).public_bytes


@pytest.mark.parametrize("number", [1, 2])
def test_every_changed_byte_of_a_sealed_message_is_noticed(number: int) -> None:
    message = bytes.fromhex(vector()["messages"][number]["ciphertext"])
    for position in range(len(message)):
        spoilt = bytearray(message)
        spoilt[position] ^= 0x40
        reader = reader_before(number)
        with pytest.raises(RemoteProtocolError):
            reader.read_message(bytes(spoilt))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_message_cut_anywhere_is_refused(number: int) -> None:
    message = bytes.fromhex(vector()["messages"][number]["ciphertext"])
    for length in range(32 if number == 0 else len(message)):
        with pytest.raises(RemoteProtocolError):
            reader_before(number).read_message(message[:length])


def reader_before(number: int) -> NoiseXX:
    """Return the side that reads message ``number``, with everything before it done."""
    reads_first = number % 2 == 0
    reader = side("resp" if reads_first else "init")
    for index, message in enumerate(vector()["messages"][:number]):
        if (index % 2 == 0) == reads_first:
            reader.read_message(bytes.fromhex(message["ciphertext"]))
        else:
            reader.write_message(bytes.fromhex(message["payload"]))
    return reader


def test_a_key_of_low_order_is_refused() -> None:
    responder = side("resp")
    responder.read_message(bytes(32))
    with pytest.raises(RemoteProtocolError, match="low order"):
        responder.write_message(b"")


def test_another_prologue_fails_the_handshake() -> None:
    initiator = side("init")
    responder = NoiseXX(
        initiator=False,
        host_key=HostKey.from_private(bytes(range(32))),
        entropy=lambda length: bytes(range(1, length + 1)),
        prologue=b"another version",
    )
    responder.read_message(initiator.write_message(b""))
    with pytest.raises(RemoteProtocolError):
        initiator.read_message(responder.write_message(b""))


def test_speaking_out_of_turn_is_our_own_fault() -> None:
    initiator = side("init")
    with pytest.raises(LocalProtocolError, match="out of turn"):
        initiator.read_message(b"")
    initiator.write_message(b"")
    with pytest.raises(LocalProtocolError, match="out of turn"):
        initiator.write_message(b"")
    with pytest.raises(LocalProtocolError, match="not over"):
        initiator.finish()
