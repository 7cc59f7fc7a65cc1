from __future__ import annotations

import pytest

from migrated.continuations.collection import Farewell, farewell
from sessionlayer.continuations.values import Continuation
from tests.sessionlayer.continuations.samples import PROCESS


@pytest.mark.parametrize(
    ("continuation", "expected"),
    [
        (None, Farewell.TELL),
        (Continuation(), Farewell.TELL),
        (Continuation(on_expiry=True), Farewell.TELL),
        (Continuation(function="go_on"), Farewell.TELL),
        (Continuation(function="go_on", on_expiry=True), Farewell.INVOKE),
        (Continuation(process=PROCESS), Farewell.TELL),
        (Continuation(process=PROCESS, on_expiry=True), Farewell.START),
    ],
)
def test_a_program_chooses_how_it_is_told(continuation: Continuation | None, expected: Farewell) -> None:
    assert farewell(continuation) is expected
