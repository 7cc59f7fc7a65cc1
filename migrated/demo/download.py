"""An HTTP download: `python3 -m http.server` and a client of a few lines, neither of which knows of us."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import islice
from pathlib import Path

from migrated.demo.flow import CHUNK_BYTES, GapMeter, Pace, Receiver, chunks
from migrated.demo.traffic import Delivery, await_listener, exit_status, last_line
from migrated.lab import SERVER_V4, TwoLinks

PORT = 8000
"""Not 80: Figure 10 says `on port http, ftp migrate never`."""

RATE_BYTES_PER_S = 4_000_000
FILE_BYTES = 256 << 20
"""Over a minute at that rate: the file must not end before the scenes do."""

# The server cannot be told to send slowly, so that the client reads slowly; what waits in its buffer
# hides gaps shorter than itself. The small one holds that to some 30 ms at the rate above.
_RECEIVE_BUFFER = "net.ipv4.tcp_rmem"
_SMALL, _LARGE = "4096 65536 131072", "4096 131072 6291456"

_START_LIMIT_S = 10.0
# Not `sys.stdout.buffer`: with PYTHONUNBUFFERED set it writes short when a signal comes or the program
# is stopped for an instant, and `copyfileobj` does not look.
_CLIENT = (
    "import shutil, sys, urllib.request; "
    "shutil.copyfileobj(urllib.request.urlopen(sys.argv[1]), open(1, 'wb'))"
)


class Download:
    """A large file on its way from the server to the client."""

    name = "http"
    description = f"HTTP download from port {PORT} (`python3 -m http.server`, urllib)"

    def __init__(self, net: TwoLinks, folder: Path) -> None:
        """Make the file and start both programs.

        Raises:
            TrafficError: the server does not start.
            LabError: the client's receive buffer may not be set.
        """
        self._log = folder / "http.log"
        self._expected = _make_file(folder / "web" / "data")
        self._serve(net, folder / "web")
        self._client = net.client
        self._client.sysctl(_RECEIVE_BUFFER, _SMALL)
        with self._log.open("ab") as log:
            self._program = self._client.popen(
                [sys.executable, "-c", _CLIENT, f"http://{SERVER_V4}:{PORT}/data"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._program.stdout is not None
        self._receiver = Receiver(self._program.stdout, Pace(RATE_BYTES_PER_S))
        self._receiver.start()

    def _serve(self, net: TwoLinks, folder: Path) -> None:
        command = [sys.executable, "-m", "http.server", str(PORT), "--bind", SERVER_V4]
        with self._log.open("ab") as log:
            server = net.server.popen(
                [*command, "--directory", str(folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        await_listener(net.server, PORT, server, self._log, _START_LIMIT_S)

    @property
    def received_bytes(self) -> int:
        """How much the client has written out so far."""
        return self._receiver.received_bytes

    @property
    def flowing(self) -> bool:
        """Whether the transfer is still under way."""
        return self._receiver.is_alive()

    @property
    def meter(self) -> GapMeter:
        """The pauses in what the client writes out."""
        return self._receiver.meter

    def finish(self, timeout_s: float) -> Delivery:
        """Read the rest at full speed and compare it with the file.

        Raises:
            LabError: the client's receive buffer may not be set.
        """
        self._client.sysctl(_RECEIVE_BUFFER, _LARGE)
        self._receiver.hurry()
        self._receiver.join(timeout_s)
        status = exit_status(self._program)
        arrived = not self._receiver.is_alive() and self._receiver.sha256() == self._expected
        return Delivery(
            bytes=self._receiver.received_bytes,
            sha256_equal=arrived,
            exit_status=status,
            complaint="" if arrived and status == 0 else last_line(self._log),
        )

    def close(self) -> None:
        """End the client if it still runs, and the thread at its pipe."""
        self._program.kill()
        self._receiver.hurry()
        self._receiver.join()


def _make_file(path: Path) -> str:
    """Write the file to download and return its SHA-256."""
    path.parent.mkdir()
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in islice(chunks(), FILE_BYTES // CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()
