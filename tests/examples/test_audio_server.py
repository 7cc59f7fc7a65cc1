"""An internet radio: listeners hear whole frames in order, and come back to what is live after an outage."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from examples.audio_server.station import FRAME_BYTES, FRAME_SAMPLES, RATE, Station, tone, wave_header
from sessionlayer.application.messages import (
    KeepRunning,
    RegisterAttachHandler,
    RegisterHandler,
    Resume,
    Suspend,
)
from tests.examples.openssh import PATIENCE_S, Output
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import SESSION, FakeDaemon

RECEIVE_BUFFER = 4096
"""Bytes, so that a listener who does not read is cut off soon."""

ROOT = Path(__file__).parents[2]
TRIES = 2
"""What is left out may be just the whole programme of 96 frames; then it looks as if nothing were."""

RISING = [tone(hertz) for hertz in range(200, 5000, 50)]
SUSPEND = Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=True)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with TemporaryDirectory() as folder, FakeDaemon(Path(folder)) as found:
        monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", found.path)
        yield found


@contextmanager
def radio(name: str) -> Iterator[Output]:
    """Run a server; give what it says."""
    command = [sys.executable, "-m", f"examples.audio_server.{name}", "--port", "0"]
    with killed_at_last(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)) as process:
        yield Output.of(process)


def port_of(output: Output) -> int:
    return int(output.line().rpartition(" ")[2])


class Listener:
    """An unmodified HTTP client that knows what the station plays."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(b"GET /rising HTTP/1.0\r\n\r\n")
        self.stream = self.socket.makefile("rb")

    def begin(self) -> None:
        """Read what is before the audio."""
        while self.stream.readline() != b"\r\n":
            continue
        assert self.stream.read(len(wave_header())) == wave_header()

    def hear(self, count: int) -> list[int]:
        """Return which of the programme's frames come next; each has to be a whole one."""
        return [RISING.index(self.stream.read(FRAME_BYTES)) for _ in range(count)]

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()


def jumps(numbers: list[int]) -> int:
    """Return how often something is left out."""
    return sum((before + 1) % len(RISING) != after for before, after in pairwise(numbers))


@pytest.mark.parametrize("name", ["plain", "suspendable"])
def test_a_listener_hears_every_frame(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", os.devnull)
    with radio(name) as output, listening(port_of(output)) as listener:
        listener.begin()
        assert jumps(listener.hear(60)) == 0


def test_what_is_not_on_the_air_is_refused() -> None:
    with radio("plain") as output:
        address = f"http://127.0.0.1:{port_of(output)}/silence"
        with pytest.raises(urllib.request.HTTPError, match="404") as refused:
            urllib.request.urlopen(address, timeout=PATIENCE_S)
        with refused.value as answer:
            assert answer.read() == b"on the air: /rising /falling\n"


def test_a_listener_who_is_too_far_behind_misses_the_rest() -> None:
    station = Station(RISING)
    station._kept.extend(RISING[:3])
    station._made = 10
    assert station.since(8) == (10, RISING[1] + RISING[2])
    assert station.since(0) == (10, b"".join(RISING[:3]))


def test_the_header_is_one_of_a_wave_file() -> None:
    with wave.open(BytesIO(wave_header() + RISING[0])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.readframes(FRAME_SAMPLES) == RISING[0]


def joined(daemon: FakeDaemon, output: Output) -> int:
    """Let the server offer to take up listeners; return its port."""
    daemon.grant(daemon.expect(RegisterAttachHandler).number)
    return port_of(output)


def accept(daemon: FakeDaemon) -> None:
    daemon.grant_session()
    daemon.grant(daemon.expect(RegisterHandler).number)


def test_a_listener_comes_back_to_what_is_live(daemon: FakeDaemon) -> None:
    with radio("suspendable") as output, listening(joined(daemon, output)) as listener:
        listener.begin()
        accept(daemon)
        before = listener.hear(30)
        daemon.say(SUSPEND)
        daemon.expect(KeepRunning)
        record, descriptors = daemon.take_continuation()
        assert record.function == "come_back"
        assert record.attributes["station"] == b"/rising"
        daemon.invoke(record, descriptors)
        daemon.grant(daemon.expect(RegisterHandler).number)
        heard = before + listener.hear(120)
    assert jumps(heard) <= 1


def test_a_listener_who_takes_nothing_is_cut_off_and_goes_on_within_a_frame(daemon: FakeDaemon) -> None:
    heard = list[int]()
    with radio("suspendable") as output, listening(port := joined(daemon, output)) as listener:
        accept(daemon)
        with listening(port) as other:
            daemon.grant_session(session=bytes(16))
            daemon.grant(daemon.expect(RegisterHandler).number)
            other.begin()
            listener.begin()
            tries = 0
            while not jumps(heard) and tries < TRIES:
                tries, cut_off = tries + 1, b""
                while not cut_off:  # the kernel takes whole pages: every fifteenth ends where a frame ends
                    other.hear(150)
                    heard += listener.hear(60)  # there is room for a part of all that is late now
                    other.hear(50)
                    cut_off = come_back(daemon)
                heard += listener.hear(200)
    assert jumps(heard) >= 1


def come_back(daemon: FakeDaemon) -> bytes:
    """Suspend and resume the listener; return the rest of the frame in which it was cut off."""
    daemon.say(SUSPEND)
    daemon.expect(KeepRunning)
    record, descriptors = daemon.take_continuation()
    daemon.invoke(record, descriptors)
    daemon.grant(daemon.expect(RegisterHandler).number)
    return record.attributes["cut off"]


def test_another_process_of_the_server_takes_its_listeners_up(daemon: FakeDaemon) -> None:
    with ExitStack() as listeners:
        with radio("suspendable") as output:
            listener = listeners.enter_context(listening(joined(daemon, output)))
            listener.begin()
            accept(daemon)
            listener.hear(10)
            daemon.say(SUSPEND)
            daemon.expect(KeepRunning)
            record, descriptors = daemon.take_continuation()
        daemon.stop()
        daemon.start()
        with radio("suspendable") as output:
            joined(daemon, output)
            daemon.invoke(record, descriptors)
            daemon.grant(daemon.expect(RegisterHandler).number)
            # none at all where the new programme happens to have come to where the old one ended
            assert jumps(listener.hear(100)) <= 1


def test_a_refused_continuation_leaves_the_listener_with_its_thread(daemon: FakeDaemon) -> None:
    with radio("suspendable") as output, listening(joined(daemon, output)) as listener:
        listener.begin()
        accept(daemon)
        listener.hear(10)
        daemon.say(SUSPEND)
        daemon.expect(KeepRunning)
        daemon.deny_continuation()
        daemon.say(Resume(session=SESSION))
        assert jumps(listener.hear(80)) <= 1


@pytest.mark.slow
def test_a_real_player_hears_the_programme() -> None:
    """ffmpeg(1) decodes what it hears to bare samples, until it has two seconds."""
    player = shutil.which("ffmpeg")
    assert player is not None, "`make slow` installs ffmpeg"
    with radio("plain") as output:
        address = f"http://127.0.0.1:{port_of(output)}/rising"
        heard = subprocess.run(
            [player, "-loglevel", "error", "-i", address, "-t", "2", "-f", "s16le", "-"],
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
    assert heard.stderr == b""
    frames = [heard.stdout[start : start + FRAME_BYTES] for start in range(0, len(heard.stdout), FRAME_BYTES)]
    assert len(frames) == 2 * RATE / FRAME_SAMPLES
    assert jumps([RISING.index(frame) for frame in frames]) == 0
