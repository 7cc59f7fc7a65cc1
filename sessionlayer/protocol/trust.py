"""Which host keys are trusted: on first use, or pinned. Where they are kept is the shell's business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sessionlayer.protocol.keys import fingerprint


class TrustMode(Enum):
    """``TOFU`` takes the first key that a peer shows, ``PINNED`` only those that were written down before."""

    TOFU = "tofu"
    PINNED = "pinned"


class Direction(Enum):
    """Who opened the association. The configuration names a mode for each."""

    OUTGOING = "outgoing"
    INCOMING = "incoming"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """The modes in force for outgoing and for incoming associations."""

    outgoing: TrustMode = TrustMode.TOFU
    incoming: TrustMode = TrustMode.TOFU

    def mode(self, direction: Direction) -> TrustMode:
        """Return the mode for associations of this direction."""
        return self.outgoing if direction is Direction.OUTGOING else self.incoming


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a key is trusted: ``refusal`` says why not, ``remember`` that it is to be stored."""

    refusal: str | None = None
    remember: bool = False


def judge(
    policy: TrustPolicy,
    direction: Direction,
    *,
    peer: str,
    presented: bytes,
    known: bytes | None,
    known_at: str,
    pinned: frozenset[bytes] = frozenset(),
) -> Judgement:
    """Decide on the key that a peer presents.

    Args:
        policy: the modes in force.
        direction: who opened the association.
        peer: the name or address under which the shell keeps the peer's key.
        presented: the key that the peer proved to hold, 32 bytes.
        known: the key stored for ``peer``, if any.
        known_at: where that key is stored, for the message to a person.
        pinned: the keys that the configuration lists.
    """
    if presented in pinned:
        return Judgement(remember=known != presented)
    if policy.mode(direction) is TrustMode.PINNED:
        return Judgement(refusal=_not_pinned(direction, peer, presented))
    if known is None:
        return Judgement(remember=True)
    if known != presented:
        return Judgement(refusal=_changed(peer, presented, known, known_at))
    return Judgement()


def _not_pinned(direction: Direction, peer: str, presented: bytes) -> str:
    return (
        f"the host key of `{peer}` is not pinned ({fingerprint(presented)}); if that is its key, add it to "
        f"the pinned keys of the configuration, or set the trust of {direction.value} associations to `tofu`"
    )


def _changed(peer: str, presented: bytes, known: bytes, known_at: str) -> str:
    return (
        f"the host key of `{peer}` has changed from {fingerprint(known)} to {fingerprint(presented)}: either "
        f"it was installed anew, or somebody else answers in its place; if you know that the new key is "
        f"right, remove the old one from {known_at}"
    )
