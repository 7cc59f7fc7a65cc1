from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sessionlayer.continuations.attributes import AttributeStore
from sessionlayer.continuations.errors import (
    AttributeStoreFullError,
    ContinuationError,
    UnknownAttributeError,
)
from sessionlayer.continuations.limits import (
    ATTRIBUTE_MAX,
    ATTRIBUTES_MAX,
    ATTRIBUTES_TOTAL_MAX,
    EXPORTED_TOTAL_MAX,
)

NAMES = st.sampled_from(["a", "b", "index", "käse"])
VALUES = st.integers(0, 3).flatmap(lambda n: st.just(bytes(n * 5000)))


class Dictionary(RuleBasedStateMachine):
    """The store is a dictionary and a set, whatever is done to it and whatever it refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.store = AttributeStore()
        self.values: dict[str, bytes] = {}
        self.exported: set[str] = set()

    def exported_total(self, values: dict[str, bytes], exported: set[str]) -> int:
        return sum(len(name.encode()) + len(values[name]) for name in exported)

    @rule(name=NAMES, value=VALUES)
    def save(self, name: str, value: bytes) -> None:
        after = self.values | {name: value}
        if self.exported_total(after, self.exported) > EXPORTED_TOTAL_MAX:
            with pytest.raises(AttributeStoreFullError):
                self.store.store(name, value)
        else:
            self.store.store(name, value)
            self.values = after

    @rule(name=NAMES)
    def export(self, name: str) -> None:
        if name not in self.values:
            with pytest.raises(UnknownAttributeError):
                self.store.export(name)
        elif self.exported_total(self.values, self.exported | {name}) > EXPORTED_TOTAL_MAX:
            with pytest.raises(AttributeStoreFullError):
                self.store.export(name)
        else:
            self.store.export(name)
            self.exported.add(name)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name not in self.values:
            with pytest.raises(UnknownAttributeError):
                self.store.delete(name)
            return
        self.store.delete(name)
        del self.values[name]
        self.exported.discard(name)

    @invariant()
    def is_what_it_should_be(self) -> None:
        assert self.store.attributes == self.values
        assert self.store.exported == self.exported
        assert self.store.total == sum(len(name.encode()) + len(value) for name, value in self.values.items())
        for name, value in self.values.items():
            assert (self.store.retrieve(name), self.store.store_size(name)) == (value, len(value))


TestDictionary = Dictionary.TestCase
TestDictionary.settings = settings(max_examples=40, deadline=None)


@given(st.dictionaries(NAMES, VALUES))
def test_it_starts_with_what_a_continuation_brings(attributes: dict[str, bytes]) -> None:
    store = AttributeStore(attributes, list(attributes)[:1])
    assert (store.attributes, store.exported) == (attributes, frozenset(list(attributes)[:1]))


def test_a_value_that_is_too_large() -> None:
    store = AttributeStore({"a": b"before"})
    store.store("b", bytes(ATTRIBUTE_MAX))
    with pytest.raises(AttributeStoreFullError, match="attribute `a`: its value has 262145 bytes"):
        store.store("a", bytes(ATTRIBUTE_MAX + 1))
    assert store.retrieve("a") == b"before"


def test_a_store_that_is_full_changes_nothing_and_says_so() -> None:
    store = AttributeStore({name: bytes(ATTRIBUTE_MAX - 1) for name in "abcd"})
    assert store.total == ATTRIBUTES_TOTAL_MAX
    before = store.attributes
    for name, value in (("e", b""), ("a", bytes(ATTRIBUTE_MAX))):
        with pytest.raises(AttributeStoreFullError, match="full: with it, it would have 1048577 bytes"):
            store.store(name, value)
    assert store.attributes == before
    store.store("a", b"")
    store.store("e", b"now there is room")


def test_too_many_names() -> None:
    store = AttributeStore({str(number): b"" for number in range(ATTRIBUTES_MAX)})
    with pytest.raises(AttributeStoreFullError, match="full: it has 1024 attributes"):
        store.store("one more", b"")
    store.store("0", b"in place of another")


@pytest.mark.parametrize("name", ["", "x" * 256, "\udcff"])
def test_a_name_that_cannot_be(name: str) -> None:
    with pytest.raises(ContinuationError, match="choose another name"):
        AttributeStore().store(name, b"")


def test_a_value_that_is_no_bytes() -> None:
    with pytest.raises(TypeError, match="attribute `a` must be bytes, not str"):
        AttributeStore().store("a", "text")  # type: ignore[arg-type]


def test_an_unknown_name_comes_with_a_guess() -> None:
    store = AttributeStore({"index": b"1"})
    with pytest.raises(
        LookupError, match="attribute `indx`: there is none of this name; did you mean `index`"
    ):
        store.retrieve("indx")


def test_what_is_taken_out_does_not_change_the_store() -> None:
    store = AttributeStore({"a": b"1"})
    store.attributes["b"] = b"2"
    assert store.attributes == {"a": b"1"}
