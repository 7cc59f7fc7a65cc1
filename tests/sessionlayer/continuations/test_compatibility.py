from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.continuations.compatibility import (
    CompatibilityRegistry,
    Mismatch,
    check_compatibility,
)
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import TAGS_MAX, VECTORS_MAX
from sessionlayer.continuations.values import Tag

SSL = Tag(id="lib", name="libssl", value="3.0.17")
few_tags = st.lists(st.builds(Tag, *[st.text("ab", min_size=1, max_size=1)] * 3), max_size=8)


def test_the_same_is_compatible() -> None:
    assert check_compatibility([SSL], [SSL, Tag(id="os", name="kernel", value="6")]) == ()


def test_another_value_and_a_missing_property_are_told_apart() -> None:
    newer = Tag(id="lib", name="libssl", value="3.5")
    python = Tag(id="python", name="version", value="3.11")
    found = check_compatibility([python, SSL, SSL], [newer])
    assert found == (Mismatch(required=python, found=()), Mismatch(required=SSL, found=("3.5",)))
    assert [str(mismatch) for mismatch in found] == [
        "python `version` is missing: `3.11` is required",
        "lib `libssl` is `3.5` now: `3.0.17` is required",
    ]


def test_one_of_several_versions_is_enough() -> None:
    others = [Tag(id="lib", name="libssl", value=value) for value in ("1.1", "3.0.17")]
    assert check_compatibility([SSL], others) == ()


@given(few_tags, few_tags)
def test_a_mismatch_is_what_is_required_and_not_offered(required: list[Tag], offered: list[Tag]) -> None:
    found = check_compatibility(required, offered)
    assert {mismatch.required for mismatch in found} == set(required) - set(offered)
    for mismatch in found:
        same = {t.value for t in offered if (t.id, t.name) == (mismatch.required.id, mismatch.required.name)}
        assert set(mismatch.found) == same


def test_vectors_are_kept_by_user_and_program() -> None:
    registry = CompatibilityRegistry()
    registry.register(1, "sshd", [SSL])
    registry.register(2, "sshd", [])
    assert registry.offered(1, "sshd") == (SSL,)
    assert registry.offered(2, "sshd") == registry.offered(1, "other") == registry.offered(3, "sshd") == ()
    registry.register(1, "sshd", [])
    assert registry.offered(1, "sshd") == ()


def test_the_registry_is_bounded() -> None:
    registry = CompatibilityRegistry()
    for number in range(VECTORS_MAX):
        registry.register(1, str(number), [SSL])
    with pytest.raises(ContinuationError, match="256 programs of this user"):
        registry.register(1, "one more", [SSL])
    registry.register(1, "0", [])
    registry.register(2, "another user's", [SSL])
    with pytest.raises(ContinuationError, match="there are 257"):
        registry.register(2, "a", [SSL] * (TAGS_MAX + 1))
    with pytest.raises(ContinuationError, match="1 to 255 characters"):
        registry.register(2, "", [])
