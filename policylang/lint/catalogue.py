"""The table of all rules. A code keeps its meaning for ever; a rule that goes leaves a gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from policylang.lint import branches, definitions, lists, overriding, points, slips, whens
from policylang.lint.material import Rule

UNKNOWN_CODE = "P000"
"""The code of a comment that allows a rule which does not exist."""


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule of the table.

    Attributes:
        name: What people call it.
        find: Finds what it is about.
        once: Whether it looks at each file once; else wherever the file was included.
    """

    name: str
    find: Rule
    once: bool = False


RULES: Mapping[str, ListedRule] = MappingProxyType(
    {
        "P001": ListedRule("shadowed-statement", overriding.shadowed),
        "P002": ListedRule("contradiction", branches.contradiction),
        "P003": ListedRule("unreachable-else", branches.unreachable_else),
        "P004": ListedRule("no-such-interface", points.no_such_interface),
        "P005": ListedRule("host-bits", lists.host_bits),
        "P006": ListedRule("overlap-disagrees", lists.overlap),
        "P007": ListedRule("block-without-effect", definitions.block_without_effect, once=True),
        "P008": ListedRule("unused-set", definitions.unused_set, once=True),
        "P009": ListedRule("ruled-out", overriding.ruled_out),
        "P010": ListedRule("never-turns-on", whens.never_turns_on),
        "P011": ListedRule("adopt-too-early", whens.adopt_too_early),
        "P012": ListedRule("covered-value", lists.covered_value),
        "P013": ListedRule("always-holds", branches.always_holds),
        "P014": ListedRule("repeated-statement", overriding.repeated),
        "P015": ListedRule("never-at-rest", points.never_at_rest),
        "P016": ListedRule("impossible-value", whens.impossible_value),
        "P017": ListedRule("stands-alone", slips.stands_alone, once=True),
        "P018": ListedRule("address-as-name", slips.address_as_name),
        "P019": ListedRule("avoids-all", points.avoids_all),
    }
)
