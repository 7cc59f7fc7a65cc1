"""The internet radio of plain.py, whose listeners come back from an outage to what is live then.

A listener that is away costs neither a thread nor a descriptor. What was on the air meanwhile is left out;
its player does not notice, because it goes on exactly at the sample at which it was cut off. Another process
of the server, started meanwhile, takes the listeners of the one before up.

    python -m examples.audio_server.suspendable --port 8000
    ffplay http://localhost:8000/rising
"""

from __future__ import annotations

import argparse
import socket
import threading
from contextlib import suppress

import sessionlayer as migrate
from examples.audio_server.station import BURST_FRAMES, FRAME_BYTES, FRAME_S, STATIONS, Station, wave_header

REQUEST_MAX = 16_384
SEND_BUFFER = 65_536
"""Bytes that the kernel takes ahead: two thirds of a second."""

SEND_S = FRAME_S
"""How long a listener that takes nothing is waited for, before looking whether it is away."""


def greet(connection: socket.socket) -> str:
    """Read a request and answer it; return the station's name, or nothing."""
    request = b""
    while b"\r\n\r\n" not in request and len(request) < REQUEST_MAX:
        request += connection.recv(REQUEST_MAX) or b"\r\n\r\n"
    name = request.decode("latin-1").split()[1:2]
    if not name or name[0] not in STATIONS:
        connection.sendall(
            b"HTTP/1.0 404 Not Found\r\n\r\non the air: " + " ".join(STATIONS).encode() + b"\n"
        )
        return ""
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\nCache-Control: no-cache\r\n\r\n")
    connection.sendall(wave_header())
    return name[0]


def stream(
    session: migrate.Session, connection: socket.socket, station: Station, position: int, audio: bytes = b""
) -> None:
    """Send ``audio``, then what is on the air from a position on, until the listener is gone or away."""
    session.register_handler()
    connection.settimeout(SEND_S)
    while True:
        if not audio:
            position, audio = station.since(position)
        with suppress(TimeoutError):
            audio = audio[connection.send(audio) :]
        if session.suspended:
            session.store("cut off", audio[: len(audio) % FRAME_BYTES])
            with suppress(migrate.RefusedError):
                session.return_cont(migrate.internal(come_back))
                return
            session.resumed().result()  # the listener keeps its thread meanwhile
            position, audio = station.live(), session.retrieve("cut off")


@migrate.function("come_back")
def come_back(session: migrate.Session, connection: socket.socket) -> None:
    """Be the thread of a listener that is back."""
    station = STATIONS[session.retrieve("station").decode()]
    with connection, suppress(ConnectionError, migrate.SessionEndedError):
        stream(session, connection, station, station.live(), session.retrieve("cut off"))


def serve(connection: socket.socket) -> None:
    """Be the thread of a listener."""
    with connection, suppress(ConnectionError, migrate.SessionEndedError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if name := greet(connection):
            station = STATIONS[name]
            burst = station.since(max(0, station.live() - BURST_FRAMES))
            session = migrate.get_session(connection, optional=True)
            session.store("station", name.encode())
            stream(session, connection, station, *burst)


def main() -> None:
    """Go on the air."""
    parser = argparse.ArgumentParser(description="send audio over HTTP")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    for station in STATIONS.values():
        threading.Thread(target=station.play, daemon=True).start()
    if migrate.available():
        migrate.register_attach_handler("audio_server", come_back)
    with socket.create_server(("", arguments.port)) as listener:
        print(f"listening on port {listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
