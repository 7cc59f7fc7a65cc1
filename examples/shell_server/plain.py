"""A small SSH server: a shell or a command on a pseudo-terminal, in one process for each connection.

    ssh-keygen -t ed25519 -N '' -f host_key
    python -m examples.shell_server.plain --port 2222 --host-key host_key \
        --authorized-keys ~/.ssh/authorized_keys
    ssh -p 2222 localhost

Everyone whose key is authorized gets a shell of the user who runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import socket
import socketserver
from contextlib import suppress

import asyncssh

from examples.shell_server.program import Program, start

CIPHERS = ["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"]

WINDOW = 131_072
"""Bytes that a client may send ahead of what a program reads."""


class Shell(asyncssh.SSHServerSession[bytes]):
    """One program of the client, between its channel and its terminal."""

    def __init__(self) -> None:
        self.program: Program | None = None
        self.input = bytearray()
        self.input_ended = False

    def connection_made(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        self.channel = channel

    def pty_requested(self, *_terminal: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return self.begin(["-l"])

    def exec_requested(self, command: str) -> bool:
        return self.begin(["-c", command])

    def begin(self, arguments: list[str]) -> bool:
        user = pwd.getpwuid(os.geteuid())
        term = self.channel.get_terminal_type()
        sizes = self.channel.get_terminal_size()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell,
            **({"TERM": term} if term else {}),
        }
        self.program = start([user.pw_shell, *arguments], environment, on_terminal=term is not None)
        self.program.resize(*sizes)
        return True

    def session_started(self) -> None:
        if self.program:
            asyncio.get_running_loop().add_reader(self.program.status, self.end)
            self.resume_writing()
            self.write_input()

    def read_output(self) -> None:
        assert self.program is not None
        data = self.program.read()
        if data:
            self.channel.write(data)
        elif data is not None:
            asyncio.get_running_loop().remove_reader(self.program.terminal)

    def pause_writing(self) -> None:
        assert self.program is not None
        asyncio.get_running_loop().remove_reader(self.program.terminal)

    def resume_writing(self) -> None:
        if self.program:
            asyncio.get_running_loop().add_reader(self.program.terminal, self.read_output)

    def data_received(self, data: bytes, _datatype: int | None) -> None:
        self.input += data
        self.write_input()

    def eof_received(self) -> bool:
        self.input_ended = True
        self.write_input()
        return True  # there may be more output

    def write_input(self) -> None:
        if not self.program:
            return
        loop = asyncio.get_running_loop()
        del self.input[: self.program.write(self.input) if self.input else 0]
        if self.input:
            self.channel.pause_reading()
            loop.add_writer(self.program.terminal, self.write_input)
            return
        loop.remove_writer(self.program.terminal)
        if self.input_ended:
            self.program.end_input()
            self.input_ended = False
        self.channel.resume_reading()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        assert self.program is not None
        self.program.resize(width, height, pixwidth, pixheight)

    def end(self) -> None:
        assert self.program is not None
        status = self.program.exit_status()
        while data := self.program.read():
            self.channel.write(data)
        self.close()
        self.channel.exit(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def stop(self) -> None:
        assert self.program is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.program.status)
        loop.remove_reader(self.program.terminal)
        loop.remove_writer(self.program.terminal)

    def close(self) -> None:
        if self.program:
            self.stop()
            self.program.close()
            self.program = None


class Owner(asyncssh.SSHServer):
    """What a client may ask for: sessions with a shell or a command, nothing else."""

    def session_requested(self) -> Shell:
        return Shell()


def options(arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "server_factory": Owner,
        "server_host_keys": [arguments.host_key],
        "authorized_client_keys": arguments.authorized_keys,
        "encryption_algs": CIPHERS,
        "compression_algs": None,
        "gss_host": None,
        "line_editor": False,
        "window": WINDOW,
        "encoding": None,
    }


async def serve(connection: socket.socket, arguments: argparse.Namespace) -> None:
    ssh = await asyncssh.run_server(connection, **options(arguments))
    await ssh.wait_closed()


class Listener(socketserver.ForkingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        super().__init__(("", arguments.port), socketserver.BaseRequestHandler)

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], _client: object) -> None:
        assert isinstance(request, socket.socket)
        self.socket.close()  # this is a process of the connection's own
        with suppress(asyncssh.Error, OSError):  # the client has gone, or may not come in
            asyncio.run(serve(request, self.arguments))


def main() -> None:
    parser = argparse.ArgumentParser(description="serve shells over SSH")
    parser.add_argument("--port", type=int, default=2222)
    parser.add_argument("--host-key", required=True)
    parser.add_argument("--authorized-keys", required=True)
    arguments = parser.parse_args()
    with Listener(arguments) as listener:
        print(f"listening on port {listener.server_address[1]}", flush=True)
        listener.serve_forever()


if __name__ == "__main__":
    main()
