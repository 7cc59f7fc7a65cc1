"""What `make` does about missing programs, on machines that are made up of a few fake ones."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "tools" / "setup"
SHELL_NEEDS = ("sort", "tr")
GOOD_PYTHON = "exit 0"
NO_ENSUREPIP = 'case "$2" in *ensurepip*) exit 1 ;; esac'


@dataclass
class Machine:
    """A folder that is the whole ``PATH``."""

    folder: Path

    def install(self, program: str, script: str = "exit 0") -> None:
        path = self.folder / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def debian(self, *, brings: str = "") -> None:
        """Give it an apt-get that writes down its arguments and brings one program."""
        brought = (
            f'printf "#!/bin/sh\\n" > "$here/{brings}"; "$here/chmod" 755 "$here/{brings}"' if brings else ":"
        )
        note = 'echo "$DEBIAN_FRONTEND $*" >> "$here/apt.log"'
        self.install("apt-get", f'here={self.folder}; {note}; case "$*" in *install*) {brought} ;; esac')

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", SETUP, *arguments],
            env={"PATH": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def apt_log(self) -> list[str]:
        log = self.folder / "apt.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for program in (*SHELL_NEEDS, "chmod"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    machine = Machine(tmp_path)
    machine.install("id", "echo 1000")
    return machine


def be_root(machine: Machine) -> None:
    machine.install("id", "echo 0")


def test_nothing_is_said_when_all_is_there(machine: Machine) -> None:
    machine.install("ip")
    machine.install("unshare")
    done = machine.setup("programs", "ip", "unshare")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_ordinary_user_is_told_the_packages_once_each(machine: Machine) -> None:
    machine.debian()
    done = machine.setup("programs", "ip", "nft", "unshare", "setpriv", "ssh", "sshd", "scp")
    assert done.returncode == 1
    assert "needs: apt install iproute2 nftables openssh-client openssh-server util-linux (" in done.stderr
    assert machine.apt_log == []


def test_root_without_apt_is_told_too(machine: Machine) -> None:
    be_root(machine)
    done = machine.setup("programs", "ip")
    assert (done.returncode, "needs: apt install iproute2 (" in done.stderr) == (1, True)


def test_root_on_debian_gets_what_is_missing(machine: Machine) -> None:
    be_root(machine)
    machine.debian(brings="nft")
    machine.install("ip")
    done = machine.setup("programs", "ip", "nft")
    assert done.returncode == 0, done.stderr
    assert machine.apt_log == [
        "noninteractive -q update",
        "noninteractive -q install -y --no-install-recommends nftables",
    ]


def test_an_ssh_server_is_announced(machine: Machine) -> None:
    be_root(machine)
    machine.debian(brings="sshd")
    assert "`systemctl disable --now ssh` stops it" in machine.setup("programs", "sshd").stderr


@pytest.mark.parametrize(
    ("program", "package", "services"),
    [
        ("NetworkManager", "network-manager", ["NetworkManager"]),
        ("gpsd", "gpsd", ["gpsd.socket", "gpsd"]),
        ("prometheus", "prometheus", ["prometheus"]),
    ],
)
def test_what_would_start_by_itself_is_kept_from_it(
    machine: Machine, program: str, package: str, services: list[str]
) -> None:
    be_root(machine)
    machine.debian(brings=program)
    machine.install("systemctl", f'echo "systemctl $*" >> {machine.folder}/apt.log')
    said = machine.setup("programs", program).stderr
    for service in services:
        assert f"`systemctl unmask {service}` allows it" in said
    assert machine.apt_log[: len(services)] == [f"systemctl --quiet mask {service}" for service in services]
    assert machine.apt_log[-1].endswith(package)


def test_a_failing_apt_ends_it(machine: Machine) -> None:
    be_root(machine)
    machine.install("apt-get", "exit 100")
    done = machine.setup("programs", "ip")
    assert (done.returncode, "apt-get could not install iproute2" in done.stderr) == (1, True)


def test_no_python(machine: Machine) -> None:
    done = machine.setup("environment", "python3", "venv")
    assert (done.returncode, "`python3` was not found" in done.stderr) == (1, True)


def test_an_old_python_is_named(machine: Machine) -> None:
    machine.install("python3", 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac')
    done = machine.setup("environment", "python3", "venv")
    assert (done.returncode, "`python3` is Python 3.9.2; needs Python 3.11" in done.stderr) == (1, True)


def test_a_python_without_environments_is_named(machine: Machine) -> None:
    machine.install("python3", NO_ENSUREPIP)
    done = machine.setup("environment", "python3", "venv")
    assert (done.returncode, "needs: apt install python3-venv (as root)" in done.stderr) == (1, True)


def test_root_on_debian_gets_python3_venv(machine: Machine) -> None:
    be_root(machine)
    machine.debian()
    machine.install("python3", NO_ENSUREPIP)
    assert machine.setup("environment", "python3", "venv").returncode == 1
    assert machine.apt_log[-1].endswith("python3-venv")


def pip_in(machine: Machine, folder: str, script: str) -> None:
    (machine.folder / folder / "bin").mkdir(parents=True)
    machine.install(f"{folder}/bin/pip", script)


def test_an_environment_that_works_is_kept(machine: Machine) -> None:
    machine.install("python3", f'case "$2" in venv) exit 9 ;; esac; {GOOD_PYTHON}')
    pip_in(machine, "venv", 'echo "$*" >> pip.log')
    done = machine.setup("environment", "python3", "venv")
    assert done.returncode == 0, done.stderr
    locked, project = (machine.folder / "pip.log").read_text().splitlines()[1:]
    assert locked.endswith("install --require-hashes -r requirements.lock")
    assert project.endswith("install --no-deps --no-build-isolation -e .")


def test_a_failing_pip_ends_it(machine: Machine) -> None:
    machine.install("python3", GOOD_PYTHON)
    pip_in(machine, "venv", 'case "$*" in *install*) exit 1 ;; esac')
    done = machine.setup("environment", "python3", "venv")
    assert (done.returncode, "pip failed" in done.stderr) == (1, True)


def test_what_benchmarks_compare_with_comes_from_a_lock_of_its_own(machine: Machine) -> None:
    pip_in(machine, "venv", f'echo "$*" >> {machine.folder}/pip.log')
    done = machine.setup("peers", "venv")
    assert (done.returncode, "requirements-bench.lock" in done.stderr) == (0, True)
    (line,) = (machine.folder / "pip.log").read_text().splitlines()
    assert line.endswith("install --require-hashes -r requirements-bench.lock")
