"""The rule engine: world and policy in, decisions out; no input, no output, no clock."""

from engine.attachment import AttachmentPoint, PointKey
from engine.decision import Decision, Move, Resume, Stay, Suspend, Verdict
from engine.engine import Engine
from engine.explain import Explanation, LinkRow, PointExplanation
from engine.forks import ConditionRow
from engine.rules import CompiledPolicy
from engine.scoring import Reason
from engine.servers import ServerRow
from engine.session import Connection, SessionDescription

__all__ = [
    "AttachmentPoint",
    "CompiledPolicy",
    "ConditionRow",
    "Connection",
    "Decision",
    "Engine",
    "Explanation",
    "LinkRow",
    "Move",
    "PointExplanation",
    "PointKey",
    "Reason",
    "Resume",
    "ServerRow",
    "SessionDescription",
    "Stay",
    "Suspend",
    "Verdict",
]
