"""Ask this host's holder, from a program without an event loop, and start one where there is none.

Source: daemon(7), "SysV Daemons": after a second fork the holder can never gain a controlling terminal.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from migrated.terminal.names import unknown
from migrated.terminal.place import HolderError, Place
from migrated.terminal.requests import (
    Answer,
    Kill,
    List,
    Open,
    Refused,
    Request,
    RequestError,
    TerminalList,
    decode_answer,
    encode,
)

ANSWER_S: Final = 30.0
_STARTED: Final = b"ready\n"


def ask(place: Place, request: Request, answer_s: float = ANSWER_S) -> Answer:
    """Return the holder's answer; without a holder there are no terminals, and the first `Open` starts one.

    Args:
        place: where the holder is.
        request: what to ask.
        answer_s: seconds that it has for its answer.

    Raises:
        HolderError: no holder can be started, or it does not answer.
        PlaceError: the place can't be used.
    """
    if isinstance(request, Open):
        place.prepare()
        with place.locked():
            return (
                _conversation(place, request, answer_s)
                or _conversation(_started(place), request, answer_s)
                or _lost(place)
            )
    answer = _conversation(place, request, answer_s)
    if answer is not None:
        return answer
    if isinstance(request, Kill):
        return Refused(reason=unknown(request.name, ()))
    assert isinstance(request, List)
    return TerminalList(terminals=())


def become_holder(place: Place, started: int, run: Callable[[Place, Callable[[], None]], None]) -> None:
    """Leave whoever started this process behind, and hold terminals until there are none.

    Args:
        place: where the holder is to be found.
        started: a descriptor to write to when it is; closed then.
        run: runs the holder; it calls its second argument when the holder listens.
    """
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        os.chdir(Path.home())  # where shells begin
    except OSError:
        os.chdir("/")
    os.umask(0o077)
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    for descriptor in {log, nothing} - {0, 1, 2}:
        os.close(descriptor)

    def tell() -> None:
        os.write(started, _STARTED)
        os.close(started)

    run(place, tell)


def _started(place: Place) -> Place:
    """Start a holder and wait until it listens."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "migrated.terminal", str(writer), str(place.folder), place.host]
    with open(reader, "rb") as answer:  # noqa: PTH123 - it is a descriptor
        process = subprocess.Popen(
            command, pass_fds=(writer,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        os.close(writer)
        process.wait()
        if answer.read() != _STARTED:
            raise HolderError(f"the process that holds terminals did not start: {_last_words(place.log)}")
    return place


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return f"{lines[-1]} (all of it: {log})" if lines else "it said nothing"


def _conversation(place: Place, request: Request, answer_s: float) -> Answer | None:
    """Ask; return ``None`` where no holder listens, or where it ended meanwhile."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(answer_s)
        try:
            sock.connect(str(place.socket))
            sock.sendall(encode(request))
            with sock.makefile("rb") as lines:
                line = lines.readline()
        except (FileNotFoundError, ConnectionError):
            return None
        except TimeoutError as error:
            raise HolderError(
                f"the process that holds terminals does not answer within {answer_s:g} s"
            ) from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise HolderError(f"cannot connect to {place.socket}: {reason}") from error
    try:
        return decode_answer(line) if line else None
    except RequestError as error:
        raise HolderError(str(error)) from error


def _lost(place: Place) -> Answer:
    raise HolderError(f"the process that holds terminals ended at once: {_last_words(place.log)}")
