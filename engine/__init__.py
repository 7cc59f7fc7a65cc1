"""The rule engine: world and policy in, decisions out; no input, no output, no clock."""

from engine.attachment import AttachmentPoint, PointKey
from engine.decision import Decision, Move, Reason, Resume, Stay, Suspend, Verdict
from engine.engine import Engine
from engine.explain import Explanation, LinkRow, PointExplanation
from engine.rules import UnsupportedStatementError
from engine.session import Connection, SessionDescription

__all__ = [
    "AttachmentPoint",
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
    "SessionDescription",
    "Stay",
    "Suspend",
    "UnsupportedStatementError",
    "Verdict",
]
