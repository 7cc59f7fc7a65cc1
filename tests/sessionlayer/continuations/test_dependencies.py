from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.continuations.dependencies import Dependencies
from sessionlayer.continuations.errors import ContinuationError, DependencyCycleError
from sessionlayer.continuations.limits import PARENTS_MAX

SESSIONS = [bytes([number]) for number in range(8)]
edges = st.lists(st.tuples(st.sampled_from(SESSIONS), st.sampled_from(SESSIONS)), max_size=20)
subsets = st.sets(st.sampled_from(SESSIONS))


def built(pairs: list[tuple[bytes, bytes]]) -> tuple[Dependencies, set[tuple[bytes, bytes]]]:
    """Add every edge (child, parent) that makes no cycle; return them as well."""
    dependencies, kept = Dependencies(), set[tuple[bytes, bytes]]()
    for child, parent in pairs:
        if child in reached({parent}, kept, upwards=True):
            with pytest.raises(DependencyCycleError):
                dependencies.add(child, parent)
        else:
            dependencies.add(child, parent)
            kept.add((child, parent))
    return dependencies, kept


def reached(start: set[bytes], pairs: set[tuple[bytes, bytes]], *, upwards: bool = False) -> set[bytes]:
    """Return all that depend on ``start``, or all that it depends on, with ``start`` itself."""
    found = set(start)
    while True:
        more = {p if upwards else c for c, p in pairs if (c if upwards else p) in found} - found
        if not more:
            return found
        found |= more


@given(edges, subsets)
def test_children_suspend_with_and_before_their_parents(
    pairs: list[tuple[bytes, bytes]], roots: set[bytes]
) -> None:
    dependencies, kept = built(pairs)
    order = dependencies.suspension(roots)
    assert len(order) == len(set(order))
    assert set(order) == reached(roots, kept)
    place = {session: number for number, session in enumerate(order)}
    assert all(place[child] < place[parent] for child, parent in kept if parent in place)


@given(edges, st.sampled_from(SESSIONS))
def test_a_forgotten_session_leaves_nothing(pairs: list[tuple[bytes, bytes]], gone: bytes) -> None:
    dependencies, kept = built(pairs)
    dependencies.forget(gone)
    left, _ = built(sorted((child, parent) for child, parent in kept if gone not in (child, parent)))
    for session in SESSIONS:
        assert set(dependencies.children(session)) == set(left.children(session))
        assert set(dependencies.parents(session)) == set(left.parents(session))


def test_a_cycle_is_named() -> None:
    dependencies = Dependencies()
    dependencies.add(b"\xbb", b"\xaa")
    dependencies.add(b"\xcc", b"\xbb")
    with pytest.raises(
        DependencyCycleError, match="`aa` on `cc` on `bb` on `aa`; let dependencies"
    ) as caught:
        dependencies.add(b"\xaa", b"\xcc")
    assert caught.value.cycle == ("aa", "cc", "bb", "aa")
    with pytest.raises(DependencyCycleError, match="`aa` on `aa`"):
        dependencies.add(b"\xaa", b"\xaa")
    assert dependencies.parents(b"\xaa") == ()


def test_it_leads_one_way() -> None:
    dependencies = Dependencies()
    dependencies.add(b"child", b"parent")
    assert dependencies.suspension([b"child"]) == (b"child",)
    assert dependencies.suspension([b"parent"]) == (b"child", b"parent")


def test_too_many_parents() -> None:
    dependencies = Dependencies()
    for number in range(PARENTS_MAX):
        dependencies.add(b"child", bytes([number]))
    dependencies.add(b"child", bytes([0]))
    with pytest.raises(ContinuationError, match="it depends on 16 sessions"):
        dependencies.add(b"child", b"\xff")


def test_a_long_chain_is_no_deep_stack() -> None:
    dependencies = Dependencies()
    chain = [number.to_bytes(2, "big") for number in range(5000)]
    for parent, child in pairwise(chain):
        dependencies.add(child, parent)
    assert dependencies.suspension([chain[0]]) == tuple(reversed(chain))
