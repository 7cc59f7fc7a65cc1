"""What goes wrong in the lab, said so that the reader knows what to do."""

from __future__ import annotations

import shutil

_PACKAGES = {"ip": "iproute2", "nft": "nftables", "unshare": "util-linux"}


class LabError(RuntimeError):
    """The lab cannot do what was asked; the message says what and what to do about it."""


def require(program: str) -> str:
    """Return the path of a system program.

    Args:
        program: the name to look for on ``PATH``.

    Raises:
        LabError: it is not installed; the message names the Debian package that has it.
    """
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        package = _PACKAGES.get(program)
        remedy = f"on Debian: `apt-get install {package}`" if package else "install it or correct `PATH`"
        raise LabError(f"`{program}` was not found; {remedy}")
    return path
