"""Take the state out of an SSH connection of asyncssh, and go on from it in another process.

SSH has no way to go on after an interruption, so the new process must be in the exact state of the old one:
the ciphers with their counters, the channels with their windows, and the bytes that are between them. The
client notices nothing. What was encrypted but not sent yet is not part of it: it belongs to the transport.
This works between two packets, with ciphers that authenticate (their state is a key and a counter), without
compression, and not while keys are exchanged.

Source: RFC 4253 sections 6, 7 and 9, RFC 4254 section 5; OpenSSH's PROTOCOL.chacha20poly1305.
"""

# asyncssh has no public names for any of this; the program declares the version that it depends on.
# ruff: noqa: SLF001

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import asyncssh
import msgspec
from asyncssh.encryption import (
    ChachaEncryption,
    Encryption,
    GCMEncryption,
    get_encryption,
    get_encryption_params,
)
from msgspec import Struct

Session = asyncssh.SSHServerSession[bytes]


class CipherState(Struct, frozen=True):
    """One direction's cipher: its name, key, nonce (where it counts itself), and the next packet's number."""

    name: bytes
    key: bytes
    nonce: bytes
    sequence: int


class ChannelState(Struct, frozen=True, kw_only=True):
    """A channel: its number on both sides, windows in bytes, and the bytes that wait for them.

    There is no peer's number any more where our end has been closed and the peer's has not.
    """

    number: int
    peer_number: int | None
    sending: str
    receiving: str
    send_window: int
    send_packet: int
    receive_window: int
    reading_paused: bool
    unsent: bytes
    undelivered: bytes
    environment: dict[bytes, bytes]
    command: str | None
    terminal: str | None
    terminal_size: tuple[int, int, int, int]
    terminal_modes: dict[int, int]


class ConnectionState(Struct, frozen=True, kw_only=True):
    """A connection: what was agreed, the ciphers, when keys are due, and the beginning of a packet."""

    client_version: bytes
    server_version: bytes
    id: bytes
    strict: bool
    user: str
    send: CipherState
    receive: CipherState
    bytes_since_keys: int
    keys_due_s: float
    unread: bytes
    next_channel: int
    channels: tuple[ChannelState, ...]


def sessions(ssh: asyncssh.SSHServerConnection) -> dict[int, Session]:
    """Return the sessions of a quiescent connection by the numbers of their channels."""
    return {channel._recv_chan or 0: channel._session for channel in _channels(ssh)}


def transport(ssh: asyncssh.SSHServerConnection) -> asyncio.Transport:
    """Return what carries an open connection."""
    assert ssh._transport is not None
    return ssh._transport


def is_quiescent(ssh: asyncssh.SSHServerConnection) -> bool:
    """Say whether the connection is between two packets, with nothing in progress that has no state here."""
    keys_are_set = ssh._kex_complete and not ssh._kex and not ssh._next_recv_encryption
    waiting = ssh._deferred_packets or ssh._global_request_queue or ssh._tasks
    return ssh._auth_complete and keys_are_set and not waiting and all(map(_is_plain, ssh._channels.values()))


def suspend(ssh: asyncssh.SSHServerConnection) -> bytes:
    """Let a quiescent connection read no more, and return its state."""
    transport(ssh).pause_reading()
    return msgspec.msgpack.encode(
        ConnectionState(
            client_version=ssh._client_version,
            server_version=ssh._server_version,
            id=ssh._session_id,
            strict=ssh._strict_kex,
            user=ssh._username,
            send=_cipher_state(ssh._enc_alg_sc, ssh._send_encryption, ssh._send_seq),
            receive=_cipher_state(ssh._enc_alg_cs, ssh._recv_encryption, ssh._recv_seq),
            bytes_since_keys=ssh._rekey_bytes_sent,
            keys_due_s=ssh._rekey_time - time.monotonic(),
            # The ciphers leave a header that waits for its packet as it came.
            unread=ssh._packet + ssh._inpbuf,
            next_channel=ssh._next_recv_chan,
            channels=tuple(_channel_state(channel) for channel in _channels(ssh)),
        )
    )


def resume(
    state: bytes, options: dict[str, object], session: Callable[[int], Session]
) -> asyncssh.SSHServerConnection:
    """Return the protocol that goes on with a connection.

    Args:
        state: what `suspend` has returned.
        options: as for a new connection.
        session: makes the session of a channel, of its number.

    Raises:
        msgspec.DecodeError: the state is not one.
    """
    read = msgspec.msgpack.decode(state, type=ConnectionState)
    made = asyncssh.SSHServerConnectionOptions(**options)
    return _Continued(asyncio.get_running_loop(), made, read, session)


class _Continued(asyncssh.SSHServerConnection):
    """A connection that begins in the midst."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        state: ConnectionState,
        session: Callable[[int], Session],
    ) -> None:
        super().__init__(loop, options)
        self._state = state
        self._session_for = session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.data_received(self._state.unread)

    def _send_version(self) -> None:
        # Where a new connection says its version, this one goes on.
        state = self._state
        self._restore_agreement(state)
        self._restore_ciphers(state.send, state.receive)
        for channel in state.channels:
            self._next_recv_chan = channel.number
            self._restore_channel(channel)
        self._next_recv_chan = state.next_channel
        self._set_keepalive_timer()

    def _restore_agreement(self, state: ConnectionState) -> None:
        self._cancel_login_timer()
        self._client_version, self._server_version = state.client_version, state.server_version
        self._session_id, self._strict_kex = state.id, state.strict
        self._username = state.user
        self.set_extra_info(username=state.user)
        self._auth_complete = self._auth_final = self._kex_complete = True
        self._rekey_bytes_sent = state.bytes_since_keys
        self._rekey_time = time.monotonic() + state.keys_due_s

    def _restore_ciphers(self, send: CipherState, receive: CipherState) -> None:
        self._enc_alg_sc, self._enc_alg_cs = send.name, receive.name
        self._send_encryption, self._recv_encryption = _cipher(send), _cipher(receive)
        self._send_seq, self._recv_seq = send.sequence, receive.sequence
        self._send_enchdrlen = 1  # ciphers that authenticate leave the length out of their blocks
        self._send_blocksize = max(8, get_encryption_params(send.name)[2])
        self._recv_blocksize = max(8, get_encryption_params(receive.name)[2])
        self._recv_macsize = get_encryption_params(receive.name)[4]
        self._recv_handler = self._recv_pkthdr

    def _restore_channel(self, state: ChannelState) -> None:
        channel = self.create_server_channel(encoding=None)
        channel._session = session = self._session_for(state.number)
        channel._session_started = True
        channel._env, channel._command = state.environment, state.command
        channel._term_type, channel._term_size = state.terminal, state.terminal_size
        channel._term_modes = state.terminal_modes
        channel._send_chan, channel._send_pktsize = state.peer_number, state.send_packet
        channel._send_window, channel._recv_window = state.send_window, state.receive_window
        channel._send_state, channel._recv_state = state.sending, state.receiving
        channel._recv_paused = state.reading_paused
        channel._send_buf = [(bytearray(state.unsent), None)] if state.unsent else []
        channel._send_buf_len = len(state.unsent)
        channel._recv_buf = [(state.undelivered, None)] if state.undelivered else []
        session.connection_made(channel)
        session.session_started()
        channel._pause_resume_writing()


def _channels(ssh: asyncssh.SSHServerConnection) -> list[asyncssh.SSHServerChannel[bytes]]:
    return [channel for channel in ssh._channels.values() if isinstance(channel, asyncssh.SSHServerChannel)]


def _is_plain(channel: object) -> bool:
    """Say whether it is a channel of a started session, with no request in progress."""
    return (
        isinstance(channel, asyncssh.SSHServerChannel)
        and channel._session_started
        and channel._recv_state != "closed"
        and channel._recv_paused != "starting"
        and not channel._request_queue
    )


def _cipher_state(name: bytes, encryption: Encryption | None, sequence: int) -> CipherState:
    if isinstance(encryption, ChachaEncryption):
        chacha = encryption._cipher
        return CipherState(name, chacha._key + chacha._adkey, b"", sequence)
    assert isinstance(encryption, GCMEncryption), f"`{name.decode()}` has more state than a key and a counter"
    gcm = encryption._cipher
    return CipherState(name, gcm._key, gcm._iv, sequence)


def _cipher(state: CipherState) -> Encryption:
    return get_encryption(state.name, state.key, state.nonce)


def _channel_state(channel: asyncssh.SSHServerChannel[bytes]) -> ChannelState:
    assert channel._recv_chan is not None
    return ChannelState(
        number=channel._recv_chan,
        peer_number=channel._send_chan,
        sending=channel._send_state,
        receiving=channel._recv_state,
        send_window=channel._send_window,
        send_packet=channel._send_pktsize,
        receive_window=channel._recv_window,
        reading_paused=bool(channel._recv_paused),
        unsent=b"".join(bytes(data) for data, _ in channel._send_buf),
        undelivered=b"".join(data for data, _ in channel._recv_buf),
        environment=channel._env,
        command=channel._command,
        terminal=channel._term_type,
        terminal_size=channel._term_size,
        terminal_modes=dict(channel._term_modes),
    )
