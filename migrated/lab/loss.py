"""Loss on the way: a host that drops what comes in and goes out by one of its interfaces, or some of it.

The link stays up with carrier, and neighbours find each other: only packets are lost. It is done with
nftables because the kernel's netem is not on every machine.

Source: nft(8), ``numgen``.
"""

from __future__ import annotations

from typing import Final

from migrated.lab.errors import LabError, require
from migrated.lab.host import Host

_OF: Final = 10_000
_LOSS: Final = """
table inet {table}
delete table inet {table}
table inet {table} {{
    chain incoming {{
        type filter hook prerouting priority raw; policy accept;
        iifname "{interface}" {some} drop
    }}
    chain outgoing {{
        type filter hook postrouting priority srcnat; policy accept;
        oifname "{interface}" {some} drop
    }}
}}
"""


def lose(host: Host, interface: str, share: float = 1.0) -> None:
    """Drop a share of all packets at an interface, in each direction, drawn by lot; 1 drops all.

    Args:
        host: where.
        interface: of this host.
        share: 0 to 1, in steps of 0.0001; it takes the place of an earlier one.

    Raises:
        LabError: `nft` is missing, or the kernel refuses.
        ValueError: ``share`` is no share.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"{share} of all packets cannot be lost")
    some = "" if share == 1 else f"numgen random mod {_OF} < {round(share * _OF)}"
    script = _LOSS.format(table=_table(interface), interface=interface, some=some)
    done = host.run([require("nft"), "-f", "-"], input=script)
    if done.returncode != 0:
        raise LabError(f"host `{host.name}`: `nft` refused: {done.stderr.strip()}")


def deliver(host: Host, interface: str) -> None:
    """Drop nothing any more at an interface at which packets were lost.

    Raises:
        LabError: `nft` is missing, or nothing was lost there.
    """
    done = host.run([require("nft"), "delete", "table", "inet", _table(interface)])
    if done.returncode != 0:
        raise LabError(f"host `{host.name}`: nothing is lost at `{interface}`: {done.stderr.strip()}")


def _table(interface: str) -> str:
    return f"lab_loss_{interface}"
