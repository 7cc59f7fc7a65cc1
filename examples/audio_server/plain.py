"""An internet radio: each listener has a thread, and hears what is live as a WAV file without an end.

python -m examples.audio_server.plain --port 8000
ffplay http://localhost:8000/rising
"""

from __future__ import annotations

import argparse
import socket
import threading
from contextlib import suppress

from examples.audio_server.station import BURST_FRAMES, STATIONS, Station, wave_header

REQUEST_MAX = 16_384
SEND_BUFFER = 65_536
"""Bytes that the kernel takes ahead: two thirds of a second."""


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


def stream(connection: socket.socket, station: Station, position: int) -> None:
    """Send what is on the air from a position on, until the listener is gone."""
    while True:
        position, audio = station.since(position)
        connection.sendall(audio)


def serve(connection: socket.socket) -> None:
    """Be the thread of a listener."""
    with connection, suppress(ConnectionError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if name := greet(connection):
            stream(connection, STATIONS[name], max(0, STATIONS[name].live() - BURST_FRAMES))


def main() -> None:
    """Go on the air."""
    parser = argparse.ArgumentParser(description="send audio over HTTP")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    for station in STATIONS.values():
        threading.Thread(target=station.play, daemon=True).start()
    with socket.create_server(("", arguments.port)) as listener:
        print(f"listening on port {listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
