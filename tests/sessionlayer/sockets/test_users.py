"""The standard library's own users of sockets, over virtual streams."""

from __future__ import annotations

import http.client
import http.server
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sessionlayer.sockets import StreamListener, StreamSocket
from tests.sessionlayer.sockets.pairs import PATIENCE_S, connect_to, listening

HANDLER = Callable[[StreamSocket, Any, socketserver.BaseServer], socketserver.BaseRequestHandler]


@contextmanager
def serving(
    handler: Any, kind: type[socketserver.TCPServer] = socketserver.ThreadingTCPServer
) -> Iterator[StreamListener]:
    """Serve with `socketserver`, whose listening socket is ours."""
    with listening() as listener:
        server = kind(("127.0.0.1", 0), handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.server_address = listener.getsockname()
        if isinstance(server, http.server.HTTPServer):
            server.server_name, server.server_port = "localhost", listener.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Mail(socketserver.StreamRequestHandler):
    """As much of a mail server as `smtplib` needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        for line in self.rfile:
            match line[:4].upper():
                case b"EHLO":
                    self.wfile.write(b"250 test\r\n")
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    self.wfile.write(b"250 %d bytes\r\n" % len(body))
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 fine\r\n")


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def test_socketserver_serves_lines() -> None:
    with serving(Upper) as listener, connect_to(listener) as client, client.makefile("rwb") as file:
        for word in (b"one\n", b"two\n"):
            file.write(word)
            file.flush()
            assert file.readline() == word.upper()


def test_http_has_several_requests_in_a_connection() -> None:
    with serving(Web, http.server.ThreadingHTTPServer) as listener:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = connect_to(listener)
        for size in (0, 10, 3_000_000):
            body = bytes(range(256)) * (size // 256)
            connection.request("POST", "/", body)
            assert connection.getresponse().read() == body[::-1]
        connection.close()


def test_smtplib_sends_a_mail() -> None:
    import smtplib

    with serving(Mail) as listener:

        class Client(smtplib.SMTP):
            def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
                return connect_to(listener, timeout)

        with Client("localhost", timeout=PATIENCE_S) as client:
            assert client.sendmail("a@example.org", ["b@example.org"], "Subject: hello\n\nworld\n") == {}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    file = folder / "both.pem"
    command = (
        "openssl req -x509 -newkey ed25519 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    made = subprocess.run(
        [*command.split(), "-keyout", str(folder / "key"), "-out", str(folder / "certificate")],
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    file.write_text((folder / "key").read_text() + (folder / "certificate").read_text())
    return file


def test_tls_runs_over_a_stream(certificate: Path) -> None:
    serving_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving_context.load_cert_chain(certificate)
    context = ssl.create_default_context(cafile=str(certificate))
    with listening() as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with serving_context.wrap_socket(accepted, server_side=True) as served:
                while data := served.recv(65_536):
                    served.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        with context.wrap_socket(connect_to(listener), server_hostname="localhost") as client:
            assert client.version() == "TLSv1.3"
            client.sendall(b"secret" * 10_000)
            received = bytearray()
            while len(received) < 60_000:
                received += client.recv(65_536)
            assert bytes(received) == b"secret" * 10_000
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
