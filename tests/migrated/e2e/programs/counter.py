"""The paper's counter: a server that sends one number after the other to each client, and knows Migrate.

Usage: counter.py STYLE PORT SOCKET [OPTION...]

STYLE is what its handler does: `keep` runs on, `internal` and `complete` return such a continuation,
`newer` one of a version to come, `picky` one that needs the program as it is now, `telling` a complete one
that keeps its standard output and wants to clean up, `cleaning` such an internal one; `late` a complete one,
whose process asks for its session once there is a file `go-on` beside SOCKET; `lazy` an internal one, only
when it is demanded; `raise` fails, `hang` never answers. `quiet` runs on and counts to ten until it was
resumed. It says `listening`, `session ID`, `suspended`, `granted`, `denied CODE`, `resumed`, `invoked INDEX`,
`continued INDEX`, `cleaned-up INDEX`, `waiting REASON`, `ended CODE`. It speaks the daemon's own messages,
not the library's calls, so that it can also say what the library never would.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sessionlayer.application.capture import this_process
from sessionlayer.application.memory import read_memory, write_memory
from sessionlayer.application.messages import (
    DESCRIPTORS_MAX,
    MESSAGE_MAX,
    Answer,
    Denied,
    Ended,
    GetSession,
    Granted,
    HandlerFailed,
    Invoke,
    KeepRunning,
    RegisterAttachHandler,
    RegisterCompatibility,
    RegisterHandler,
    Request,
    Resume,
    ReturnContinuation,
    Suspend,
    Waiting,
    decode_answer,
    encode,
)
from sessionlayer.continuations.codec import decode
from sessionlayer.continuations.codec import encode as encode_continuation
from sessionlayer.continuations.limits import ENCODED_MAX
from sessionlayer.continuations.values import CONNECTION, Continuation, Tag

PERIOD_S = 0.02
QUIET_FROM = 10
TAGS = (Tag("lib", "libcount", "1.0"),)
WAIT_S = 60.0
ANEW = ("complete", "telling", "late")


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Daemon:
    """The conversation with the daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @classmethod
    def at(cls, path: str) -> Daemon:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(path)
        return cls(sock)

    def tell(self, message: Request, descriptors: Sequence[int] = ()) -> None:
        socket.send_fds(self.sock, [encode(message)], list(descriptors))

    def hear(self) -> tuple[Answer | None, list[int]]:
        try:
            data, descriptors, _, _ = socket.recv_fds(self.sock, MESSAGE_MAX, DESCRIPTORS_MAX)
        except ConnectionResetError:  # a daemon that is killed
            return None, []
        return (decode_answer(data) if data else None), descriptors

    def ask(self, message: Request, descriptors: Sequence[int] = ()) -> tuple[Answer | None, list[int]]:
        self.tell(message, descriptors)
        return self.hear()


class Counter:
    """One client's session."""

    def __init__(self, style: str, path: str, sock: socket.socket | None, index: int) -> None:
        self.style = style
        self.path = path
        self.sock = sock
        self.index = index
        self.giving_up = False
        self.session = b""
        self.daemon: Daemon | None = None

    def run(self) -> None:
        """Count until the client or the session is gone."""
        while self.sock is not None or self.daemon is not None:
            readers = [self.daemon.sock] if self.daemon is not None else []
            ready, _, _ = select.select(readers, [], [], PERIOD_S)
            if ready and not self.heard():
                return
            quiet = self.giving_up or (self.style == "quiet" and self.index > QUIET_FROM)
            if self.sock is not None and not quiet and not self.send():
                return

    def send(self) -> bool:
        assert self.sock is not None
        _, writable, _ = select.select([], [self.sock], [], 0)
        if writable:
            try:
                self.sock.sendall(f"{self.index}\n".encode())
            except OSError as error:
                say("lost", error.strerror)
                return False
            self.index += 1
        return True

    def attach(self, daemon: Daemon) -> None:
        assert self.sock is not None
        self.daemon = daemon
        if self.style == "picky":
            daemon.ask(RegisterCompatibility(number=1, program="counter", tags=TAGS))
        answer, _ = daemon.ask(GetSession(number=1, wait_s=WAIT_S), [self.sock.fileno()])
        if isinstance(answer, Denied):
            say("denied", answer.code)
            self.daemon = None
            return
        assert isinstance(answer, Granted)
        self.registered(answer.session)

    def registered(self, session: bytes) -> None:
        assert self.daemon is not None
        self.session = session
        self.daemon.tell(RegisterHandler(number=2, session=session, lazy=self.style == "lazy"))
        say("session", session.hex()[:8])

    def heard(self) -> bool:
        """Take one message of the daemon's; return whether to go on."""
        assert self.daemon is not None
        answer, descriptors = self.daemon.hear()
        match answer:
            case Suspend():
                say("suspended")
                if answer.required:
                    self.handle()
            case Resume():
                say("resumed")
                self.style = self.style.removeprefix("quiet")
            case Granted(number=3):
                say("granted")
                assert self.sock is not None
                self.sock.close()
                self.sock, self.giving_up = None, False
                if self.style in ANEW:
                    return False
            case Denied():
                say("denied", answer.code)
                self.giving_up = False
            case Invoke(program="counter"):
                self.invoked(descriptors)
            case Waiting():
                say("waiting", *answer.because)
            case Ended():
                say("ended", answer.code)
            case None:
                say("daemon gone")
                self.daemon = None
                self.wait_for_daemon()
        return True

    def wait_for_daemon(self) -> None:
        daemon = self.found_again()
        if self.sock is not None:
            self.attach(daemon)
        else:
            self.daemon = daemon
            daemon.tell(RegisterHandler(number=2, session=self.session))

    def found_again(self) -> Daemon:
        """Wait for a daemon that answers; a dying one still lets programs in."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            time.sleep(0.1)
            try:
                daemon = Daemon.at(self.path)
                answer, _ = daemon.ask(RegisterAttachHandler(number=1, program="nobody's"))
            except OSError:
                continue
            if answer is not None:
                return daemon
        raise TimeoutError("the daemon does not come back")

    def handle(self) -> None:
        assert self.daemon is not None
        match self.style:
            case "keep" | "quiet" | "":
                self.daemon.tell(KeepRunning(session=self.session))
            case "raise":
                self.daemon.tell(HandlerFailed(session=self.session, reason="ValueError: no\nsuch thing"))
            case "hang":
                return
            case _:
                self.give_up()

    def give_up(self) -> None:
        assert self.daemon is not None
        assert self.sock is not None
        anew, telling = self.style in ANEW, self.style == "telling"
        continuation = Continuation(
            descriptors=(CONNECTION, "stdout") if telling else (CONNECTION,),
            attributes={"index": str(self.index).encode()},
            function="" if anew else "count",
            process=this_process() if anew else None,
            compatibility=TAGS if self.style == "picky" else (),
            on_expiry=self.style in ("telling", "cleaning"),
        )
        content = encode_continuation(continuation)
        if self.style == "newer":
            content = content[:4] + b"\xff\xff" + content[6:]
        memory = write_memory(content)
        self.giving_up = True
        request = ReturnContinuation(number=3, session=self.session, program="counter")
        self.daemon.tell(request, [memory, self.sock.fileno(), *([1] if telling else [])])
        os.close(memory)

    def invoked(self, descriptors: list[int]) -> None:
        memory, *others = descriptors
        continuation = decode(read_memory(memory, ENCODED_MAX))
        os.close(memory)
        names = continuation.descriptors
        if len(others) < len(names):
            say("cleaned-up", continuation.attributes["index"].decode())
            return
        connection = others[0]
        self.sock = socket.socket(fileno=connection)
        self.index = int(continuation.attributes["index"])
        say("invoked", self.index)


def continued(style: str, path: str) -> Counter:
    """Go on where another process has stopped."""
    if style == "late":
        wait_for(Path(path).with_name("go-on"))
    daemon = Daemon(socket.socket(fileno=int(os.environ["MIGRATE_CONT"])))
    answer, descriptors = daemon.ask(GetSession(number=1))
    assert isinstance(answer, Granted), answer
    counter = Counter(style, path, None, 0)
    counter.daemon = daemon
    counter.invoked(descriptors)
    if counter.sock is not None:
        say("continued", counter.index)
        counter.registered(answer.session)
    return counter


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def main() -> None:
    style, port, path = sys.argv[1:4]
    if "MIGRATE_CONT" in os.environ:
        counter = continued(style, path)
        if counter.sock is not None:
            counter.run()
        return
    with socket.create_server(("", int(port))) as listener:
        say("listening")
        sock, _ = listener.accept()
        counter = Counter(style, path, sock, 1)
        counter.attach(Daemon.at(path))
        counter.run()


if __name__ == "__main__":
    main()
