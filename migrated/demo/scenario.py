"""What happens in the demonstration, scene by scene, as data.

The client's links are `eth0` and `ppp0`, and later `eth1`. By Figure 10 an `eth` link
scores 100 for ssh to 18.31.0.x (10 for other programs) and `ppp0` scores 5. `eth1` therefore
appears while `eth0` is away: equal scores would keep the session where it is.

Source: the Migrate paper, Fig. 10.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Deed(Enum):
    """What can be done to a link of the client."""

    CUT = "cut"
    PLUG = "plug"
    WITHDRAW = "withdraw"
    CONFIGURE = "configure"
    APPEAR = "appear"


class Outcome(Enum):
    """What the client's daemon must say after the deeds of a scene, by the name of its event."""

    MOVED = "moved"
    SUSPENDED = "suspended"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One deed, done to the link of that name."""

    deed: Deed
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Some deeds in a row, and what must come of them.

    ``link`` is where the session must be afterwards; ``None`` leaves it open. The scene lasts until
    the outcome was heard and ``least_s`` seconds have gone by.
    """

    title: str
    steps: tuple[Step, ...]
    outcome: Outcome
    link: str | None = None
    least_s: float


LINKS = ("eth0", "ppp0")
"""The links that the client has from the beginning, the one for new connections first."""

USUAL_S = 2.5
OUTAGE_S = 4.0


def _scene(title: str, deed: Deed, link: str, to: str) -> Scene:
    step = Step(deed=deed, link=link)
    return Scene(title=title, steps=(step,), outcome=Outcome.MOVED, link=to, least_s=USUAL_S)


SCENES = (
    _scene("the cable of eth0 is pulled", Deed.CUT, "eth0", "ppp0"),
    _scene("the cable of eth0 is plugged in again", Deed.PLUG, "eth0", "eth0"),
    _scene("eth0 loses its address", Deed.WITHDRAW, "eth0", "ppp0"),
    _scene("eth0 gets its address back", Deed.CONFIGURE, "eth0", "eth0"),
    _scene("the cable of eth0 is pulled for good", Deed.CUT, "eth0", "ppp0"),
    _scene("a better link appears: eth1", Deed.APPEAR, "eth1", "eth1"),
    Scene(
        title="all links go",
        steps=(Step(deed=Deed.CUT, link="ppp0"), Step(deed=Deed.CUT, link="eth1")),
        outcome=Outcome.SUSPENDED,
        least_s=OUTAGE_S,
    ),
    Scene(
        title="the links come back",
        steps=(Step(deed=Deed.PLUG, link="eth1"), Step(deed=Deed.PLUG, link="ppp0")),
        outcome=Outcome.RESUMED,
        least_s=USUAL_S,
    ),
)
"""The demonstration, in order."""


def expected_moves(scenes: tuple[Scene, ...]) -> int:
    """Return how often the session must change its place: resuming counts, suspending does not."""
    return sum(scene.outcome is not Outcome.SUSPENDED for scene in scenes)


def stretched(scenes: tuple[Scene, ...], seconds: float) -> tuple[Scene, ...]:
    """Return the scenes with their lengths in the same proportion and ``seconds`` together."""
    factor = seconds / sum(scene.least_s for scene in scenes)
    return tuple(replace(scene, least_s=scene.least_s * factor) for scene in scenes)
