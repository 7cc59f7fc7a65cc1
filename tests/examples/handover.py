"""Serve one SSH connection, and hand it to a new process at SIGUSR1, as the daemon would.

A program of the tests: the state, the connection and the terminals travel in one message with SCM_RIGHTS.
It prints its port, then the id of each process that serves the connection and the bytes that it had to send.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys

import asyncssh
import msgspec

from examples.shell_server import resume, suspendable
from sessionlayer.application.grip import Buffered, grip_of
from sessionlayer.application.streams import connect_protocol

SEND_BUFFER = 16_384
"""Bytes that the kernel takes: little, so that much is in the process's memory."""


def say(what: object) -> None:
    """Tell the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def hand_over(ssh: asyncssh.SSHServerConnection) -> None:
    """Start the next process, give it everything, and end without a word to the client."""
    if not resume.is_quiescent(ssh):
        say("busy")
        return
    attributes, descriptors = suspendable.freeze(ssh)
    grip = grip_of(resume.transport(ssh), None)
    unsent, connection = grip.buffered().unsent, grip.descriptor()
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(
            [sys.executable, *sys.argv, "--next", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    message = msgspec.msgpack.encode((attributes, list(descriptors), unsent))
    socket.send_fds(ours, [len(message).to_bytes(4, "big")], [connection, *descriptors.values()])
    ours.sendall(message)
    os._exit(0)


async def take_over(channel: int, arguments: argparse.Namespace) -> None:
    """Go on with what the process before has sent."""
    with socket.socket(fileno=channel) as end:
        length, (connection, *given), _, _ = socket.recv_fds(end, 4, 200)
        with end.makefile("rb") as stream:
            attributes, names, unsent = msgspec.msgpack.decode(stream.read(int.from_bytes(length, "big")))
    shell = suspendable.restore(attributes, dict(zip(names, given, strict=True)))
    ssh = resume.resume(attributes["ssh"], suspendable.options(arguments), shell)
    await connect_protocol(socket.socket(fileno=connection), Buffered(unsent=unsent), ssh)
    await serve(ssh, len(unsent))


async def serve(ssh: asyncssh.SSHServerConnection, unsent: int) -> None:
    """Serve until the client is gone or SIGUSR1 comes; say who does, and what was left to be sent."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hand_over, ssh)
    say(f"{os.getpid()} {unsent}")
    await ssh.wait_closed()


async def begin(connection: socket.socket, arguments: argparse.Namespace) -> None:
    """Serve a new connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    await serve(await asyncssh.run_server(connection, **suspendable.options(arguments)), 0)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host-key")
    parser.add_argument("--authorized-keys")
    parser.add_argument("--next", type=int)
    arguments = parser.parse_args()
    if arguments.next is not None:
        asyncio.run(take_over(arguments.next, arguments))
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        say(listener.getsockname()[1])
        connection, _ = listener.accept()
    asyncio.run(begin(connection, arguments))


if __name__ == "__main__":
    main()
