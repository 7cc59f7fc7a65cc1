"""The session daemon: one loop that carries events in, decisions out, and datagrams both ways."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, NoReturn

import click
import msgspec

from engine import Decision
from migrated import hands, log
from migrated.adopt import Adopter
from migrated.applications.refusal import refuse_connection
from migrated.applications.service import Applications
from migrated.config import Configuration, ConfigurationError, load_configuration
from migrated.continuations.reports import ContinuationReports
from migrated.continuations.store import ContinuationStore
from migrated.control.server import ControlError, ControlServer
from migrated.core import Core
from migrated.datagrams import DatagramPort
from migrated.facts import facts_of, monitors_of
from migrated.handoffs import Handoffs
from migrated.journal import Journal
from migrated.kernel.capabilities import why_no_kernel
from migrated.kernel.ptrace import let_late_ones_go
from migrated.kernel.routing import prepare_frozen_route
from migrated.link_news import LinkNews
from migrated.mover import Mover
from migrated.observing import Observations
from migrated.peers import Peer, Peers
from migrated.performing import Performer
from migrated.policies import Outcome, PolicyInForce
from migrated.recording.engine import start_engine
from migrated.reloading import Reloader, tell_refused
from migrated.reports import Reports
from migrated.resources import discover as discover_resources
from migrated.restore import Restorer
from migrated.sessions import SessionTable
from migrated.silence import park_the_distressed, resume_the_heard
from migrated.store import Store, StoreError
from migrated.surroundings import DaemonSurroundings
from migrated.tasks import run_until
from monitors.host import MonitorHost
from policylang import forget_grammar
from sessionlayer.application.messages import SOCKET_NAME
from sessionlayer.protocol.commands import Command
from sessionlayer.protocol.limits import ADDRESSES_MAX
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.values import Path as DatagramPath

_log = logging.getLogger("migrated")

SCAN_S: Final = 0.5
"""Seconds between two looks at the kernel's table of connections."""

HANDSHAKE_AGAIN_S: Final = 3.0
"""Seconds between attempts to reach the daemon of a peer that is silent."""


class Daemon:
    """The daemon of one host.

    Args:
        configuration: what `load_configuration` read.
        no_kernel: why no connection is moved; empty for a daemon that moves them.
    """

    def __init__(self, configuration: Configuration, no_kernel: str = "") -> None:
        self._loop = asyncio.get_running_loop()
        self._configuration, self._no_kernel = configuration, no_kernel
        self._surroundings = DaemonSurroundings(
            settings=configuration.monitors,
            state_folder=configuration.state_folder,
        )
        monitors = monitors_of(configuration, self._surroundings)
        policies = PolicyInForce(partial(facts_of, monitors))
        outcome = policies.take(policies.read(configuration.policy_files()))
        journal = Journal()
        engine, self._recorder = start_engine(
            policies, configuration, recorded=not no_kernel, clock=self._loop.time, journal=journal
        )
        self._core = Core(
            engine=engine,
            sessions=SessionTable(),
            store=Store(configuration.state_folder),
            journal=journal,
            now=self._loop.time,
            perform=self.perform,
            carry_out=self.carry_out,
        )
        if outcome is Outcome.REFUSED:
            tell_refused(self._core, policies)
        stored = self._core.store.sessions()
        self._records = {s.record.session_id: s.record for s in stored}
        self._peers = Peers(
            store=self._core.store,
            port=configuration.control_port,
            trust=configuration.trust.as_policy(),
            pinned=frozenset(configuration.pinned_keys),
            records=self._records_of,
            addresses=self._own_addresses,
            on_associated=self._on_associated,
        )
        self._mover = Mover(self._core)
        self._handoffs = Handoffs(self._core, self._mover)
        self._restorer = Restorer(self._core, self._peers, stored)
        self._adopter = Adopter(self._core, self._peers, self._restorer, lambda: policies.remote_hosts)
        self._reloader = Reloader(self._core, policies, configuration, self._adopter.judge_anew)
        continuations = ContinuationStore(configuration.state_folder, self._peers.host_key)
        self._applications = Applications(
            self._core,
            configuration.runtime_folder / SOCKET_NAME,
            self._adopter.want if not no_kernel else partial(refuse_connection, no_kernel),
            expected=self._restorer.expects,
            store=continuations,
            resources=discover_resources(plugins=configuration.plugins),
            health_changed=self._surroundings.touched,
        )
        self._core.programs = self._applications
        self._surroundings.begin(self._core, self._peers, self._applications.keep_alives.all)
        self._datagrams = DatagramPort(configuration.control_port, self._on_datagram, self._interface_of)
        self._performer = Performer(
            core=self._core,
            datagrams=self._datagrams,
            adopter=self._adopter,
            handoffs=self._handoffs,
            mover=self._mover,
            applications=self._applications,
            surroundings=self._surroundings,
        )
        self._host = MonitorHost(monitors, clock=self._loop.time)
        reports = Reports(
            self._core,
            self._peers,
            policies,
            control_port=0 if no_kernel else configuration.control_port,
            no_kernel=no_kernel,
            observations=Observations(self._core, self._host, facts_of(monitors)),
            continuations=ContinuationReports(continuations, self._applications.expire),
        )
        self._control = ControlServer(configuration.socket, reports)
        self._timer: asyncio.TimerHandle | None = None
        self._news = LinkNews(self._core.journal)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Connections stay as they are, frozen or live, when this ends.

        Raises:
            ControlError: the control port or the control socket can't be had.
            OSError: nobody can be listened to at the control port.
        """
        if not self._no_kernel:
            await prepare_frozen_route()
            self._datagrams.open()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reloader.reload)
        await self._control.start()
        self._applications.start(self._restorer.waiting, guarded=not self._no_kernel)
        await (self._keep(stop) if self._no_kernel else self._serve(stop))
        await self._applications.stop()
        self._applications.close()
        await self._control.close()
        self._core.journal.tell("stopped", sessions=len(self._core.sessions))

    async def _serve(self, stop: asyncio.Event) -> None:
        """Move connections until the daemon is to stop."""
        self._datagrams.start()
        listeners = await asyncio.start_server(
            self._peers.accept, port=self._configuration.control_port, reuse_address=True
        )
        async with self._host, listeners:
            self._core.journal.tell("started", control_port=self._configuration.control_port)
            await run_until(
                stop,
                self._watch_the_world(),
                self._watch_connections(),
                self._adopter.follow_names(),
                self._reloader.run(),
                *([self._recorder.run()] if self._recorder else []),
            )
        if self._recorder is not None:
            await self._recorder.close()
        self._datagrams.close()

    async def _keep(self, stop: asyncio.Event) -> None:
        """Keep what programs on virtual streams give up, and nothing else, until the daemon is to stop."""
        self._core.journal.tell("started", no_kernel=self._no_kernel)
        await run_until(stop, self._watch_programs(), self._reloader.run())

    # Events in, decisions out.

    async def _watch_the_world(self) -> None:
        async for events in self._host:
            now = self._loop.time()
            for event in events:
                self._news.take_in(event)
                self.carry_out(self._core.engine.handle(event, now))
            addresses = self._own_addresses()
            for peer in self._peers:
                peer.association.set_addresses(addresses)
            self._surroundings.look(self._core.engine.points())

    async def _watch_connections(self) -> None:
        turn = counted = 0
        while True:
            self._adopter.scan()
            version = self._core.sessions.version
            hands.keep_count(self._core.sessions, self._loop.time(), changed=version != counted)
            counted = version
            let_late_ones_go()
            self._mover.check_unanswered()
            self._handoffs.ask_again()
            self._applications.check()
            resume_the_heard(self._core)
            park_the_distressed(self._core)
            if turn % round(HANDSHAKE_AGAIN_S / SCAN_S) == 0:
                self._restorer.reassociate_silent()
                self._peers.forget_idle(self._core.sessions.peer_keys())
            turn += 1
            self._schedule()
            await asyncio.sleep(SCAN_S)

    async def _watch_programs(self) -> None:
        while True:
            self._applications.check()
            await asyncio.sleep(SCAN_S)

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Carry out what the engine decided."""
        self._mover.carry_out(decisions)
        self._schedule()

    def _schedule(self) -> None:
        """Set the one timer to the next thing that is due, and have monitors told of what was done."""
        self._surroundings.look()
        deadlines = [peer.association.next_deadline() for peer in self._peers]
        if (due := self._core.engine.next_deadline()) is not None:
            deadlines.append(due)
        at = min(deadlines, default=None)
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        for peer in self._peers:
            if peer.association.next_deadline() <= now:
                self.perform(peer, peer.association.handle_timer(now))
        self.carry_out(self._core.engine.handle_timer(now))

    # Datagrams in, commands out.

    def _on_datagram(self, data: bytes, path: DatagramPath) -> None:
        peer = self._peers.of_datagram(data)
        if peer is None:
            return
        self.perform(peer, peer.association.receive(data, path, self._loop.time()))
        self._handoffs.settle_held(peer)

    def perform(self, peer: Peer, commands: Sequence[Command]) -> None:
        """Carry out what an association asks for, in order."""
        self._performer.perform(peer, commands)
        self._schedule()

    # Associations.

    def _records_of(self, key: bytes) -> tuple[SessionRecord, ...]:
        return tuple(record for record in self._records.values() if record.peer_key == key)

    def _on_associated(self, peer: Peer) -> None:
        self._core.journal.tell("associated", peer=peer.name, key=peer.fingerprint)
        for session in self._core.sessions:
            if session.peer_key == peer.key and session.peer is None:
                session.peer = peer
                if session.frozen:
                    self._core.engine.session_suspended(session.name, self._loop.time())
        peer.association.set_addresses(self._own_addresses())
        self._schedule()

    def _own_addresses(self) -> tuple[str, ...]:
        return tuple(point.address for point in self._core.engine.points())[:ADDRESSES_MAX]

    def _interface_of(self, address: str) -> int:
        point = self._core.point_of(address)
        return point.index if point else 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    envvar="MIGRATE_CONFIG",
    help="The configuration file. Without it the default one is read, if there is one.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least important events that are logged.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="One line per event, for people or as a JSON object.",
)
@click.option(
    "--without-kernel",
    is_flag=True,
    help="Move no connections, which needs no capabilities: keep continuations of virtual streams.",
)
@click.option(
    "--no-plugins",
    is_flag=True,
    help="Load nothing that others wrote: built-in monitors alone, to find out whether a plugin is at fault.",
)
@click.version_option(package_name="migrate-sessions")
def main(
    config: Path | None,
    log_level: str,
    log_format: Literal["text", "json"],
    *,
    without_kernel: bool,
    no_plugins: bool,
) -> None:
    """Run the session daemon in the foreground, logging to standard error.

    It ends at SIGTERM or SIGINT. A policy that is saved takes effect by itself; at SIGHUP all of it is read
    again. Connections are never disturbed by the daemon's end.

    \b
    Examples:
      migrated
      migrated --config ./migrated.toml --log-level debug
    """  # noqa: D301
    log.configure(log_level.upper(), log_format)
    logging.getLogger("pyroute2").setLevel(logging.WARNING)  # it tells every message, at length
    try:
        configuration = load_configuration(config)
        if no_plugins:
            configuration = msgspec.structs.replace(configuration, plugins=False)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a frozen session costs a few descriptors
        asyncio.run(_run(configuration, why_no_kernel(wanted=not without_kernel)))
    except (ConfigurationError, ControlError, StoreError, PermissionError, OSError) as error:
        _log.error("%s", error)
        _leave(2)
    _leave(0)


def _leave(status: int) -> NoReturn:
    """End the process now. It would wait for threads that plugins have begun, however long they last."""
    logging.shutdown()
    os._exit(status)


async def _run(configuration: Configuration, no_kernel: str) -> None:
    daemon = Daemon(configuration, no_kernel)
    forget_grammar()
    gc.collect()
    gc.freeze()  # modules and what was made of them stay: no need to look for garbage among them
    await daemon.run()
