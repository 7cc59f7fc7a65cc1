"""Whether a continuation that a program returns can be taken, whatever its session is carried by."""

from __future__ import annotations

import fcntl

from migrated.applications.client import Client
from migrated.applications.refusal import RefusedError
from migrated.applications.waits import may_wait
from migrated.applications.wire import Descriptors
from migrated.continuations.bounds import StartRefusedError
from migrated.continuations.spawn import check_start
from sessionlayer.application.memory import read_memory
from sessionlayer.continuations.codec import decode
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import ENCODED_MAX
from sessionlayer.continuations.values import Continuation


def read_content(descriptor: int) -> bytes:
    """Read a memory file; what another process writes into it meanwhile does no harm, as this is a copy.

    Raises:
        RefusedError: it is none, or too large.
    """
    try:
        # Only files in memory have seals, and reading them never waits for anybody.
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        return read_memory(descriptor, ENCODED_MAX)
    except OSError as error:
        reason = "the first descriptor is no memory file; make one with memfd_create"
        raise RefusedError("bad-request", reason) from error
    except ValueError as error:
        raise RefusedError("unreadable", str(error)) from error


def decoded_continuation(content: bytes) -> Continuation:
    """Return what a memory file says.

    Raises:
        RefusedError: it is no continuation.
    """
    try:
        return decode(content)
    except ContinuationError as error:
        raise RefusedError("unreadable", str(error)) from error


def check_file_systems(continuation: Continuation, descriptors: Descriptors, client: Client) -> None:
    """Refuse what could make us wait: we do nothing else meanwhile, and could not bring a link back.

    Raises:
        RefusedError: a file system may not answer.
    """
    for name, number in zip(continuation.descriptors, descriptors.numbers, strict=True):
        if kind := may_wait(number, client.who.pid):
            reason = (
                f"descriptor `{name}` is of a file on {kind}, which can make the daemon wait; leave it out, "
                "and open it again where the session goes on"
            )
            raise RefusedError("resources", reason)


def check_process(continuation: Continuation, client: Client, uid: int) -> None:
    """Refuse a process that would be more than who returned it, while the kernel knows who that is.

    Args:
        continuation: complete, or without a process.
        client: who returned it.
        uid: whose session it is.

    Raises:
        RefusedError: it may not be started.
    """
    process = continuation.process
    if process is None:
        return
    try:
        check_start(process, client.sender())
    except (StartRefusedError, OSError) as error:
        raise RefusedError("permission", str(error)) from error
    if uid and {process.uid, process.euid} != {uid}:
        reason = f"the connection is user {uid}'s, so that a process of user {process.euid} can't have it"
        raise RefusedError("permission", reason)
