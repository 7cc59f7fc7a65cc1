"""The link probe: whether packets reach each peer's daemon through each link, and how long they take.

A link can be up and dead: a captive portal, a black hole behind the access point, a modem without a network.
Nothing but an answer from the other end tells. When to ask, and what follows, is `monitors.probing`'s.

Source: the Migrate paper, section V-E; RFC 6298 for smoothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from monitors.facts import LOSS, OUTAGES, RTT, Fact
from monitors.probing import ANSWER_S, Probe, Prober, Settings
from monitors.settings import read
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings, WatchedPath


class ProbeMonitor:
    """Report loss and round-trip time of each usable path to each peer.

    Args:
        surroundings: know the paths, and probe them.
        settings: how often.
    """

    name = "probe"
    facts: tuple[Fact, ...] = (LOSS, OUTAGES, RTT)

    def __init__(
        self,
        surroundings: Surroundings,
        settings: Settings = Settings(),  # noqa: B008 - frozen
    ) -> None:
        self._surroundings = surroundings
        self._prober = Prober(settings)
        self._watched: tuple[WatchedPath, ...] | None = None

    async def run(self, report: Report) -> None:
        """Report what is known of every path, then every change, until cancelled.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        wake = asyncio.Event()
        self._look()
        tasks = {asyncio.create_task(self._follow(wake))}
        try:
            while True:
                wake.clear()
                now = _now()
                self._look()
                for probe in self._prober.advance(now):
                    task = asyncio.create_task(self._ask(probe, wake))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                for event in self._prober.news(now):
                    report(event)
                await _wait(wake, self._prober.next_deadline())
        finally:
            left = tuple(tasks)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _look(self) -> None:
        watched = self._surroundings.paths()
        if watched is not self._watched:  # the same tuple, mostly
            self._prober.watch(watched, _now())
            self._watched = watched

    async def _follow(self, wake: asyncio.Event) -> None:
        while True:
            await self._surroundings.changed()
            wake.set()

    async def _ask(self, probe: Probe, wake: asyncio.Event) -> None:
        rtt_s = None
        try:
            rtt_s = await self._surroundings.probe(probe.path, ANSWER_S)
        finally:
            if rtt_s is None:
                self._prober.unanswered(probe.number)
            else:
                self._prober.answered(probe.number, rtt_s, _now())
                wake.set()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _wait(wake: asyncio.Event, until: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await wake.wait()


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the probe monitor.

    Raises:
        SettingsError: ``[monitors.probe]`` is not what is expected.
    """
    return (ProbeMonitor(surroundings, read(surroundings.settings("probe"), Settings)),)
