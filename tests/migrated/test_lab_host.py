from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrated.lab import Host, Lab, LabError, is_privileged

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab() as lab:
        host = lab.host("h")
        host.ip("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up")
        yield host


def test_a_host_has_a_network_of_its_own(host: Host) -> None:
    inside = host.call(Path("/proc/thread-self/ns/net").readlink)
    assert inside != Path("/proc/self/ns/net").readlink()
    assert {link["ifname"] for link in host.show("link")} == {"lo", "v0", "v1"}


def test_programs_run_inside_and_report_back(host: Host) -> None:
    done = host.run(["sh", "-c", "readlink /proc/self/ns/net; echo oops >&2; exit 3"])
    assert done.stdout.strip() == str(host.call(Path("/proc/thread-self/ns/net").readlink))
    assert (done.stderr, done.returncode) == ("oops\n", 3)


def test_popen_has_the_process_number_of_the_program(host: Host) -> None:
    with host.popen(["sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert int(program.stdout.read()) == program.pid
    assert program.returncode == 0


def test_a_missing_program_is_named(host: Host) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        host.popen(["no-such-program"])


def test_what_a_called_function_raises_is_passed_on(host: Host) -> None:
    with pytest.raises(ZeroDivisionError):
        host.call(lambda: 1 // 0)


def test_the_loopback_interface_is_up(host: Host) -> None:
    with socket.socket() as outside:
        outside.bind(("127.0.0.1", 0))  # so that nobody else listens there
        with host.call(lambda: socket.create_server(outside.getsockname())) as server:
            with host.call(lambda: socket.create_connection(server.getsockname(), timeout=PATIENCE_S)):
                pass
            with pytest.raises(OSError, match=r"refused|unreachable"):  # not the loopback of this process
                socket.create_connection(server.getsockname(), timeout=PATIENCE_S)


@pytest.mark.parametrize("address", ["10.9.0.1/24", "fd09::1/64"])
def test_addresses_are_usable_at_once_and_removed_again(host: Host, address: str) -> None:
    bare = address.partition("/")[0]
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET

    def bind() -> None:
        with socket.socket(family) as program:
            program.bind((bare, 0))

    host.address_add("v0", address)
    host.call(bind)
    host.address_remove("v0", address)
    with pytest.raises(OSError, match="assign requested address"):
        host.call(bind)


def test_an_address_can_have_a_label(host: Host) -> None:
    host.address_add("v0", "10.8.0.1/24", label="v0:7")
    shown = host.show("address", "show", "dev", "v0")[0]["addr_info"]
    assert [entry["label"] for entry in shown if entry.get("local") == "10.8.0.1"] == ["v0:7"]
    host.address_remove("v0", "10.8.0.1/24")


def test_the_route_of_lower_metric_wins(host: Host) -> None:
    host.address_add("v0", "10.7.0.1/24")
    host.route_add("default", via="10.7.0.2", metric=200)
    host.route_add("192.0.2.0/24", via="10.7.0.4", dev="v0")
    host.route_add("default", via="10.7.0.3", metric=100)
    assert host.show("route", "get", "203.0.113.1")[0]["gateway"] == "10.7.0.3"
    assert host.show("route", "get", "192.0.2.1")[0]["gateway"] == "10.7.0.4"
    host.address_remove("v0", "10.7.0.1/24")
    assert host.show("route") == []


def test_a_refused_line_is_shown_with_the_reason(host: Host) -> None:
    with pytest.raises(LabError, match=r"host `h`: `ip` refused: `link set nowhere up`: .*nowhere"):
        host.ip("link set lo up", "link set nowhere up")
    with pytest.raises(LabError, match="`ip link show dev nowhere`"):
        host.show("link", "show", "dev", "nowhere")


def test_kernel_parameters_are_the_hosts_own(host: Host) -> None:
    parameter = Path("/proc/sys/net/ipv4/tcp_retries2")
    before = parameter.read_text()
    host.sysctl("net.ipv4.tcp_retries2", 3)
    assert host.call(parameter.read_text) == "3\n"
    assert parameter.read_text() == before
    with pytest.raises(LabError, match=r"host `h`: cannot set `net\.no\.such` to `1`: No such file"):
        host.sysctl("net.no.such", 1)
