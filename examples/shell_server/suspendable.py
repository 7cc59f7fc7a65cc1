"""The SSH server of plain.py, whose connections outlive their processes.

While a connection is suspended no process serves it: its state and its terminals are a complete continuation.

    ssh-keygen -t ed25519 -N '' -f host_key
    python -m examples.shell_server.suspendable --port 2222 --host-key host_key \
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
from collections.abc import Callable
from contextlib import suppress

import asyncssh
import msgspec

import sessionlayer as migrate
from examples.shell_server import resume
from examples.shell_server.program import Program, start

CIPHERS = ["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"]

TAGS = (migrate.python_tag(), *migrate.package_tags("asyncssh"))
"""What the state of a connection depends on."""

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


class ShellState(msgspec.Struct, frozen=True):
    """What a shell is apart from its channel."""

    on_terminal: bool
    input: bytes
    input_ended: bool


def freeze(ssh: asyncssh.SSHServerConnection) -> tuple[dict[str, bytes], dict[str, int]]:
    """Stop serving a quiescent connection; return its attributes and its programs' descriptors, by name."""
    shells = {}
    descriptors = {}
    for number, shell in resume.sessions(ssh).items():
        assert isinstance(shell, Shell)
        if shell.program:
            shell.stop()
            shells[number] = ShellState(shell.program.on_terminal, bytes(shell.input), shell.input_ended)
            descriptors[f"terminal {number}"] = shell.program.terminal
            descriptors[f"status {number}"] = shell.program.status
    return {"ssh": resume.suspend(ssh), "shells": msgspec.msgpack.encode(shells)}, descriptors


def unfreeze(ssh: asyncssh.SSHServerConnection) -> None:
    """Go on in this process after all."""
    for shell in resume.sessions(ssh).values():
        shell.session_started()
    resume.transport(ssh).resume_reading()


def restore(attributes: dict[str, bytes], descriptors: dict[str, int]) -> Callable[[int], Shell]:
    """Return what makes the shells of `freeze` again, by the numbers of their channels."""
    shells = msgspec.msgpack.decode(attributes["shells"], type=dict[int, ShellState])

    def shell(number: int) -> Shell:
        again = Shell()
        if state := shells.get(number):
            terminal, status = descriptors[f"terminal {number}"], descriptors[f"status {number}"]
            again.program = Program(terminal, status, state.on_terminal)
            again.input, again.input_ended = bytearray(state.input), state.input_ended
        return again

    return shell


def suspend(session: migrate.Session, ssh: asyncssh.SSHServerConnection) -> migrate.Continuation | None:
    """Give the connection up and end this process; wait with it where that can't be done just now."""
    if not resume.is_quiescent(ssh):
        return None
    attributes, descriptors = freeze(ssh)
    for name, value in attributes.items():
        session.store(name, value)
    return migrate.complete(session, descriptors=descriptors, compatibility=TAGS)


async def outlive(session: migrate.Session, ssh: asyncssh.SSHServerConnection) -> None:
    """Serve until the client is gone, or the session is suspended."""
    session.register_handler(lambda session: suspend(session, ssh))
    session.on_denied(lambda _session, _error: unfreeze(ssh))
    await ssh.wait_closed()


async def go_on(session: migrate.Session, arguments: argparse.Namespace) -> None:
    """Serve a connection that another process has served before."""
    attributes = {name: session.retrieve(name) for name in ("ssh", "shells")}
    shell = restore(attributes, session.descriptors)
    ssh = resume.resume(attributes["ssh"], options(arguments), shell)
    await session.create_connection(lambda: ssh)
    await outlive(session, ssh)


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
    await outlive(await migrate.aio_session(resume.transport(ssh), optional=True), ssh)


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
    if session := migrate.continued():
        asyncio.run(go_on(session, arguments))
        return
    if migrate.available():
        migrate.register_compat_vector(*TAGS)
    with Listener(arguments) as listener:
        print(f"listening on port {listener.server_address[1]}", flush=True)
        listener.serve_forever()


if __name__ == "__main__":
    main()
