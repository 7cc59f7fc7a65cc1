"""Two daemons that have shaken hands, for tests that start after that."""

from __future__ import annotations

import random

from sessionlayer.protocol.handshake import Established, Handshake
from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.messages import Hello, pack_address
from sessionlayer.protocol.values import Connection, Role

UDP_PORT = 7000


def shake_hands(
    rng: random.Random, keys: tuple[HostKey, HostKey], homes: tuple[str, str]
) -> tuple[Established, Established]:
    """Return what a handshake leaves to its initiator and to its responder."""
    sides = [
        Handshake(
            initiator=number == 0,
            host_key=key,
            hello=Hello(index=rng.randbytes(8), port=UDP_PORT, addresses=(pack_address(home),)),
            judge=lambda _key: None,
            entropy=rng.randbytes,
            now=0.0,
        )
        for number, (key, home) in enumerate(zip(keys, homes, strict=True))
    ]
    initiator, responder = sides
    to_responder = initiator.start()
    while to_responder:
        to_initiator = responder.receive(to_responder, 0.0)
        to_responder = initiator.receive(to_initiator, 0.0)
    assert initiator.established is not None
    assert responder.established is not None
    return initiator.established, responder.established


def host_keys(rng: random.Random) -> tuple[HostKey, HostKey]:
    return HostKey.generate(rng.randbytes), HostKey.generate(rng.randbytes)


def mirrored(connection: Connection) -> Connection:
    """Return the same connection as the peer sees it."""
    return Connection(
        local_address=connection.remote_address,
        local_port=connection.remote_port,
        remote_address=connection.local_address,
        remote_port=connection.local_port,
        role=Role.SERVER if connection.role is Role.CLIENT else Role.CLIENT,
    )
