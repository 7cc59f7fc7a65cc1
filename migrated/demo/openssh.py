"""An OpenSSH server and client with keys and settings of their own, in a folder, for root and for others.

The server separates privileges only if it runs as root, and then needs the empty folder
`/run/sshd` and a second user. Root therefore gives it a `/run` of its own. In the user namespace
of an ordinary user there is no second user: the server runs one user namespace further in, as
that very user, and needs neither.

Source: sshd(8), sshd_config(5), user_namespaces(7).
"""

from __future__ import annotations

import pwd
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from migrated.demo.traffic import TrafficError
from migrated.lab import Host

PORT = 22
"""Figure 10 says `on port ssh`."""

_PACKAGES = {"ssh": "openssh-client", "ssh-keygen": "openssh-client", "sshd": "openssh-server"}
_ROOT_ALONE = "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "

_SERVER_SETTINGS = """\
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
UseDNS no
"""
_CLIENT_SETTINGS = """\
Port {port}
User {user}
IdentityFile {folder}/user_key
IdentitiesOnly yes
IdentityAgent none
BatchMode yes
RequestTTY no
StrictHostKeyChecking no
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile none
LogLevel ERROR
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSsh:
    """Where the programs and their settings are, and as whom the server runs.

    ``user_ids`` are user and group of an ordinary user outside the user namespace that we
    are in; ``None`` means that we are root.
    """

    server: str
    client: str
    folder: Path
    user_ids: tuple[int, int] | None

    @classmethod
    def prepared(cls, folder: Path) -> OpenSsh:
        """Find the programs and write keys and settings to a new folder `openssh` below ``folder``.

        Raises:
            TrafficError: a program is not installed, or the user has no name to log in as.
        """
        found = {name: _find(name) for name in _PACKAGES}
        user_ids = _ordinary_user()
        settings = folder / "openssh"
        settings.mkdir()
        values = {"port": PORT, "folder": settings, "user": _name(0 if user_ids is None else user_ids[0])}
        (settings / "sshd_config").write_text(_SERVER_SETTINGS.format(**values))
        (settings / "ssh_config").write_text(_CLIENT_SETTINGS.format(**values))
        for key in ("host_key", "user_key"):
            _make_key(found["ssh-keygen"], settings / key)
        return cls(server=found["sshd"], client=found["ssh"], folder=settings, user_ids=user_ids)

    def server_command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        sshd = [self.server, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if self.user_ids is None:
            return ["unshare", "--mount", "--", "sh", "-c", _ROOT_ALONE + shlex.join(sshd)]
        user, group = self.user_ids
        return ["unshare", "--user", f"--map-user={user}", f"--map-group={group}", "--", *sshd]

    def client_command(self, address: str) -> list[str]:
        """Return the command that logs in at an address; what to run there comes after it."""
        return [self.client, "-F", str(self.folder / "ssh_config"), address]

    def allow_port(self, host: Host) -> None:
        """Let a server that is not root listen on its port of the host.

        Raises:
            LabError: the kernel parameter may not be set.
        """
        if self.user_ids is not None:
            host.sysctl("net.ipv4.ip_unprivileged_port_start", PORT)


def _find(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        package = _PACKAGES[program]
        raise TrafficError(f"`{program}` was not found; on Debian: `apt-get install {package}`")
    return path


def _ordinary_user() -> tuple[int, int] | None:
    """Return who we are outside our user namespace, or ``None`` if we are root there too."""
    user, group = (_outside(Path(f"/proc/self/{kind}_map").read_text()) for kind in ("uid", "gid"))
    return None if user == 0 else (user, group)


def _outside(mapping: str) -> int:
    """Return what number 0 stands for outside, by the first line of ``/proc/self/uid_map``."""
    return int(mapping.split()[1])


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        raise TrafficError(f"the user {user} has no name in `/etc/passwd` for ssh to log in as") from None


def _make_key(keygen: str, path: Path) -> None:
    command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "migrate demo", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise TrafficError(f"`ssh-keygen` could not make a key: {done.stderr.strip()}")
