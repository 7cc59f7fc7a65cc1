"""How bytes get to an asyncio protocol, for those who carry them."""

from __future__ import annotations

import asyncio


def hand_out(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Give a protocol of either kind bytes that have arrived.

    Raises:
        RuntimeError: its ``get_buffer`` returned an empty buffer.
    """
    if isinstance(protocol, asyncio.Protocol):
        protocol.data_received(data)
    elif isinstance(protocol, asyncio.BufferedProtocol):
        _fill(protocol, memoryview(data))


def _fill(protocol: asyncio.BufferedProtocol, data: memoryview) -> None:
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        count = min(len(buffer), len(data))
        if not count:
            raise RuntimeError("`get_buffer` returned an empty buffer")
        buffer[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]
