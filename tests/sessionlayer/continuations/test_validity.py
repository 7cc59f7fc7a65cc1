from __future__ import annotations

import pytest
from hypothesis import given
from msgspec.structs import replace

from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import ATTRIBUTE_MAX, DESCRIPTORS_MAX, NAME_MAX, TAGS_MAX
from sessionlayer.continuations.validity import check
from sessionlayer.continuations.values import RESERVED, Continuation, Process, Tag
from tests.sessionlayer.continuations.samples import COMPLETE, PROCESS, continuations

LONG = "x" * (NAME_MAX + 1)


@given(continuations())
def test_what_can_be_is_accepted(continuation: Continuation) -> None:
    check(continuation)


def test_the_librarys_own_attributes_do_not_count() -> None:
    """What a program had not sent yet must not keep it from being given up."""
    check(Continuation(attributes={f"{RESERVED}unsent": bytes(2 * ATTRIBUTE_MAX)}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Continuation(attributes={"": b""}), "attribute ``: a name has 1 to 255 characters, this one has 0"),
        (
            Continuation(attributes={"a": bytes(ATTRIBUTE_MAX + 1)}),
            "attribute `a`: its value has 262145 bytes",
        ),
        (Continuation(exported=frozenset({"a"})), "attribute `a`: there is none of this name"),
        (Continuation(function=LONG), "the function's name: it has 256 characters, at most 255"),
        (Continuation(descriptors=("a", "a")), "descriptors: two have the same name"),
        (Continuation(descriptors=("",)), "descriptors: a name must not be empty"),
        (
            Continuation(descriptors=tuple(map(str, range(DESCRIPTORS_MAX + 1)))),
            "descriptors: there are 250, at most 249 are allowed",
        ),
        (
            Continuation(compatibility=(Tag(id="lib", name="x", value="1"),) * (TAGS_MAX + 1)),
            "compatibility tags: there are 257, at most 256 are allowed",
        ),
        (
            Continuation(compatibility=(Tag(id="", name="x", value="1"),)),
            "compatibility tag ` x`: its id and its name must not be empty",
        ),
        (
            Continuation(compatibility=(Tag(id="lib", name="x", value=LONG),)),
            "compatibility tag `lib x`: it has 256 characters",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(wrong: Continuation, message: str) -> None:
    with pytest.raises(ContinuationError) as caught:
        check(wrong)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (replace(PROCESS, argv=()), "process: it has no command line"),
        (replace(PROCESS, argv=("",)), "process: it has no command line"),
        (replace(PROCESS, argv=("a", "b\0c")), "process arguments: it has a zero byte in it"),
        (replace(PROCESS, directory="srv"), "process directory: `srv` is not absolute"),
        (replace(PROCESS, directory="/a\0"), "process directory: it has a zero byte in it"),
        (replace(PROCESS, environment={"A=B": "c"}), "process environment: a variable's name is empty"),
        (replace(PROCESS, environment={"": "c"}), "process environment: a variable's name is empty"),
        (replace(PROCESS, environment={"A": "\0"}), "process environment: it has a zero byte"),
        (replace(PROCESS, uid=-1), "process: a user or group id is not one of 0 to 4294967294"),
        (replace(PROCESS, egid=2**32 - 1), "process: a user or group id is not one of"),
        (replace(PROCESS, groups=(2**40,)), "process: a user or group id is not one of"),
        (replace(PROCESS, umask=0o1000), "process: the umask 0o1000 is not one of 0 to 0o777"),
        (replace(PROCESS, nice=20), "process: the nice value 20 is not one of -20 to 19"),
        (replace(PROCESS, nice=-21), "process: the nice value -21"),
        (replace(PROCESS, blocked_signals=(65,)), "blocked signals: a signal's number is not one of 1 to 64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_process_that_cannot_be_is_refused(process: Process, message: str) -> None:
    with pytest.raises(ContinuationError) as caught:
        check(replace(COMPLETE, process=process))
    assert str(caught.value).startswith(message)
