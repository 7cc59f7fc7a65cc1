"""When continuations that are asked for lazily are needed: descriptors run short, or the daemon stops.

A suspended session whose program keeps its connection costs the daemon a descriptor, and what the program
knows is nowhere on disk. Both are spared programs for as long as that does no harm.

Source: the Migrate paper, section IV-B: continuations are generated eagerly, or lazily when they are needed.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from typing import Final

from migrated.applications.attachments import Attachment, Attachments, Phase
from migrated.core import Core
from migrated.sessions import Condition, ManagedSession

SHORT_SHARE: Final = 0.75
"""Part of the descriptors that the daemon may have; with more of them open they run short."""

STOP_S: Final = 2.0
"""Seconds that a daemon which stops waits for the answers of programs."""

_LOOK_AGAIN_S: Final = 0.02


class Demands:
    """Demands the continuations of sessions whose programs were spared so far.

    Args:
        core: what the daemon's parts share.
        attachments: who was spared.
        demand: asks a program for its continuation.
    """

    def __init__(
        self, core: Core, attachments: Attachments, demand: Callable[[ManagedSession, Attachment], None]
    ) -> None:
        self._core = core
        self._attachments = attachments
        self._demand = demand

    def check(self) -> None:
        """Demand all that can be had if descriptors run short."""
        spared = self._spared()
        if spared and _is_short():
            self._core.journal.tell("descriptors-short", demanded=len(spared))
            self._demand_all(spared)

    async def finish(self) -> None:
        """Demand all that can be had, and wait a while for the answers."""
        self._demand_all(self._spared())
        deadline = self._core.now() + STOP_S
        while self._asked() and self._core.now() < deadline:  # noqa: ASYNC110 - the answers of many, for moments
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _demand_all(self, spared: list[tuple[ManagedSession, Attachment]]) -> None:
        for session, attachment in spared:
            self._demand(session, attachment)

    def _spared(self) -> list[tuple[ManagedSession, Attachment]]:
        found = [
            (self._core.sessions.of_id(session_id), attachment)
            for session_id, attachment in self._attachments
            if attachment.phase in (Phase.SPARED, Phase.UNHEARD) and attachment.listens
        ]
        return [
            (session, attachment)
            for session, attachment in found
            if session is not None and session.condition is Condition.SUSPENDED
        ]

    def _asked(self) -> bool:
        return any(attachment.phase is Phase.ASKED for _, attachment in self._attachments)


def _is_short() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return len(os.listdir("/proc/self/fd")) > SHORT_SHARE * limit  # noqa: PTH208 - many, and only counted
