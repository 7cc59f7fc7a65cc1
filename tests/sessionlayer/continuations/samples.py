"""Continuations for tests, by hand and by Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from sessionlayer.continuations.values import CONNECTION, Continuation, Process, Tag

PROCESS = Process(
    argv=("counter", "--resume"),
    environment={"HOME": "/home/me", "LANG": "C.UTF-8"},
    directory="/srv",
    uid=1000,
    euid=1000,
    gid=100,
    egid=100,
    groups=(100, 27),
    umask=0o022,
    nice=5,
    blocked_signals=(13,),
)

COMPLETE = Continuation(
    descriptors=(CONNECTION, "log"),
    attributes={"index": b"\x00\x01", "name": "käse".encode()},
    exported=frozenset({"index"}),
    process=PROCESS,
    compatibility=(Tag(id="lib", name="libssl", value="3.0.17"),),
    on_expiry=True,
)

_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)
_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_ids = st.integers(0, 2**32 - 2)

tags = st.builds(Tag, id=_names, name=_names, value=st.text("ab", max_size=3))

processes = st.builds(
    Process,
    argv=st.lists(_words.filter(bool), min_size=1, max_size=4).map(tuple),
    environment=st.dictionaries(_words.filter(lambda name: name and "=" not in name), _words, max_size=4),
    directory=_words.map("/".__add__),
    uid=_ids,
    euid=_ids,
    gid=_ids,
    egid=_ids,
    groups=st.lists(_ids, max_size=4).map(tuple),
    umask=st.integers(0, 0o777),
    nice=st.integers(-20, 19),
    blocked_signals=st.lists(st.integers(1, 64), max_size=4).map(tuple),
)


@st.composite
def continuations(draw: st.DrawFn) -> Continuation:
    attributes = draw(st.dictionaries(_names, st.binary(max_size=300), max_size=6))
    names = st.sampled_from(sorted(attributes)) if attributes else st.nothing()
    return Continuation(
        descriptors=tuple(draw(st.lists(_names, max_size=4, unique=True))),
        attributes=attributes,
        exported=draw(st.frozensets(names)),
        function=draw(st.text("fg", max_size=3)),
        process=draw(st.none() | processes),
        compatibility=tuple(draw(st.lists(tags, max_size=4))),
        on_expiry=draw(st.booleans()),
    )
