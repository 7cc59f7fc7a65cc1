"""Hot reload: a policy that is saved is in force a moment later, and one with a mistake never is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from migrated.config import Configuration
from migrated.core import Core
from migrated.policies import Outcome, PolicyInForce, Reading
from migrated.watching import Watcher

SUPERSEDED_S: Final = 1.0
"""Most seconds that files which change while they are read can put a policy off."""


class Reloader:
    """Puts the policy in force that the files hold.

    Reading, checking and compiling is done in a thread, so that decisions are made meanwhile; the swap is one
    step on the loop.

    Args:
        core: the engine whose policy it is, and the journal.
        policies: what is in force.
        configuration: names the files.
        judge_anew: called after a swap, for what another policy may decide otherwise.
    """

    def __init__(
        self,
        core: Core,
        policies: PolicyInForce,
        configuration: Configuration,
        judge_anew: Callable[[], None],
    ) -> None:
        self._core, self._policies = core, policies
        self._configuration, self._judge_anew = configuration, judge_anew
        self._watcher = Watcher(self._patterns, self._changed)
        self._forced = False
        self._put_off_since: float | None = None

    def reload(self) -> None:
        """Read the files soon and take what they say for new, even if it is what they said before."""
        self._forced = True
        self._watcher.look()

    async def run(self) -> None:
        """Follow the files until cancelled."""
        await self._watcher.run()

    def _patterns(self) -> frozenset[str]:
        return self._policies.patterns.union(self._configuration.policy_patterns)

    async def _changed(self) -> None:
        """Read the files and put what they say in force, unless they have changed meanwhile."""
        reading = await asyncio.to_thread(self._read)
        if self._is_superseded():
            return  # and comes again
        forced, self._forced = self._forced, False
        self._put_off_since = None
        self._take(reading, forced=forced)

    def _read(self) -> Reading:
        return self._policies.read(self._configuration.policy_files())

    def _is_superseded(self) -> bool:
        if not self._watcher.pending:
            return False
        now = self._core.now()
        if self._put_off_since is None:
            self._put_off_since = now
        return now - self._put_off_since < SUPERSEDED_S

    def _take(self, reading: Reading, *, forced: bool) -> None:
        match self._policies.take(reading, forced=forced):
            case Outcome.REFUSED:
                tell_refused(self._core, self._policies)
            case Outcome.RESTORED:
                self._core.journal.tell("policy-restored", generation=self._policies.generation)
            case Outcome.LOADED:
                self._swap()
            case Outcome.UNCHANGED:
                pass

    def _swap(self) -> None:
        decisions = self._core.engine.replace_policy(self._policies.policy, self._core.now())
        self._core.journal.tell("policy-loaded", generation=self._policies.generation)
        self._judge_anew()
        self._core.carry_out(decisions)


def tell_refused(core: Core, policies: PolicyInForce) -> None:
    """Tell that the files have a mistake, and what is in force in their place."""
    core.journal.tell(
        "policy-refused",
        level=logging.ERROR,
        reason=policies.last_error,
        in_force=[source.file for source in policies.sources],
    )
