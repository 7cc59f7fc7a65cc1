"""An ssh session: an unmodified OpenSSH client runs `cat` on an unmodified OpenSSH server.

What goes in comes out again, so that both directions of one connection carry bulk data.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from migrated.demo.flow import Feeder, GapMeter, Pace, Receiver
from migrated.demo.openssh import PORT, OpenSsh
from migrated.demo.traffic import Delivery, TrafficError, await_listener, exit_status, last_line, readable
from migrated.lab import SERVER_V4, TwoLinks

RATE_BYTES_PER_S = 10_000_000

_START_LIMIT_S = 10.0
_MARK = b"migrate-demo-begins\n"
_MOST_NOISE_BYTES = 64 << 10  # what a login script may print before the mark
_REMOTE = f"echo {_MARK.decode().strip()}; exec cat"


class SshEcho:
    """`ssh server cat` with data going in and coming back."""

    name = "ssh"
    description = f"OpenSSH session to port {PORT} (`ssh ... cat`, data both ways)"

    def __init__(self, net: TwoLinks, folder: Path) -> None:
        """Start the server, log in, and let the data flow.

        Raises:
            TrafficError: OpenSSH is not installed, or the login fails.
        """
        programs = OpenSsh.prepared(folder)
        self._log, self._server_log = folder / "ssh.log", folder / "sshd.log"
        self._serve(net, programs)
        with self._log.open("ab") as log:
            self._program = net.client.popen(
                [*programs.client_command(SERVER_V4), _REMOTE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._await_mark()
        self._receiver = Receiver(self._program.stdout)
        self._feeder = Feeder(self._program.stdin, Pace(RATE_BYTES_PER_S))
        self._receiver.start()
        self._feeder.start()

    def _serve(self, net: TwoLinks, programs: OpenSsh) -> None:
        programs.allow_port(net.server)
        with self._server_log.open("ab") as log:
            server = net.server.popen(
                programs.server_command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        await_listener(net.server, PORT, server, self._server_log, _START_LIMIT_S)

    def _await_mark(self) -> None:
        """Read past what login scripts print, to where the data begin."""
        stream = self._program.stdout
        assert stream is not None
        seen = b""
        deadline = time.monotonic() + _START_LIMIT_S
        while not seen.endswith(_MARK):
            byte = os.read(stream.fileno(), 1) if readable(stream, deadline - time.monotonic()) else b""
            if not byte or len(seen) > _MOST_NOISE_BYTES:
                self._program.kill()
                said = f"the client says `{last_line(self._log)}`, the server `{last_line(self._server_log)}`"
                raise TrafficError(f"the ssh login failed: {said}")
            seen += byte

    @property
    def received_bytes(self) -> int:
        """How much has come back so far."""
        return self._receiver.received_bytes

    @property
    def flowing(self) -> bool:
        """Whether the transfer is still under way."""
        return self._receiver.is_alive()

    @property
    def meter(self) -> GapMeter:
        """The pauses in what comes back."""
        return self._receiver.meter

    def finish(self, timeout_s: float) -> Delivery:
        """Close the input, wait for all of it to come back, and compare."""
        deadline = time.monotonic() + timeout_s
        self._feeder.stop()
        self._feeder.join(timeout_s)
        self._receiver.join(max(0.0, deadline - time.monotonic()))
        status = exit_status(self._program)
        ended = not (self._feeder.is_alive() or self._receiver.is_alive())
        equal = ended and self._feeder.sha256() == self._receiver.sha256()
        return Delivery(
            bytes=self._receiver.received_bytes,
            sha256_equal=equal,
            exit_status=status,
            complaint="" if equal and status == 0 else self._feeder.complaint or last_line(self._log),
        )

    def close(self) -> None:
        """End the client if it still runs, and the threads at its pipes."""
        self._program.kill()
        self._feeder.stop()
        self._feeder.join()
        self._receiver.join()
