from __future__ import annotations

import asyncio

import pytest

from migrated.lab import Lab, is_privileged
from migrated.streams.network import network_changes


@pytest.mark.netns
@pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")
@pytest.mark.parametrize(
    "change", ["link set lo mtu 1400", "address add 10.9.0.1/24 dev lo", "route add 10.8.0.0/24 dev lo"]
)
def test_a_change_of_the_network_is_heard(change: str) -> None:
    async def listen() -> None:
        heard = asyncio.Event()
        with network_changes(heard.set):
            ip = await asyncio.create_subprocess_exec("ip", *change.split())
            assert await ip.wait() == 0
            await asyncio.wait_for(heard.wait(), 60)

    with Lab() as lab:
        lab.host("h").call(lambda: asyncio.run(listen()))
