"""What a guard says of a text: findings, each with its rule and span, and the text that may pass.

Holds no decision; `injection` scores and `redaction` replaces.
"""

from dataclasses import dataclass
from enum import StrEnum


class TooDense(Exception):
    """Judging the text would take more work than its length allows."""


class Severity(StrEnum):
    """How bad one hit is by itself."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """One hit of one rule; `start` and `end` are code points of the text as it came."""

    rule: str
    """The rule's id; stable, goes into audit."""
    version: int
    category: str
    """`injection`, `pii`, `secret`, `leak`, or `limit` for what was withheld unread."""
    type: str
    """What was found: `EMAIL`, `PRIVATE_IP`, `override`."""
    severity: Severity
    start: int
    end: int
    weight: float = 0.0
    """What the hit adds to the score; 0 for anything but an injection."""
    reading: str = ""
    """What the rule matched in a plainer reading of the text; empty where it matched the text itself."""


@dataclass(frozen=True, slots=True)
class InputVerdict:
    """What may be stored and sent to a model; never when `refused`."""

    text: str
    refused: bool
    score: float
    threshold: float
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputVerdict:
    """What may be shown to a person or stored as a reply."""

    text: str
    findings: tuple[Finding, ...] = ()
