"""The stage: two hosts with their links, and a daemon on each."""

from __future__ import annotations

import queue
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from migrated.demo.daemon import Daemon, Heard
from migrated.demo.scenario import LINKS, Deed, Step
from migrated.lab import Access, Lab, two_links

FIGURE10 = "figure10.policy"
OWN_POLICY = "demo.policy"

_OWN_POLICY_TEXT = """\
# What Figure 10 leaves open: which connections become sessions, and how soon a better link counts.
monitor-policy {
    on proto tcp adopt
    settle 300ms
}
"""


class Stage:
    """The lab's two-link network with a running daemon on the client and on the server.

    ``heard`` holds what both daemons report, in order of arrival. ``folder`` is where configurations and
    state go; ``log_folder`` gets `client.log` and `server.log`.
    """

    def __init__(self, folder: Path, log_folder: Path, rtt_s: float) -> None:
        self._folder = folder
        self._log_folder = log_folder
        self._rtt_s = rtt_s
        self._stack = ExitStack()
        self._lab = Lab()
        self.heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Build the network and start the daemons.

        Raises:
            LabError: the network cannot be built here.
            StageError: a daemon does not start.
        """
        with self._stack:  # what was begun is ended if something below fails
            self._stack.enter_context(self._lab)
            self.net = two_links(self._lab, names=LINKS, rtt_s=self._rtt_s)
            policies = self._write_policies()
            self.daemons = tuple(
                Daemon(host, self._folder / host.name, self._log_folder / f"{host.name}.log", policies)
                for host in (self.net.client, self.net.server)
            )
            for daemon in self.daemons:
                self._stack.callback(daemon.close)
                daemon.listen(self.heard)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the daemons, then the network with whatever still runs there."""
        self._stack.close()

    def perform(self, step: Step) -> None:
        """Do to a link what a scene says.

        Raises:
            LabError: the kernel refuses.
        """
        match step.deed:
            case Deed.CUT:
                self._link(step.link).cut()
            case Deed.PLUG:
                self._link(step.link).plug()
            case Deed.WITHDRAW:
                self._link(step.link).withdraw()
            case Deed.CONFIGURE:
                self._link(step.link).configure()
            case Deed.APPEAR:
                self.net.add_link(step.link, rtt_s=self._rtt_s)

    def _link(self, name: str) -> Access:
        return next(link for link in self.net.links if link.interface == name)

    def _write_policies(self) -> tuple[Path, ...]:
        folder = self._folder / "policy"
        folder.mkdir()
        figure10, own = folder / FIGURE10, folder / OWN_POLICY
        figure10.write_bytes(files("migrated.demo").joinpath(FIGURE10).read_bytes())
        own.write_text(_OWN_POLICY_TEXT)
        return figure10, own
