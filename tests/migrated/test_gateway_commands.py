"""`migrate gateway`, `connect` and `forward`, run as a person runs them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli
from migrated.streams.authorized import key_text
from tests.migrated.streams.pairs import reset
from tests.migrated.streams.programs import MIGRATE, Home, Program

KEY = key_text(bytes(range(32)))
PATIENCE_S = 60.0
PATIENT = f"import migrated.streams.connect as it; it.LAST_WORDS_S = {PATIENCE_S}; {MIGRATE[2]}"
"""`migrate` whose last words arrive however long that takes on a busy machine."""


def own_loopback() -> str:
    """Return an address on which no other worker's tests take a port that was given up for a moment."""
    return f"127.{100 + (os.getpid() >> 16) % 100}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def environment(home: Home) -> dict[str, str]:
    return {**os.environ, **home.environment}


@pytest.fixture
def destination() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


class Served:
    """A gateway that may reach one destination, as a program."""

    def __init__(self, home: Home, environment: dict[str, str], destination: socket.socket) -> None:
        self._clients: list[subprocess.Popen[bytes]] = []
        self.environment = environment
        self.destination = f"localhost:{destination.getsockname()[1]}"
        home.let_in(subprocess.check_output([*MIGRATE, "connect", "--print-key"], env=environment, text=True))
        self.start(f"{own_loopback()}:0")

    def start(self, listen: str) -> None:
        arguments = ["gateway", "--json", "--listen", listen, "--allow", self.destination]
        self.program = Program(arguments, self.environment)
        listening = self.program.event("listening")
        self.place, self.fingerprint = listening["on"], listening["key"]

    def connect(self, *arguments: str) -> subprocess.Popen[bytes]:
        client = subprocess.Popen(
            [*MIGRATE[:2], PATIENT, "connect", "--gateway", self.place, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.kill()
            client.communicate()
        assert self.program.end(signal.SIGTERM) == 0


@pytest.fixture
def served(home: Home, environment: dict[str, str], destination: socket.socket) -> Iterator[Served]:
    served = Served(home, environment, destination)
    yield served
    served.close()


def migrate(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="migrate", env=home.environment)


def test_input_and_output_become_one_connection(served: Served, destination: socket.socket) -> None:
    client = served.connect(served.destination)
    there, _ = destination.accept()
    assert client.stdin
    client.stdin.write(b"question")
    client.stdin.close()
    client.stdin = None
    with there:
        assert there.makefile("rb").read() == b"question"
        there.sendall(b"answer")
    output, complaints = client.communicate(timeout=PATIENCE_S)
    assert (client.returncode, output) == (0, b"answer")
    assert complaints.decode() == (
        f"migrate: the key of the gateway {served.place} is {served.fingerprint}, trusted on first use\n"
    )


def test_a_destination_that_is_not_allowed_has_a_status_of_its_own(served: Served) -> None:
    client = served.connect("-q", "localhost:1")
    _, complaints = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 5
    assert complaints == b"Error: `localhost:1` is not among the destinations that your key may reach\n"


def test_a_connection_that_is_reset_has_a_status_of_its_own(
    served: Served, destination: socket.socket
) -> None:
    client = served.connect("-q", served.destination)
    there, _ = destination.accept()
    there.sendall(b"x")
    assert client.stdout
    assert client.stdout.read(1) == b"x"
    reset(there)
    _, complaints = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 1
    assert f"Error: the connection to {served.destination} broke: " in complaints.decode()


def test_a_pin_that_does_not_fit_and_a_key_that_has_changed(served: Served, home: Home) -> None:
    client = served.connect("--pin", f"SHA256:{'A' * 43}", served.destination)
    _, complaints = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 4
    assert f"is {served.fingerprint}, not the pinned SHA256:AAA" in complaints.decode()
    (home.state / "known_gateways").write_text(f"{served.place} {KEY}\n")
    client = served.connect(served.destination)
    _, complaints = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 4
    assert f"remove the old one from line 1 of {home.state / 'known_gateways'}" in complaints.decode()
    client = served.connect("--pin", served.fingerprint, "localhost:1")
    client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 5  # the pin has let it through


def test_a_stranger_is_told_the_line_that_would_let_him_in(served: Served, home: Home) -> None:
    home.let_in(f"{KEY} somebody else")
    client = served.connect(served.destination)
    _, complaints = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 4
    own = migrate(home, "connect", "--print-key").output.strip()
    assert own in complaints.decode()


def test_a_client_says_what_is_lost_when_the_gateway_is_started_anew(
    served: Served, destination: socket.socket
) -> None:
    client = served.connect("-q", served.destination)
    there, _ = destination.accept()
    served.program.event("connected")
    assert served.program.end(signal.SIGTERM) == 0
    assert re.search(r'"stopping".*"sessions": 1, "connections": 1', "\n".join(served.program.lines))
    served.start(served.place)
    _, complaints = client.communicate(timeout=PATIENCE_S)
    there.close()
    assert client.returncode == 6
    assert b"what it carried can't be taken up by a new process" in complaints


def test_a_signal_ends_a_client_and_its_connection(served: Served, destination: socket.socket) -> None:
    client = served.connect("-q", served.destination)
    there, _ = destination.accept()
    there.sendall(b"x")
    assert client.stdout
    assert client.stdout.read(1) == b"x"
    client.send_signal(signal.SIGHUP)
    assert client.wait(PATIENCE_S) == 128 + signal.SIGHUP  # its input has not ended
    client.communicate()
    there.settimeout(PATIENCE_S)
    with there, pytest.raises(ConnectionResetError):
        there.recv(1)


def test_an_end_as_ssh_makes_it_is_an_ordinary_end(served: Served, destination: socket.socket) -> None:
    """ssh writes its farewell, closes both pipes and sends its ProxyCommand SIGHUP."""
    client = served.connect("-q", served.destination)
    there, _ = destination.accept()
    there.sendall(b"x")
    assert client.stdin
    assert client.stdout
    assert client.stdout.read(1) == b"x"
    client.stdin.write(b"farewell")
    client.stdin.close()
    client.stdout.close()
    client.send_signal(signal.SIGHUP)
    with there:
        assert there.makefile("rb").read() == b"farewell"
    client.stdin = client.stdout = None
    assert client.wait(PATIENCE_S) == 0
    served.program.event("ended")
    assert not any('"broken"' in line for line in served.program.lines)


def test_ports_and_unix_sockets_lead_through_one_association(
    served: Served, destination: socket.socket, tmp_path: Path
) -> None:
    path = tmp_path / "x.sock"
    pairs = [f"0={served.destination}", f"{path}={served.destination}"]
    forward = Program(["forward", "--gateway", served.place, *pairs], served.environment)
    port = int(forward.line(r"127\.0\.0\.1:(\d+) leads to")[1])
    forward.line(rf"unix:{path} leads to")
    for family, place in ((socket.AF_INET, ("127.0.0.1", port)), (socket.AF_UNIX, str(path))):
        with socket.socket(family) as here:
            here.connect(place)
            here.sendall(b"question")
            here.shutdown(socket.SHUT_WR)
            there, _ = destination.accept()
            with there:
                assert there.makefile("rb").read() == b"question"
                there.sendall(b"answer")
            assert here.makefile("rb").read() == b"answer"
    assert sum('"session"' in line and '"event"' in line for line in served.program.lines) >= 1
    assert forward.end(signal.SIGTERM) == 0
    assert not path.exists()


def test_a_forwarded_port_outlives_its_gateway(served: Served, destination: socket.socket) -> None:
    forward = Program(["forward", "--gateway", served.place, "0", served.destination], served.environment)
    port = int(forward.line(r"127\.0\.0\.1:(\d+) leads to")[1])
    with socket.create_connection(("127.0.0.1", port)) as here:
        there, _ = destination.accept()
        served.program.event("connected")
        assert served.program.end(signal.SIGTERM) == 0
        here.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionResetError):
            here.recv(1)
        there.close()
    served.start(served.place)
    with socket.create_connection(("127.0.0.1", port)) as here:
        there, _ = destination.accept()
        with there:
            there.sendall(b"hello again")
        assert here.makefile("rb").read() == b"hello again"
    assert forward.end(signal.SIGTERM) == 0


def test_keys_are_made_once_and_printed(home: Home) -> None:
    first, again = (migrate(home, "connect", "--print-key").stdout for _ in range(2))
    assert first == again
    assert first.endswith(f"@{socket.gethostname()}\n")
    fingerprint = migrate(home, "gateway", "--print-key").stdout
    assert re.fullmatch(r"SHA256:\S{43}\n", fingerprint)
    assert {file.name for file in home.state.iterdir()} == {"user.key", "gateway.key"}
    assert {file.stat().st_mode & 0o777 for file in home.state.iterdir()} == {0o600}


def test_a_gateway_that_does_not_answer_has_a_status_of_its_own(home: Home) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen there, nor does anybody else
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        for command in (["connect", "host:22"], ["forward", "0", "host:22"]):
            result = migrate(home, command[0], "--gateway", place, *command[1:])
            assert result.exit_code == 3
            assert (
                f"cannot reach the gateway {place}: connection refused; does `migrate gateway`"
                in result.output
            )


class Replicas:
    """Two gateways on addresses of the loopback, the policy of their client, and one destination."""

    def __init__(self, home: Home, environment: dict[str, str], destination: socket.socket) -> None:
        configuration = home.config / "migrated.toml"
        configuration.write_text('policy = ["servers.policy"]\nruntime_folder = "run"\n')
        self.environment = {**environment, "MIGRATE_CONFIG": str(configuration)}
        self.port = destination.getsockname()[1]
        self.policy = home.config / "servers.policy"
        home.let_in(subprocess.check_output([*MIGRATE, "connect", "--print-key"], env=environment, text=True))
        self.gateways = [self._gateway(host) for host in ("127.0.0.2", "127.0.0.3")]
        self.places = [gateway.event("listening")["on"] for gateway in self.gateways]

    def _gateway(self, host: str) -> Program:
        allow = f"127.0.0.1:{self.port}"
        arguments = ["gateway", "--json", "--listen", f"{host}:0", "--allow", allow]
        return Program(arguments, self.environment)

    def connect(self, *options: str) -> Program:
        arguments = ["connect", *options, "--gateway", ",".join(self.places), f"127.0.0.1:{self.port}"]
        return Program(arguments, self.environment, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        for gateway in self.gateways:
            if gateway.process.poll() is None:
                gateway.end(signal.SIGTERM)


@pytest.fixture
def replicas(home: Home, environment: dict[str, str], destination: socket.socket) -> Iterator[Replicas]:
    replicas = Replicas(home, environment, destination)
    yield replicas
    replicas.close()


def test_the_gateway_that_policy_prefers_is_used_and_the_other_if_it_is_down(
    replicas: Replicas, destination: socket.socket
) -> None:
    first, second = replicas.gateways
    replicas.policy.write_text("monitor-policy { score-server 127.0.0.3 5 }\n")
    client = replicas.connect("-v")
    destination.accept()[0].close()
    second.event("connected")
    assert client.wait() == 0
    assert client.lines[:2] == [
        f"migrate: gateway 127.0.0.3: `127.0.0.3` scores 5 ({replicas.policy}:1)",
        "migrate: gateway 127.0.0.2: `127.0.0.2` scores 0: no statement applies",
    ]
    second.end(signal.SIGTERM)
    client = replicas.connect()
    destination.accept()[0].close()
    first.event("connected")
    assert client.wait() == 0
    refused = f"migrate: cannot reach the gateway {replicas.places[1]}: connection refused"
    assert client.lines[0].startswith(refused)
    assert client.lines[0].endswith(f"; trying {replicas.places[0]}")
    assert f"migrate: going through the gateway {replicas.places[0]}" in client.lines
    forward = Program(
        ["forward", "--gateway", ",".join(replicas.places), "0", f"127.0.0.1:{replicas.port}"],
        replicas.environment,
    )
    port = int(forward.line(r"127\.0\.0\.1:(\d+) leads to")[1])
    with socket.create_connection(("127.0.0.1", port)):
        destination.accept()[0].close()
    assert forward.end(signal.SIGTERM) == 0


def test_a_gateway_that_policy_rules_out_is_never_used(
    replicas: Replicas, destination: socket.socket
) -> None:
    replicas.policy.write_text(f"monitor-policy {{ on port {replicas.port} score-server 127.0.0.2 never }}\n")
    assert replicas.gateways[1].end(signal.SIGTERM) == 0
    client = replicas.connect()
    assert client.wait() == 3
    assert f"cannot reach the gateway {replicas.places[1]}: connection refused" in client.lines[-1]
    assert not any('"connected"' in line for line in replicas.gateways[0].lines)
    replicas.policy.write_text("monitor-policy { score-server * never }\n")
    client = replicas.connect()
    assert client.wait() == 3
    assert "the policy rules out every gateway: 127.0.0.2: " in client.lines[-1]


def test_a_port_that_is_taken_is_said(home: Home, destination: socket.socket) -> None:
    home.let_in(KEY)
    place = f"127.0.0.1:{destination.getsockname()[1]}"
    for command in (
        ["gateway", "--listen", place, "--allow", "*:443"],
        ["forward", place, "host:22"],
    ):
        result = migrate(home, *command)
        assert result.exit_code == 1
        assert f"cannot listen on {place}: address already in use" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("connect", "where to? write `migrate connect HOST:PORT`"),
        ("connect host", "`host` has no port; write `HOST:PORT`"),
        ("connect host ssh", "`ssh` is not a port"),
        ("connect host 22 23", "`host 22 23` is too much"),
        ("connect --gateway g:x host:22", "`x` is not a port"),
        ("connect --gateway g:1,h:x host:22", "`x` is not a port"),
        ("connect --gateway g:1,,h host:22", "`` has no host; write `HOST:PORT`"),
        (f"connect --gateway {','.join('abcdefghijklmnopq')} host:22", "17 gateways are too many"),
        ("connect --pin abc host:22", "`abc` is not a fingerprint; `migrate gateway --print-key` prints it"),
        ("connect unix:/run/x", "`unix:/run/x` says no host; name the gateway with `--gateway HOST`"),
        ("forward 8080", "`8080` is not `LOCAL REMOTE`; several are `LOCAL=REMOTE ...`"),
        ("forward 8080 a:1 b:2", "is not `LOCAL REMOTE`"),
        ("forward 8080= 1=a:1", "`8080=` is not `LOCAL=REMOTE`"),
        ("forward 8080=a:1 8081=b:1", "these lead through `a` and `b`; name one with `--gateway`"),
        ("forward 99999 a:1", "`99999` is not a port; expected a number from 0 to 65535"),
        ("gateway --listen host:x", "`x` is not a port"),
        ("gateway --allow localhost", "`localhost` has no port"),
        ("gateway --allow *:443 --expire 7", "has no unit"),
        ("gateway --allow *:443 --expire 0s", "`0s` is no time at all"),
        ("gateway", "no key may go anywhere; name destinations with `--allow PATTERN`"),
        ("gateway --allow *:1 --authorized-keys /none/at/all", "/none/at/all: there is no such file"),
    ],
)
def test_wrong_usage_is_answered_clearly(home: Home, arguments: str, message: str) -> None:
    home.let_in(KEY)
    result = migrate(home, *arguments.split())
    assert result.exit_code == 2
    assert message in result.output


def test_wrong_files_are_named_with_their_lines(home: Home) -> None:
    home.let_in("# mine", "rubbish")
    result = migrate(home, "gateway", "--allow", "*:443")
    assert result.exit_code == 2
    assert f"{home.config / 'authorized_keys'}:2: `rubbish` is not a key" in result.output
    (home.state / "user.key").write_text("rubbish")
    result = migrate(home, "connect", "host:22")
    assert result.exit_code == 2
    assert "others may use the host key" in result.output


def test_help_costs_no_cryptography() -> None:
    code = (
        "import sys; from migrated.commands import cli\n"
        "for name in ('connect', 'forward', 'gateway'):\n"
        "    cli([name, '--help'], standalone_mode=False)\n"
        "assert not {'cryptography', 'asyncio', 'policylang'} & set(sys.modules), sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.count("Examples:") == 3
