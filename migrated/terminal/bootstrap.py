"""The near side of `migrate ssh`: have a request done on another host, over the user's own ssh.

Options, keys, prompts and jump hosts are the user's. The keys of the stream that follows are exchanged over
it. Here ssh runs once and ends; `carrier` has it carry the stream as well.

Source: ssh(1), ssh_config(5).
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from migrated.terminal.requests import Answer, Request, RequestError, decode_answer, encode
from migrated.terminal.serve import MARK

# Whatever else needs the connection of this ssh would end with it, unexpectedly.
SETTINGS: Final = (
    "-T", "-a", "-x",
    "-o", "ClearAllForwardings=yes",
    "-o", "PermitLocalCommand=no",
    "-o", "RemoteCommand=none",
)  # fmt: skip
_FIND: Final = (
    'PATH="$PATH:$HOME/.local/bin:/usr/local/bin:/opt/migrate/bin"; export PATH; '
    "command -v migrate > /dev/null 2>&1 || exit 127; exec migrate terminal "
)
_NOT_FOUND: Final = 127
_SSH_FAILED: Final = 255


class BootstrapError(Exception):
    """Say why the other host gave no answer, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """The other host: ``host`` and ``options`` as ssh takes them, ``server`` where its `migrate` is."""

    host: str
    options: tuple[str, ...] = ()
    server: str = ""


def ask_far(far: Far, request: Request) -> Answer:
    """Return the answer of the other host's holder.

    Raises:
        BootstrapError: ssh can't log in, or there is no `migrate`, or another release of it.
    """
    command = ["ssh", *far.options, *SETTINGS, "--", far.host, far_command(far, "serve")]
    try:
        done = subprocess.run(command, input=encode(request), stdout=subprocess.PIPE, check=False)
    except FileNotFoundError as error:
        raise no_ssh() from error
    answer = find_answer(far, done.stdout.splitlines())
    if answer is None:
        raise BootstrapError(why_silent(far, done.returncode))
    return answer


def far_command(far: Far, words: str) -> str:
    """Return the command line that runs `migrate terminal` with ``words`` on the other host."""
    script = f"exec {far.server} terminal {words}" if far.server else _FIND + words
    return f"sh -c {shlex.quote(script)}"


def find_answer(far: Far, lines: Iterable[bytes]) -> Answer | None:
    """Return the answer that is among ``lines``; the shell's start-up files may print others.

    Raises:
        BootstrapError: another release answers.
    """
    found = next((line for line in lines if line.startswith(MARK)), None)
    return None if found is None else _read(far, found)


def addresses(far: Far) -> tuple[str, ...]:
    """Return where ssh finds the other host, if it goes there directly."""
    command = ["ssh", "-G", "-T", *far.options, "--", far.host]
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
    settings = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    detour = {settings.get("proxyjump", "none"), settings.get("proxycommand", "none")} != {"none"}
    return () if detour or "hostname" not in settings else (settings["hostname"],)


def local_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a shell has to know of the terminal that it is seen on."""
    wanted = ("TERM", "COLORTERM", "LANG")
    return {name: value for name, value in environment.items() if name in wanted or name.startswith("LC_")}


def _read(far: Far, line: bytes) -> Answer:
    try:
        return decode_answer(line.removeprefix(MARK))
    except RequestError as error:
        raise BootstrapError(f"`{far.host}`: {error}") from error


def no_ssh() -> BootstrapError:
    """Return the error for a host without an ssh client."""
    return BootstrapError("`ssh` was not found; on Debian: `apt-get install openssh-client`")


def why_silent(far: Far, status: int) -> str:
    """Return what ssh's exit status means when the other host said nothing that we understand."""
    if status == _SSH_FAILED:
        return f"ssh could not log in at `{far.host}`"
    if status == _NOT_FOUND and not far.server:
        return (
            f"`{far.host}` has no `migrate`: install it there with `pipx install migrate_sessions-*.whl`, "
            "or say where it is with `--server PATH`"
        )
    if status == _NOT_FOUND:
        return f"`{far.host}` has no `{far.server}`"
    return (
        f"`migrate` on `{far.host}` gave no answer (exit status {status}); install the same release of "
        "migrate-sessions on both hosts"
    )
