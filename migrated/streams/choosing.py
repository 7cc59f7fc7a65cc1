"""Which of several gateways to use: the first that answers, in the order in which they are given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from migrated.streams.client import CLOSE_S, Gateway, Say, associate
from migrated.streams.outcomes import Outcome, StreamProgramError
from sessionlayer.aio import StreamSession

CANDIDATE_S: Final = 4.0
"""Seconds that a gateway has for its answer while there is another one to try."""


async def first_that_answers(
    gateways: Sequence[Gateway], say: Say, *, close_s: float = CLOSE_S
) -> tuple[Gateway, StreamSession]:
    """Make an association with the first gateway that answers, and return which it is.

    One that answers and whose key is not trusted, or that does not trust ours, ends the search: another one
    would hide that something is wrong.

    Args:
        gateways: at least one, the best first.
        say: how to tell the user.
        close_s: how long closing the association waits, at most, until the gateway has everything.

    Raises:
        StreamProgramError: none answers, or one of the two does not trust the other.
    """
    for gateway, following in zip_longest(gateways, gateways[1:]):
        try:
            session = await _attempt(gateway, say, close_s, None if following is None else CANDIDATE_S)
        except StreamProgramError as error:
            if error.outcome is not Outcome.UNREACHABLE or len(gateways) == 1:
                raise
            if following is None:
                message = f"{error}; none of the {len(gateways)} gateways answers"
                raise StreamProgramError(message, error.outcome) from error
            say(f"{error}; trying {following.place}")
        else:
            if gateway is not gateways[0]:
                say(f"going through the gateway {gateway.place}")
            return gateway, session
    raise AssertionError("there is at least one gateway")


async def _attempt(gateway: Gateway, say: Say, close_s: float, limit_s: float | None) -> StreamSession:
    try:
        async with asyncio.timeout(limit_s):
            return await associate(gateway, say, close_s=close_s)
    except TimeoutError as error:
        message = f"cannot reach the gateway {gateway.place} within {limit_s:g} s"
        raise StreamProgramError(message, Outcome.UNREACHABLE) from error
