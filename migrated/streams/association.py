"""The one association, with a gateway, that all connections of `migrate forward` share.

A connection waits for an association that is suspended: it goes on by itself. Where there is none any more it
is made anew for whoever waits, and nobody waits for long: a program that is told soon can say so to its user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from migrated.streams.choosing import first_that_answers
from migrated.streams.client import Gateway, Say, tell_outages
from migrated.streams.outcomes import Outcome, StreamProgramError
from sessionlayer.aio import StreamSession

PATIENCE_S: Final = 10.0
"""Seconds that a connection waits for a gateway with which there is no association."""

RETRY_FIRST_S: Final = 1.0
"""Seconds after a failed attempt while somebody waits; doubles with each."""


class Association:
    """The session with a gateway, made anew when it is over and somebody needs it.

    Args:
        gateways: of which the first that answers is used, each time anew; at least one.
        say: how to tell the user.
    """

    def __init__(self, gateways: Sequence[Gateway], say: Say) -> None:
        self._gateways = gateways
        self._places = " or ".join(str(gateway.place) for gateway in gateways)
        self.gateway = gateways[0]
        self._say = say
        self._session: StreamSession | None = None
        self._lock = asyncio.Lock()
        self._trouble = ""

    def retry_now(self) -> None:
        """Say that the network may be back."""
        if self._session is not None:
            self._session.retry_now()

    async def begin(self) -> None:
        """Make the first session.

        Raises:
            StreamProgramError: the gateway does not answer, or one of the two does not trust the other.
        """
        self._session = await self._made()

    async def session(self) -> StreamSession:
        """Return the session, which may be suspended; wait for a new one where it is over.

        Raises:
            StreamProgramError: the gateway can't be reached within `PATIENCE_S`, or refuses.
        """
        try:
            async with asyncio.timeout(PATIENCE_S), self._lock:
                return await self._lasting()
        except TimeoutError as error:
            reason = f"cannot reach the gateway {self._places} within {PATIENCE_S:.0f} s"
            raise StreamProgramError(reason, Outcome.UNREACHABLE) from error

    async def close(self) -> None:
        """Close the session, after what was written has arrived."""
        if self._session is not None:
            await self._session.close()

    async def _lasting(self) -> StreamSession:
        wait_s = RETRY_FIRST_S
        while self._session is None or self._session.state == "closed":
            try:
                self._session = await self._made()
            except StreamProgramError as error:
                self._tell(str(error))
                if error.outcome is not Outcome.UNREACHABLE:  # it won't be another one in a few seconds
                    reason = f"there is no association with the gateway {self._places}"
                    raise StreamProgramError(reason, error.outcome) from error
                await asyncio.sleep(wait_s)
                wait_s *= 2
        return self._session

    async def _made(self) -> StreamSession:
        self.gateway, session = await first_that_answers(self._gateways, self._say)
        tell_outages(session, self._say)
        if self._trouble:
            self._say(f"the gateway {self.gateway.place} answers again")
            self._trouble = ""
        return session

    def _tell(self, trouble: str) -> None:
        """Say once what is wrong, and again when something else is."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(f"{trouble} (tried again for connections that need it)")
