"""Checks on text: what comes in from people and tools, what goes out to them.

Pure: text in, verdict out. Nothing here knows about agents, SQL, HTTP or time; what happens on a verdict is
the turn's business. Load once with `Guards.load(folder)`; the object may be shared between threads.
"""

from hivemind.guards.classifier import Classifier
from hivemind.guards.explanation import Explanation, Reason, explain
from hivemind.guards.guards import DEFAULT_THRESHOLD, Guards
from hivemind.guards.verdict import Finding, InputVerdict, OutputVerdict, Severity
from hivemind.guards.window import HoldBack

__all__ = [
    "DEFAULT_THRESHOLD",
    "Classifier",
    "Explanation",
    "Finding",
    "Guards",
    "HoldBack",
    "InputVerdict",
    "OutputVerdict",
    "Reason",
    "Severity",
    "explain",
]
