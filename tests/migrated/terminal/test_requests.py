from __future__ import annotations

import msgspec
import pytest

from migrated.terminal.requests import (
    PROTOCOL,
    Answer,
    Done,
    Kill,
    List,
    Open,
    Ready,
    Refused,
    Request,
    RequestError,
    TerminalList,
    TerminalReport,
    decode_answer,
    decode_request,
    encode,
)

KEY = bytes(range(32))
REPORT = TerminalReport(name="otter", program="/bin/sh", pid=7, state="ended", since=1.5, status=3)
REQUESTS: tuple[Request, ...] = (
    Open(
        client_key=KEY, name="otter", attach=True, command="make", environment={"TERM": "xterm"}, expire_s=9.0
    ),
    List(),
    Kill(name="otter"),
)
ANSWERS: tuple[Answer, ...] = (
    Ready(name="otter", port=6450, key=KEY, addresses=("18.31.0.9",), waiting=("wren",)),
    TerminalList(terminals=(REPORT,)),
    Done(),
    Refused(reason="no"),
)


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests_come_through(request_: Request) -> None:
    assert decode_request(encode(request_)) == request_


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_come_through(answer: Answer) -> None:
    assert decode_answer(encode(answer)) == answer


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"type": "open"}', b'{"type": "sing", "protocol": 1}', b"\xff"]
)
def test_what_is_no_request(line: bytes) -> None:
    with pytest.raises(RequestError, match="release"):
        decode_request(line)


def test_another_version_is_named_before_anything_else() -> None:
    line = msgspec.json.encode({"type": "brandish", "protocol": PROTOCOL + 1})
    with pytest.raises(RequestError, match=f"version {PROTOCOL + 1}.*{PROTOCOL}; install the same release"):
        decode_request(line)


def test_what_is_no_answer() -> None:
    with pytest.raises(RequestError, match="can't be read"):
        decode_answer(b'{"type": "list"}')
