from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors import nlmsg
from monitors.diag import is_available, socket_question, tcp_details, tcp_sockets
from tests.monitors.watched import of_socket

ROUTE = 24


def message(kind: int, body: bytes) -> bytes:
    padding = bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body + padding


def test_a_question_byte_by_byte() -> None:
    assert nlmsg.question(26, b"abc") == struct.pack("=IHHII", 19, 26, 0x1, 1, 0) + b"abc"
    assert nlmsg.question(26, b"", dump=True) == struct.pack("=IHHII", 16, 26, 0x301, 1, 0)


@given(st.lists(st.tuples(st.integers(16, 100), st.binary(max_size=9)), max_size=5))
def test_messages_are_found_again(sent: list[tuple[int, bytes]]) -> None:
    datagram = b"".join(message(kind, body) for kind, body in sent)
    assert [(kind, datagram[start:end]) for kind, start, end in nlmsg.messages(datagram)] == sent


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=9)), max_size=5), st.booleans())
def test_attributes_are_found_again(sent: list[tuple[int, bytes]], nested: bool) -> None:
    flag = 0x8000 if nested else 0
    data = b"head" + b"".join(nlmsg.attribute(kind | flag, value) for kind, value in sent)
    assert len(data) % 4 == 0
    found = nlmsg.attributes(data, 4, len(data))
    assert [(kind, data[start:end]) for kind, start, end in found] == sent


@pytest.mark.parametrize("kind", [nlmsg.ERROR, nlmsg.DONE])
def test_a_refusal_is_an_error_with_its_number(kind: int) -> None:
    """A dump can be refused at its end, too."""
    datagram = message(ROUTE, b"....") + message(kind, struct.pack("=i", -errno.EPERM))
    found = nlmsg.messages(datagram)
    assert next(found)[0] == ROUTE
    with pytest.raises(PermissionError):
        next(found)
    assert len(list(nlmsg.messages(message(kind, struct.pack("=i", 0))))) == 1


def test_a_kernel_that_refuses_a_dump() -> None:
    with pytest.raises(OSError, match=r".") as caught:
        list(nlmsg.dump(socket.NETLINK_ROUTE, 9999, b""))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_sockets_are_asked_for_by_their_ends() -> None:
    assert is_available()
    assert list(tcp_sockets(socket.AF_INET, frozenset())) == []
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        here = of_socket(client)
        local, remote = (here.local_address, here.local_port), (here.remote_address, here.remote_port)
        questions = [
            socket_question(local, remote, 0),
            socket_question(("127.9.9.9", 1), remote, 0),  # there is none
            socket_question(local, remote, 0),
        ]
        ((*found,),) = tcp_details(questions)
        assert [inode for inode, _ in found] == [here.inode] * 2
        assert found[0][1].rto_us > 0


def test_more_questions_than_fit_into_one_go() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(100)]
        known = [of_socket(client) for client in clients]
        questions = [
            socket_question((c.local_address, c.local_port), (c.remote_address, c.remote_port), 0)
            for c in known
        ]
        goes = list(tcp_details(questions))
        for client in clients:
            client.close()
    assert len(goes) > 1
    assert [inode for go in goes for inode, _ in go] == [c.inode for c in known]
