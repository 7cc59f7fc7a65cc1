"""Host keys, and which of them are trusted."""

from __future__ import annotations

import pytest

from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.keys import HostKey, fingerprint
from sessionlayer.protocol.trust import Direction, Judgement, TrustMode, TrustPolicy, judge

KEY, OTHER = bytes([1]) * 32, bytes([2]) * 32


def decide(
    mode: TrustMode, *, known: bytes | None = None, pinned: frozenset[bytes] = frozenset()
) -> Judgement:
    return judge(
        TrustPolicy(outgoing=mode, incoming=mode),
        Direction.OUTGOING,
        peer="10.0.0.2",
        presented=KEY,
        known=known,
        known_at="/var/lib/migrate/peers",
        pinned=pinned,
    )


def test_first_use_is_trusted_and_remembered() -> None:
    assert decide(TrustMode.TOFU) == Judgement(remember=True)


def test_the_same_key_again_is_trusted() -> None:
    assert decide(TrustMode.TOFU, known=KEY) == Judgement()


def test_a_changed_key_is_refused_with_what_happened_and_what_to_do() -> None:
    refusal = decide(TrustMode.TOFU, known=OTHER).refusal
    assert refusal is not None
    for part in ("10.0.0.2", fingerprint(KEY), fingerprint(OTHER), "changed", "/var/lib/migrate/peers"):
        assert part in refusal


def test_without_first_use_only_pinned_keys_are_trusted() -> None:
    refusal = decide(TrustMode.PINNED, known=KEY).refusal
    assert refusal is not None
    assert "not pinned" in refusal
    assert fingerprint(KEY) in refusal
    assert decide(TrustMode.PINNED, pinned=frozenset({KEY})).refusal is None


def test_a_pinned_key_replaces_the_one_remembered() -> None:
    assert decide(TrustMode.TOFU, known=OTHER, pinned=frozenset({KEY})) == Judgement(remember=True)


def test_the_directions_have_modes_of_their_own() -> None:
    policy = TrustPolicy(outgoing=TrustMode.TOFU, incoming=TrustMode.PINNED)
    outcome = {
        direction: judge(policy, direction, peer="p", presented=KEY, known=None, known_at="x").refusal is None
        for direction in Direction
    }
    assert outcome == {Direction.OUTGOING: True, Direction.INCOMING: False}


def test_the_fingerprint_is_the_base64_of_the_sha256() -> None:
    # echo -n (32 bytes of 0) | sha256sum | base64, without padding
    assert fingerprint(bytes(32)) == "SHA256:Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU"


def test_a_host_key_survives_its_text_and_never_shows_itself() -> None:
    key = HostKey.generate(lambda length: bytes(range(length)))
    assert HostKey.from_text(key.to_text()) == key
    assert key.private_bytes.hex() not in repr(key)
    assert str(key.private_bytes) not in repr(key)
    assert fingerprint(key.public_bytes) in repr(key)


@pytest.mark.parametrize(
    "text", ["", "x", "migrate-host-key-1 !!!!", "migrate-host-key-1 AAAA", "ssh-ed25519 AAAA", "a b c"]
)
def test_what_is_no_host_key_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="host key"):
        HostKey.from_text(text)
