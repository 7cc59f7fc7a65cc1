"""Rule engines of others, each in the fastest form found in which it takes the rules as they are.

The rules are a list of which the first that matches counts. Where a system has no such list, it is given
each rule as one of its own; nobody's rules are grouped by hand. A request is put into the form that a
system wants beforehand.
Modules are imported by name, since none of them is needed for anything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from types import ModuleType

from _policy_rules import Address, Network, Request, Rule

V6_BITS = 48
"""So many bits of an IPv6 address count: no rule has a longer prefix, few systems have longer integers."""

V6_BASE = 1 << V6_BITS
"""Where the numbers of IPv6 addresses begin, above all of IPv4."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A system that has the rules: prepares a request, and answers it with a link or with none."""

    prepare: Callable[[Request], object]
    decide: Callable[[object], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another system: the package that PyPI has it under, the module it is, and how it is used."""

    package: str
    module: str
    form: str
    load: Callable[[ModuleType, Sequence[Rule]], Loaded]


def number(address: Address) -> int:
    """Return an address as an integer that a double holds exactly; none of IPv4 is one of IPv6."""
    if isinstance(address, IPv6Address):
        return V6_BASE | int(address) >> 128 - V6_BITS
    return int(address)


def bounds(network: Network) -> tuple[int, int]:
    """Return the first and the last `number` of a network."""
    return number(network.network_address), number(network.broadcast_address)


def _numbers(request: Request) -> dict[str, int]:
    return {"port": request.port, "ip": number(request.address)}


def _datalogic(module: ModuleType, among: Sequence[Rule]) -> Loaded:
    """One JSONLogic `if` with a branch for each rule, compiled; requests as handles."""
    branches: list[object] = []
    for rule in among:
        first, last = bounds(rule.network)
        port = {"==": [{"var": "port"}, rule.port]}
        branches += [{"and": [port, {"<=": [first, {"var": "ip"}, last]}]}, rule.link]
    engine = module.Engine()
    compiled, session = engine.compile({"if": [*branches, None]}), engine.session()

    def decide(prepared: object) -> str | None:
        link: str | None = session.evaluate_data(compiled, prepared)
        return link

    return Loaded(lambda request: module.DataHandle(_numbers(request)), decide)


def _cedar(module: ModuleType, among: Sequence[Rule]) -> Loaded:
    """A policy for each rule, parsed once. All that hold are told, in any order: the first is picked."""
    policies = module.PolicySet.from_str(
        "\n".join(
            f'@id("{place}") permit(principal, action, resource) when '
            f'{{ context.port == {rule.port} && context.ip.isInRange(ip("{rule.network}")) }};'
            for place, rule in enumerate(among)
        )
    )
    nobody = module.Entities.from_json_str("[]")

    def prepare(request: Request) -> object:
        address = {"__extn": {"fn": "ip", "arg": str(request.address)}}
        context = json.dumps({"port": request.port, "ip": address})
        return {"principal": 'U::"u"', "action": 'A::"a"', "resource": 'R::"r"', "context": context}

    def decide(prepared: object) -> str | None:
        answer = module.is_authorized(prepared, policies, nobody)
        assert not answer.diagnostics.errors, answer.diagnostics.errors
        held = answer.diagnostics.id_annotations_by_reason.values()
        return among[min(map(int, held))].link if held else None

    return Loaded(prepare, decide)


def _rule_engine(module: ModuleType, among: Sequence[Rule]) -> Loaded:
    """A compiled `Rule` for each rule, tried one after the other; with declared types they take longer."""
    compiled = []
    for rule in among:
        first, last = bounds(rule.network)
        text = f"port == {rule.port} and ip >= {first} and ip <= {last}"
        compiled.append((module.Rule(text).matches, rule.link))

    def decide(prepared: object) -> str | None:
        for matches, link in compiled:
            if matches(prepared):
                return link
        return None

    return Loaded(_numbers, decide)


_CASBIN_MODEL = """
[request_definition]
r = port, ip
[policy_definition]
p = port, ip, link, eft
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = r.port == p.port && ipMatch(r.ip, p.ip)
"""


def _casbin(module: ModuleType, among: Sequence[Rule]) -> Loaded:
    """A policy for each rule and the effect `priority`, which ends the search at the first.

    `FastEnforcer`, which looks policies up by a field, keeps them in no order.
    """
    enforcer = module.Enforcer(module.Enforcer.new_model(text=_CASBIN_MODEL))
    enforcer.add_policies([[str(rule.port), str(rule.network), rule.link, "allow"] for rule in among])

    def decide(prepared: object) -> str | None:
        allowed, policy = enforcer.enforce_ex(*prepared)  # type: ignore[misc] # what `prepare` makes
        return policy[2] if allowed else None

    return Loaded(lambda request: (str(request.port), str(request.address)), decide)


def _zen(module: ModuleType, among: Sequence[Rule]) -> Loaded:
    """One compiled expression with a `?` for each rule; a decision table took longer at every size."""
    branches = []
    for rule in among:
        first, last = bounds(rule.network)
        branches.append(f'port == {rule.port} and ip in [{first}..{last}] ? "{rule.link}" : ')
    expression = module.compile_expression("".join([*branches, "null"]))

    def decide(prepared: object) -> str | None:
        link: str | None = expression.evaluate(prepared)
        return link

    return Loaded(_numbers, decide)


def _rego(module: ModuleType, among: Sequence[Rule]) -> Loaded:
    """One Rego rule with an `else` for each of ours, in a bundle; rego-cpp has no `net.cidr_contains`."""
    branches = []
    for rule in among:
        first, last = bounds(rule.network)
        conditions = f"input.port == {rule.port}; input.ip >= {first}; input.ip <= {last}"
        branches.append(f'"{rule.link}" if {{ {conditions} }}')
    builder, runner = module.Interpreter(), module.Interpreter()
    builder.add_module("links.rego", "package links\nlink := " + " else := ".join(branches))
    bundle = builder.build("link = data.links.link")

    def decide(prepared: object) -> str | None:
        runner.set_input(prepared)
        answer = runner.query_bundle(bundle)
        return json.loads(str(answer.binding("link"))) if str(answer) != "undefined" else None

    return Loaded(lambda request: module.Input(_numbers(request)), decide)


RANGES = "prefixes as ranges of integers"

PEERS = (
    Peer(package="datalogic-py", module="datalogic_py", form=f"one compiled `if`, {RANGES}", load=_datalogic),
    Peer(package="cedarpy", module="cedarpy", form="a parsed policy set, `isInRange`", load=_cedar),
    Peer(package="rule-engine", module="rule_engine", form=f"a list of `Rule`s, {RANGES}", load=_rule_engine),
    Peer(package="pycasbin", module="casbin", form="effect `priority`, `ipMatch`", load=_casbin),
    Peer(package="zen-engine", module="zen", form=f"one compiled expression, {RANGES}", load=_zen),
    Peer(package="regopy", module="regopy", form=f"a bundle with one `else` chain, {RANGES}", load=_rego),
)
