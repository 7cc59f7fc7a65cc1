from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from migrated.streams.addresses import Endpoint
from migrated.streams.dial import DialError, dial
from migrated.streams.rules import Rules, read_rule

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


class Resolver:
    """Answers in place of the system's, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: tuple[str, ...]) -> None:
        self.names = names
        self.asked: list[str] = []
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", self._answer)

    async def _answer(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host[0].isdigit():
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.names[host]]


def rules(*patterns: str) -> Rules:
    return tuple(map(read_rule, patterns))


def reached(host: str, allowed: str, *, listen: str = HERE) -> str:
    """Return the address that a connection to a host goes to, the port being the only one that listens."""

    async def run(port: int) -> str:
        _, writer = await dial(Endpoint(host, port), rules(allowed.replace("PORT", str(port))))
        address: str = writer.get_extra_info("peername")[0]
        writer.close()
        await writer.wait_closed()
        return address

    with socket.create_server((listen, 0)) as listener:
        return asyncio.run(run(listener.getsockname()[1]))


def test_a_name_is_judged_by_where_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, inside=(HERE,), outside=(ELSEWHERE,))
    assert reached("inside", "127.0.0.1/32:PORT") == HERE
    with pytest.raises(DialError, match=r"`outside:.*` is not among the destinations"):
        reached("outside", "127.0.0.1/32:PORT")


def test_a_name_in_a_rule_stands_for_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, inside=(HERE,), alias=(HERE,))
    assert reached("alias", "inside:PORT") == HERE
    assert reached(HERE, "inside:PORT") == HERE
    with pytest.raises(DialError, match="is not among"):
        reached(ELSEWHERE, "inside:PORT")


def test_only_the_allowed_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, both=(ELSEWHERE, HERE))
    assert reached("both", "127.0.0.1:PORT", listen="0.0.0.0") == HERE
    assert reached("both", "127.0.0.0/8:PORT", listen="0.0.0.0") == ELSEWHERE


def test_the_next_address_is_tried_if_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch, both=(ELSEWHERE, HERE))
    assert reached("both", "both:PORT") == HERE


def test_a_name_is_resolved_once_and_what_was_checked_is_what_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(monkeypatch, inside=(HERE,))
    reached("inside", "inside:PORT")
    assert resolver.asked.count("inside") == 1


def test_a_name_in_a_rule_without_an_address_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch)
    with pytest.raises(DialError, match="is not among"):
        reached(HERE, "nowhere:PORT")


def test_a_name_without_an_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch)
    with pytest.raises(DialError, match="cannot resolve `nowhere`: name or service not known"):
        reached("nowhere", "*:PORT")


def test_a_destination_that_gives_no_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(asyncio, "open_connection", never)
    with pytest.raises(DialError, match=r"`127\.0\.0\.1:.*`: no answer"):
        reached(HERE, "127.0.0.1:PORT")
