"""The handshake over a byte stream: four framed messages, after which both sides hold keys.

    initiator → responder   e
    initiator ← responder   e, ee, s, es            96 bytes whatever was sent: all that a stranger can cause
    initiator → responder   s, se, Hello            the initiator has judged the responder's key by now
    initiator ← responder   Verdict (sealed)        a Hello, or the reason for a refusal

Each message has its length in front (2 bytes, big-endian). The protocol's version is part of the prologue.

Source: The Noise Protocol Framework, revision 34, sections 7.5 and 13 (length fields are the application's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.keys import Entropy, HostKey
from sessionlayer.protocol.limits import HANDSHAKE_MESSAGE_MAX, HANDSHAKE_TIMEOUT_S, PROTOCOL_VERSION
from sessionlayer.protocol.messages import Hello, Verdict, decode_greeting, encode, printable, shortened
from sessionlayer.protocol.noise import NoiseXX, Transport, derive_key
from sessionlayer.protocol.transitions import ASSOCIATION, AssociationEvent, AssociationState, Machine

Judge = Callable[[bytes], str | None]
"""Given the peer's 32-byte public key, return why it is refused, or ``None`` to accept it."""

_DATAGRAM_LABEL = b"migrate datagram key"
_EVENTS = {
    AssociationState.NEW: AssociationEvent.OPENED,
    AssociationState.AWAITING_REPLY: AssociationEvent.REPLY,
    AssociationState.AWAITING_PROOF: AssociationEvent.PROOF,
    AssociationState.AWAITING_VERDICT: AssociationEvent.VERDICT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """What a handshake leaves: the peer's key, what it said, and our datagram keys (32 bytes each)."""

    peer_key: bytes
    peer_hello: Hello
    local_index: bytes
    send_key: bytes
    receive_key: bytes
    initiator: bool


class Handshake:
    """One side of one handshake. It is over when ``established`` or ``refusal`` is set.

    Args:
        initiator: whether we opened the TCP connection to the peer's control port.
        host_key: our static key.
        hello: what the peer is to know of us, once it has proved its key.
        judge: asked once, before we say who we are (as initiator) or accept (as responder).
        entropy: 32 bytes for the ephemeral key.
        now: seconds, monotonic.
        prologue: what both sides must agree on beyond the version; mostly empty.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        host_key: HostKey,
        hello: Hello,
        judge: Judge,
        entropy: Entropy,
        now: float,
        prologue: bytes = b"",
    ) -> None:
        versioned = b"migrate %d\n" % PROTOCOL_VERSION + prologue
        self._noise = NoiseXX(initiator=initiator, host_key=host_key, entropy=entropy, prologue=versioned)
        self._machine = Machine(ASSOCIATION, AssociationState.NEW)
        self._initiator = initiator
        self._hello = hello
        self._judge = judge
        self._deadline = now + HANDSHAKE_TIMEOUT_S
        self._transport: Transport | None = None
        self._buffer = b""
        self.established: Established | None = None
        self.refusal: str | None = None

    @property
    def peer_key(self) -> bytes:
        """Return the peer's public key, empty until it was received."""
        return self._noise.peer_static

    @property
    def state(self) -> AssociationState:
        """Return how far the handshake is."""
        return self._machine.state

    def next_deadline(self) -> float:
        """Return when (seconds, monotonic) an unfinished handshake is to be closed."""
        return self._deadline

    def start(self) -> bytes:
        """Return the initiator's first bytes.

        Raises:
            LocalProtocolError: we are the responder, or have started before.
        """
        if not self._initiator:
            raise LocalProtocolError("only the initiator starts a handshake")
        self._machine.feed(AssociationEvent.OPEN)
        return _framed(self._noise.write_message(b""))

    def receive(self, data: bytes, now: float) -> bytes:
        """Take bytes from the stream, in pieces of any size, and return those to send back.

        Raises:
            RemoteProtocolError: the peer broke the protocol or took too long; close without an answer.
        """
        if now > self._deadline:
            raise RemoteProtocolError(f"the handshake took more than {HANDSHAKE_TIMEOUT_S:.0f} s")
        self._buffer += data
        reply = b""
        while (message := self._take_frame()) is not None:
            reply += self._handle(message)
        return reply

    def _take_frame(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        length = int.from_bytes(self._buffer[:2], "big")
        if length > HANDSHAKE_MESSAGE_MAX:
            raise RemoteProtocolError(
                f"a handshake message of {length} bytes, at most {HANDSHAKE_MESSAGE_MAX}"
            )
        if len(self._buffer) < 2 + length:
            return None
        frame, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
        return frame

    def _handle(self, message: bytes) -> bytes:
        event = _EVENTS.get(self.state)
        if event is None or (self._initiator and event is AssociationEvent.OPENED):
            raise RemoteProtocolError(f"a handshake message in state `{self.state.value}`")
        match event:
            case AssociationEvent.OPENED:
                return self._on_opened(message)
            case AssociationEvent.REPLY:
                return self._on_reply(message)
            case AssociationEvent.PROOF:
                return self._on_proof(message)
            case _:
                return self._on_verdict(message)

    def _on_opened(self, message: bytes) -> bytes:
        self._noise.read_message(message)
        self._machine.feed(AssociationEvent.OPENED)
        return _framed(self._noise.write_message(b""))

    def _on_reply(self, message: bytes) -> bytes:
        self._noise.read_message(message)
        if self._refuse(self._judge(self.peer_key)):
            return b""
        self._machine.feed(AssociationEvent.REPLY)
        proof = _framed(self._noise.write_message(encode(self._hello)))
        self._transport = self._noise.finish()
        return proof

    def _on_proof(self, message: bytes) -> bytes:
        hello = decode_greeting(self._noise.read_message(message))
        if not isinstance(hello, Hello):
            raise RemoteProtocolError("the initiator said no hello")
        transport = self._noise.finish()
        if self._refuse(self._judge(self.peer_key)):
            verdict = Verdict(refusal=shortened(self.refusal or ""))
            return _framed(transport.send.encrypt(b"", encode(verdict)))
        self._machine.feed(AssociationEvent.PROOF)
        self._establish(transport, hello)
        return _framed(transport.send.encrypt(b"", encode(Verdict(hello=self._hello))))

    def _on_verdict(self, message: bytes) -> bytes:
        assert self._transport is not None
        verdict = decode_greeting(self._transport.receive.decrypt(b"", message))
        if not isinstance(verdict, Verdict):
            raise RemoteProtocolError("the responder gave no verdict")
        if verdict.hello is None:
            self._refuse(f"the peer refuses: {printable(verdict.refusal) or 'it gave no reason'}")
            return b""
        self._machine.feed(AssociationEvent.VERDICT)
        self._establish(self._transport, verdict.hello)
        return b""

    def _refuse(self, reason: str | None) -> bool:
        if reason is None:
            return False
        self.refusal = reason
        self._machine.feed(AssociationEvent.REFUSE)
        return True

    def _establish(self, transport: Transport, peer_hello: Hello) -> None:
        # Noise's own transport keys sealed the verdict; the datagrams count from 0 again and so need others.
        self.established = Established(
            peer_key=self.peer_key,
            peer_hello=peer_hello,
            local_index=self._hello.index,
            send_key=derive_key(transport.send.key, _DATAGRAM_LABEL),
            receive_key=derive_key(transport.receive.key, _DATAGRAM_LABEL),
            initiator=self._initiator,
        )


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message
