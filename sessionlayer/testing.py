"""What every stream socket has to do: a conformance suite for anything that claims to be one.

    @pytest.mark.parametrize("check", STREAM_CHECKS)
    def test_it_is_a_stream_socket(check: Check) -> None:
        run_check(check, my_two_connected_sockets())

A check is a function of two connected sockets, which it may close. `run_check` gives them a time-out, so that
no check waits for ever, and closes them; what is not as expected becomes an AssertionError that says so. No
test framework is needed.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

Pair: TypeAlias = tuple[socket.socket, socket.socket]
"""Two connected sockets."""

Check: TypeAlias = Callable[[socket.socket, socket.socket], None]
"""Something that is expected of both; with one, it is of the first."""

PATIENCE_S: Final = 60.0
"""Seconds after which a call that should have returned counts as one that hangs."""

SHORT_S: Final = 0.05
"""Seconds for calls that have to time out."""

LARGE: Final = 8 * 1024 * 1024
"""Bytes that fit into no buffer between two sockets."""


# --- bytes ---


def bytes_arrive_in_order(one: socket.socket, other: socket.socket) -> None:
    """What is sent in pieces arrives whole, both ways."""
    for sender, receiver in ((one, other), (other, one)):
        for piece in (b"a", b"bc", b"def" * 1000):
            sender.sendall(piece)
        _same(_exactly(receiver, 3003), b"abc" + b"def" * 1000)


def a_small_buffer_takes_a_part(one: socket.socket, other: socket.socket) -> None:
    """What does not fit into the receiver's buffer comes with the next call."""
    one.sendall(b"0123456789")
    _wait_readable(other)
    _same(other.recv(4), b"0123")
    _same(_exactly(other, 6), b"456789")


def much_goes_both_ways_at_once(one: socket.socket, other: socket.socket) -> None:
    """Two full directions don't stop each other."""
    there, back = _pattern(LARGE, 7), _pattern(LARGE, 11)
    with (
        _running(lambda: one.sendall(there)),
        _running(lambda: other.sendall(back)),
        _running(lambda: _same(_exactly(other, LARGE), there)),
    ):
        _same(_exactly(one, LARGE), back)


def a_buffer_is_received_into(one: socket.socket, other: socket.socket) -> None:
    """`recv_into` fills a buffer as far as asked, and no further."""
    one.sendall(b"0123456789")
    _wait_readable(other)
    buffer = bytearray(b"----------")
    _same(other.recv_into(buffer, 4), 4)
    _same(bytes(buffer), b"0123------")
    _same(other.recv_into(memoryview(buffer)[4:]), 6)
    _same(bytes(buffer), b"0123456789")


def several_buffers_are_sent_as_one(one: socket.socket, other: socket.socket) -> None:
    """`sendmsg` and `recvmsg` gather and scatter."""
    _same(one.sendmsg([b"ab", bytearray(b"cd"), memoryview(b"ef")]), 6)
    _wait_readable(other)
    data, ancillary, _, _ = other.recvmsg(100)
    _same((data, ancillary), (b"abcdef", []))


def what_is_peeked_at_stays(one: socket.socket, other: socket.socket) -> None:
    """`MSG_PEEK` leaves bytes where they are."""
    one.sendall(b"peek")
    _wait_readable(other)
    _same(other.recv(10, socket.MSG_PEEK), b"peek")
    _same(other.recv(10), b"peek")


def nothing_can_be_sent(one: socket.socket, other: socket.socket) -> None:
    """Sending no bytes is no end of file."""
    _same(one.send(b""), 0)
    one.sendall(b"")
    one.sendall(b"x")
    _same(other.recv(10), b"x")


# --- ends ---


def a_close_is_an_end_of_file(one: socket.socket, other: socket.socket) -> None:
    """The peer reads what was sent before, then the end, as often as it asks."""
    one.sendall(b"last words")
    one.close()
    _same(_exactly(other, 10), b"last words")
    _same((other.recv(1), other.recv(1)), (b"", b""))


def a_close_loses_nothing(one: socket.socket, other: socket.socket) -> None:
    """What `sendall` has taken arrives, also if the socket is closed at once."""
    data = _pattern(LARGE, 13)

    def send_and_close() -> None:
        one.sendall(data)
        one.close()

    with _running(send_and_close):
        _same(_exactly(other, LARGE), data)
        _same(other.recv(1), b"")


def the_directions_end_apart(one: socket.socket, other: socket.socket) -> None:
    """After `shutdown(SHUT_WR)` the other direction goes on."""
    one.sendall(b"question")
    one.shutdown(socket.SHUT_WR)
    _same(_exactly(other, 8), b"question")
    _same(other.recv(1), b"")
    other.sendall(b"answer")
    other.close()
    _same(_exactly(one, 6), b"answer")
    _same(one.recv(1), b"")


def what_is_shut_down_can_not_be_sent_to(one: socket.socket, other: socket.socket) -> None:
    """Sending after `shutdown(SHUT_WR)` fails."""
    one.shutdown(socket.SHUT_WR)
    _raises(BrokenPipeError, lambda: one.send(b"more"))


def a_peer_that_has_gone_is_noticed(one: socket.socket, other: socket.socket) -> None:
    """Whoever sends to a closed peer learns of it."""
    other.close()

    def send_for_ever() -> None:
        while True:
            one.sendall(bytes(65_536))

    _raises(ConnectionError, send_for_ever)


def a_closed_socket_is_closed(one: socket.socket, other: socket.socket) -> None:
    """It has no descriptor, and every call fails; closing again does no harm."""
    one.close()
    one.close()
    _same(one.fileno(), -1)
    for call in (lambda: one.recv(1), lambda: one.send(b"x"), one.getpeername, one.getsockname):
        _raises(OSError, call)


def a_socket_is_closed_by_its_block(one: socket.socket, other: socket.socket) -> None:
    """A socket is a context manager."""
    with one as same:
        _same(same is one, True)
    _same(one.fileno(), -1)
    _same(other.recv(1), b"")


# --- time ---


def a_receiver_does_not_wait_longer(one: socket.socket, other: socket.socket) -> None:
    """`recv` ends with `TimeoutError`, and works later."""
    one.settimeout(SHORT_S)
    _same(one.gettimeout(), SHORT_S)
    _raises(TimeoutError, lambda: one.recv(1))
    other.sendall(b"late")
    one.settimeout(PATIENCE_S)
    _same(_exactly(one, 4), b"late")


def a_sender_does_not_wait_longer(one: socket.socket, other: socket.socket) -> None:
    """`sendall` to a peer that does not read ends with `TimeoutError`: what is between the two is bounded."""
    one.settimeout(SHORT_S)

    def send_for_ever() -> None:
        for _ in range(1024):
            one.sendall(bytes(1024 * 1024))

    _raises(TimeoutError, send_for_ever)


def nobody_waits_who_does_not_want_to(one: socket.socket, other: socket.socket) -> None:
    """A socket that does not block says so."""
    one.setblocking(False)
    _same((one.getblocking(), one.gettimeout()), (False, 0.0))
    _raises(BlockingIOError, lambda: one.recv(1))
    other.sendall(b"now")
    _wait_readable(one)
    _same(one.recv(10), b"now")
    one.setblocking(True)
    _same((one.getblocking(), one.gettimeout()), (True, None))


# --- select ---


def select_tells_who_can_read(one: socket.socket, other: socket.socket) -> None:
    """A socket is readable when there are bytes or the end, and not before."""
    _same(select.select([one], [], [], 0)[0], [])
    other.sendall(b"x")
    _wait_readable(one)
    one.recv(1)
    _same(select.select([one], [], [], 0)[0], [])
    other.close()
    _wait_readable(one)
    _same(one.recv(1), b"")


def select_tells_who_can_write(one: socket.socket, other: socket.socket) -> None:
    """A socket is writable until all is full, and again when the peer has read."""
    one.setblocking(False)
    sent = 0
    try:
        while select.select([], [one], [], SHORT_S)[1]:
            if sent >= 1024 * LARGE:
                raise AssertionError(f"{sent} bytes were taken from a sender whose peer does not read")
            sent += one.send(bytes(65_536))
    except BlockingIOError:
        _same(select.select([], [one], [], 0)[1], [])
    _same(len(_exactly(other, sent)), sent)
    if not select.select([], [one], [], PATIENCE_S)[1]:
        raise AssertionError(f"the socket is not writable after {PATIENCE_S:g} s")


# --- files and descriptors ---


def a_socket_makes_files(one: socket.socket, other: socket.socket) -> None:
    """Lines can be written and read, in bytes and in text."""
    with one.makefile("wb") as writing:
        writing.write(b"first\nsecond\n")
    with one.makefile("w", encoding="utf-8", newline="\n") as text:
        text.write("dritte Zeile, länger\n")
    with other.makefile("rb") as reading:
        _same([reading.readline() for _ in range(2)], [b"first\n", b"second\n"])
        _same(reading.readline().decode(), "dritte Zeile, länger\n")


def a_file_keeps_its_socket_open(one: socket.socket, other: socket.socket) -> None:
    """Closing the socket closes the connection only when its files are closed, too."""
    writing = one.makefile("wb", buffering=0)
    one.close()
    writing.write(b"still here")
    _same(_exactly(other, 10), b"still here")
    writing.close()
    _same(other.recv(1), b"")


def a_file_reads_to_the_end(one: socket.socket, other: socket.socket) -> None:
    """Reading a file without a length ends with the stream."""
    data = _pattern(LARGE, 17)

    def send_and_end() -> None:
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)

    with _running(send_and_end), other.makefile("rb") as reading:
        _same(reading.read(), data)


def a_duplicate_is_the_same_connection(one: socket.socket, other: socket.socket) -> None:
    """The connection ends when the last of the duplicates is closed."""
    again = one.dup()
    with again:
        one.close()
        again.sendall(b"dup")
        _same(_exactly(other, 3), b"dup")
    _same(other.recv(1), b"")


def a_descriptor_can_be_taken_out(one: socket.socket, other: socket.socket) -> None:
    """`detach` gives the descriptor to the caller, who can go on with it."""
    number = one.fileno()
    _same(one.detach(), number)
    _same(one.fileno(), -1)
    with socket.socket(fileno=number) as found:
        found.sendall(b"detached")
        _same(_exactly(other, 8), b"detached")


# --- what it says of itself ---


def it_is_a_stream_without_error(one: socket.socket, other: socket.socket) -> None:
    """Its type is that of a stream, and no error is pending."""
    for end in (one, other):
        _same(end.type, socket.SOCK_STREAM)
        _same(end.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), socket.SOCK_STREAM)
        _same(end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)


def each_end_is_the_others_peer(one: socket.socket, other: socket.socket) -> None:
    """The address of one end is that of the other's peer."""
    _same(one.getpeername(), other.getsockname())
    _same(other.getpeername(), one.getsockname())


def threads_share_a_socket(one: socket.socket, other: socket.socket) -> None:
    """One thread may wait for bytes while another sends."""
    with _running(lambda: _same(_exactly(one, 6), b"answer")):
        one.sendall(b"question")
        _same(_exactly(other, 8), b"question")
        other.sendall(b"answer")


STREAM_CHECKS: Final[tuple[Check, ...]] = (
    bytes_arrive_in_order,
    a_small_buffer_takes_a_part,
    much_goes_both_ways_at_once,
    a_buffer_is_received_into,
    several_buffers_are_sent_as_one,
    what_is_peeked_at_stays,
    nothing_can_be_sent,
    a_close_is_an_end_of_file,
    a_close_loses_nothing,
    the_directions_end_apart,
    what_is_shut_down_can_not_be_sent_to,
    a_peer_that_has_gone_is_noticed,
    a_closed_socket_is_closed,
    a_socket_is_closed_by_its_block,
    a_receiver_does_not_wait_longer,
    a_sender_does_not_wait_longer,
    nobody_waits_who_does_not_want_to,
    select_tells_who_can_read,
    select_tells_who_can_write,
    a_socket_makes_files,
    a_file_keeps_its_socket_open,
    a_file_reads_to_the_end,
    a_duplicate_is_the_same_connection,
    a_descriptor_can_be_taken_out,
    it_is_a_stream_without_error,
    each_end_is_the_others_peer,
    threads_share_a_socket,
)
"""All checks, each for a new pair."""


def check_stream_sockets(pair: Callable[[], Pair]) -> None:
    """Run all checks, each with a new pair, without a test framework.

    Raises:
        AssertionError: the sockets don't do what is expected, with the name of the check.
    """
    for check in STREAM_CHECKS:
        run_check(check, pair())


def run_check(check: Check, pair: Pair) -> None:
    """Run one check with a pair, and close it.

    Raises:
        AssertionError: the sockets don't do what is expected, with the name of the check.
    """
    one, other = pair
    with one, other:
        one.settimeout(PATIENCE_S)
        other.settimeout(PATIENCE_S)
        try:
            check(one, other)
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{check.__name__.replace('_', ' ')}: {error!r}") from error


def _exactly(receiver: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        data = receiver.recv(min(count - len(received), 1024 * 1024))
        if not data:
            raise AssertionError(f"the stream has ended after {len(received)} of {count} bytes")
        received += data
    return bytes(received)


def _same(found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"expected {_short(expected)}, found {_short(found)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


def _raises(kind: type[BaseException], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, and nothing was raised")


def _wait_readable(end: socket.socket) -> None:
    if not select.select([end], [], [], PATIENCE_S)[0]:
        raise AssertionError(f"the socket is not readable after {PATIENCE_S:g} s")


def _pattern(count: int, step: int) -> bytes:
    """Return bytes of which no part is like another that is near."""
    return bytes((number * step + number // 251) % 251 for number in range(65_536)) * (count // 65_536)


@contextmanager
def _running(call: Callable[[], object]) -> Iterator[None]:
    """Run a call in another thread meanwhile; what it raises is raised here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except (AssertionError, OSError) as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE_S)
    if failures:
        raise failures[0]
