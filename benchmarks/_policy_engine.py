"""Our own engine as the benchmarks ask it: rules as a policy, requests as sessions, links that are all up."""

from __future__ import annotations

from collections.abc import Sequence

from _policy_rules import LINKS, Request, Rule

from engine import CompiledPolicy, Connection, Engine, SessionDescription
from engine.judge import CALM, Judgement, Position, judge
from engine.world import World
from monitors.events import AddressPresent, LinkState, NetworkEvent, OperState
from policylang import parse_policy
from policylang.ast import Policy

NOWHERE = Position(current=("", ""))
"""A session that is at none of the links yet."""


def parsed(text: str) -> Policy:
    """Return the policy, which must be right."""
    result = parse_policy(text)
    assert result.policy is not None, result.diagnostics
    return result.policy


def policy_text(among: Sequence[Rule]) -> str:
    """Write rules, of which the first that matches counts, as statements, of which the last one does.

    Each scores higher than those before it, so that of several links the last statement's wins.
    """
    lines = [
        f"    on remote-ip {rule.network} port {rule.port} score-interface {rule.link} {score}"
        for score, rule in enumerate(reversed(among), start=1)
    ]
    return "\n".join(["monitor-policy {", *lines, "}", ""])


def link_state(number: int, *, carrier: bool = True) -> LinkState:
    state = OperState.UP if carrier else OperState.DOWN
    return LinkState(interface=f"eth{number}", index=number + 2, up=True, carrier=carrier, operstate=state)


def address_of(link: int, family: int = 4) -> str:
    return f"10.200.{link}.1" if family == 4 else f"fd00:200:{link}::1"


def address_present(link: int, family: int = 4) -> AddressPresent:
    return AddressPresent(
        interface=f"eth{link}",
        index=link + 2,
        label=f"eth{link}",
        address=address_of(link, family),
        prefix_length=24 if family == 4 else 64,
        family=family,
        usable=True,
    )


def links_up(families: Sequence[int] = (4,)) -> list[NetworkEvent]:
    """Return the events after which there are `LINKS` usable links, each with an address of each family."""
    events: list[NetworkEvent] = []
    for link in range(LINKS):
        events += [link_state(link), *(address_present(link, family) for family in families)]
    return events


def session(name: str, request: Request) -> SessionDescription:
    """Return a session to the address and port of a request."""
    connection = Connection(
        proto="tcp",
        local_address=address_of(0, request.address.version),
        local_port=40000,
        remote_address=str(request.address),
        remote_port=request.port,
        user="ann",
        app="/usr/bin/ssh",
    )
    return SessionDescription(id=name, connections=(connection,))


class Decider:
    """A compiled policy in a world of `LINKS` links: classifies, judges, and explains.

    Args:
        among: the rules, the first that matches counts.
        families: of the links' addresses: each has one of each.
    """

    def __init__(self, among: Sequence[Rule], families: Sequence[int] = (4,)) -> None:
        policy = parsed(policy_text(among))
        self.rules, self.world, self.engine = CompiledPolicy(policy), World(), Engine(policy)
        for event in links_up(families):
            self.world.apply(event)
            self.engine.handle(event, 0.0)

    def decide(self, description: SessionDescription, position: Position = NOWHERE) -> Judgement:
        """Classify and judge, with nothing remembered of the session itself."""
        group = self.rules.classify(description).variant(frozenset())
        return judge(group, position, CALM, self.world, 0.0)

    def link(self, description: SessionDescription) -> str | None:
        """Return the link that is decided for, and nothing where no rule speaks for any."""
        judgement = self.decide(description)
        to = judgement.answer.to
        best = max(standing.score.value for standing in judgement.standings)
        return to.interface if to is not None and best > 0 else None
