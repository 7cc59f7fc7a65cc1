"""A host: a network namespace with programs, addresses and routes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from ipaddress import ip_interface
from pathlib import Path
from typing import IO, Any, TypeVar

from migrated.lab.errors import LabError, require
from migrated.lab.namespace import Namespace

T = TypeVar("T")


class Host:
    """One host of a lab. ``Lab.host`` makes it; the lab ends it and all its programs."""

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name = name
        self.namespace = namespace
        self._programs: list[subprocess.Popen[Any]] = []

    def call(self, function: Callable[[], T]) -> T:
        """Call a function inside the host and return its result; see ``Namespace.call``.

        Raises:
            OSError: the namespace cannot be entered.
            Exception: whatever the function raises.
        """
        return self.namespace.call(function)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401
        """Start a program on the host; ``options`` are those of ``subprocess.Popen``.

        The lab kills it at the end if it still runs, and its descendants too.

        Raises:
            OSError: the program is not there or no process can be made.
        """
        program = self.call(lambda: subprocess.Popen(argv, **options))
        self._programs.append(program)
        return program

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """Run a program on the host to its end; ``options`` are those of ``subprocess.run``.

        Unless told otherwise, output is captured as text and a failure does not raise.

        Raises:
            OSError: the program is not there or no process can be made.
            subprocess.CalledProcessError: with ``check=True``, it failed.
            subprocess.TimeoutExpired: with ``timeout``, it took longer.
        """
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "check": False}
        return self.call(lambda: subprocess.run(argv, **(defaults | options)))  # noqa: PLW1510 - in `defaults`

    def ip(self, *lines: str) -> None:
        """Carry out lines of ``ip`` commands (without the word ``ip``), all in one process.

        Raises:
            LabError: `ip` is missing or refuses a line; lines before it have been carried out.
        """
        done = self.run([require("ip"), "-batch", "-"], input="".join(f"{line}\n" for line in lines))
        if done.returncode != 0:
            raise LabError(f"host `{self.name}`: `ip` refused: {self._refused(lines, done.stderr)}")

    @staticmethod
    def _refused(lines: Sequence[str], complaint: str) -> str:
        """Put the line meant before the complaint of ``ip -batch``: it ends in ``Command failed -:LINE``."""
        reason, _, number = complaint.strip().rpartition("Command failed -:")
        line = f"`{lines[int(number) - 1]}`: " if number.isdigit() else ""
        return line + (reason.strip() or complaint.strip())

    def show(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what ``ip -json ARGUMENTS`` prints, such as ``show("link")`` or ``show("-6", "route")``.

        Raises:
            LabError: `ip` is missing or refuses the arguments.
        """
        done = self.run([require("ip"), "-json", *arguments])
        if done.returncode != 0:
            raise LabError(f"host `{self.name}`: `ip {' '.join(arguments)}`: {done.stderr.strip()}")
        rows: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        return rows

    def carrier(self, interface: str) -> bool:
        """Return whether the interface has a carrier: a cable with something alive at the other end.

        Raises:
            LabError: there is no such interface.
        """
        return "LOWER_UP" in self.show("link", "show", "dev", interface)[0]["flags"]

    def address_add(self, interface: str, address: str, *, label: str | None = None) -> None:
        """Add an address with its prefix length, usable at once.

        Args:
            interface: an interface of this host.
            address: such as ``10.1.0.2/24`` or ``fd01::2/64``.
            label: the IPv4 address's label, such as ``eth0:1``.

        Raises:
            LabError: `ip` refuses it.
            ValueError: it is not an address.
        """
        extra = f" label {label}" if label else ""
        extra += " nodad" if ip_interface(address).version == 6 else ""
        self.ip(f"address add {address} dev {interface}{extra}")

    def address_remove(self, interface: str, address: str) -> None:
        """Remove an address.

        The kernel drops the IPv4 routes of an interface together with its last IPv4 address.

        Raises:
            LabError: `ip` refuses it.
        """
        self.ip(f"address del {address} dev {interface}")

    def route_add(
        self, destination: str, *, via: str, dev: str | None = None, metric: int | None = None
    ) -> None:
        """Add a route.

        Args:
            destination: a prefix, or ``default`` for the family of ``via``.
            via: the address of the next router.
            dev: the interface, if ``via`` alone does not say it.
            metric: the lower one wins.

        Raises:
            LabError: `ip` refuses it.
        """
        self.ip(f"route add {_route(destination, via, dev, metric)}")

    def sysctl(self, name: str, value: int | str) -> None:
        """Set a kernel parameter of this host's namespace, such as ``net.ipv4.tcp_retries2``.

        Raises:
            LabError: there is no such parameter here, or it may not be written.
        """
        path = Path("/proc/sys", name.replace(".", "/"))
        try:
            self.call(lambda: path.write_text(f"{value}\n"))
        except OSError as error:
            raise LabError(
                f"host `{self.name}`: cannot set `{name}` to `{value}`: {error.strerror}"
            ) from error

    def end_programs(self) -> None:
        """Kill the programs that were started here."""
        for program in self._programs:
            program.kill()
            program.wait()

    def close_pipes(self) -> None:
        """Close the pipes of the programs that were started here.

        A program may have handed its end of a pipe to another one, and a thread that reads from a pipe keeps
        it from being closed; so this must wait until nothing in the namespace runs any more.
        """
        for program in self._programs:
            for stream in (program.stdin, program.stdout, program.stderr):
                if stream is not None:
                    _close_quietly(stream)


def _route(destination: str, via: str, dev: str | None, metric: int | None) -> str:
    parts = [destination, "via", via]
    parts += ["dev", dev] if dev else []
    parts += ["metric", str(metric)] if metric is not None else []
    return " ".join(parts)


def _close_quietly(stream: IO[Any]) -> None:
    try:
        stream.close()
    except BrokenPipeError:  # unwritten input for a program that is dead
        return
