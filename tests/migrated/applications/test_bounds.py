"""What programs may make the daemon say, keep and wait for has bounds."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from migrated.applications.attachments import Attachments, Phase
from migrated.applications.client import Client
from migrated.applications.handlers import REASON_MAX, REASONS_MAX, Handlers
from migrated.applications.holding import Holding
from migrated.applications.refusal import RefusedError
from migrated.applications.takers import Takers
from migrated.continuations.vectors import StoredVectors
from migrated.control.permission import OVERFLOW_UID, Credentials
from migrated.sessions import Condition
from sessionlayer.application.messages import GetSession, HandlerFailed, decode_request, encode
from sessionlayer.continuations.values import Kind

SESSION = bytes(16)


def client_of(uid: int) -> Client:
    return cast("Client", SimpleNamespace(who=Credentials(pid=1, uid=uid, gid=uid), open=True))


def turn(session: Any, condition: Condition, because: tuple[str, ...]) -> None:
    session.condition, session.because = condition, because


def test_a_handler_that_fails_again_and_again_is_told_of_in_bounds() -> None:
    session = SimpleNamespace(
        session_id=SESSION,
        uid=1000,
        short="s",
        program="p",
        condition=Condition.SUSPENDED,
        because=("no link",),
    )
    told: list[str] = []
    core = cast(
        "Any",
        SimpleNamespace(
            sessions=SimpleNamespace(of_id=lambda _: session),
            journal=SimpleNamespace(tell=lambda *_, reason, **__: told.append(reason)),
            turn=turn,
        ),
    )
    attachments, client = Attachments(), client_of(1000)
    attachments.register(SESSION, client, lazy=False).phase = Phase.ASKED
    handlers = Handlers(core, attachments)
    for number in range(3 * REASONS_MAX):
        for _ in range(2):
            failure = HandlerFailed(session=SESSION, reason=f"{number}" + "x" * 60_000)
            handlers.failed(client, failure)
    assert len(told) == 3 * REASONS_MAX  # each failure once
    assert len(session.because) == REASONS_MAX
    assert session.because[0] == "no link"
    assert "23x" in session.because[-1]
    assert max(map(len, session.because)) < REASON_MAX + 100


@pytest.mark.parametrize("wait_s", [math.nan, -1.0])
def test_what_is_no_time_to_wait_is_no_request(wait_s: float) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_request(encode(GetSession(number=1, wait_s=wait_s)))


def holding_of(uid: int) -> Holding:
    return Holding(session_id=SESSION, uid=uid, kind=Kind.INTERNAL, program="p", make=lambda _: True)


def test_sessions_are_taken_up_by_their_own_user_alone() -> None:
    takers = Takers(cast("StoredVectors", None))
    for uid in (1001, OVERFLOW_UID):
        takers.register(client_of(uid), "p")
    assert takers.taker(holding_of(1000)) is None
    assert takers.taker(holding_of(OVERFLOW_UID)) is None  # two users that are not mapped look the same
    takers.register(client_of(1000), "another")
    assert takers.taker(holding_of(1000)) is None
    takers.register(own := client_of(1000), "p")
    assert takers.taker(holding_of(1000)) is own


def test_the_name_of_an_attach_handlers_program_is_short() -> None:
    with pytest.raises(RefusedError, match="at most 255"):
        Takers(cast("StoredVectors", None)).register(client_of(1000), "x" * 256)
