"""Why the guards decide as they do: every rule that fired, where, what it weighs, and what would change it.

The verdicts are those of `Guards`; nothing is decided here. Who may read an explanation is the caller's
business: it quotes the text.
"""

from dataclasses import dataclass

from hivemind.guards.guards import DEFAULT_THRESHOLD, Guards
from hivemind.guards.verdict import Finding, Severity


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that fired; `start` and `end` are code points of the text."""

    rule: str
    version: int
    category: str
    type: str
    severity: Severity
    weight: float
    start: int
    end: int
    value: str
    """What it fired on."""
    reading: str
    """What that says once it is decoded, where the rule does not match the text as it stands."""

    @classmethod
    def of(cls, finding: Finding, text: str) -> "Reason":
        """Say of a finding what it stands on."""
        return cls(
            finding.rule,
            finding.version,
            finding.category,
            finding.type,
            finding.severity,
            finding.weight,
            finding.start,
            finding.end,
            text[finding.start : finding.end],
            finding.reading,
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to a text on its way in and on its way out, and why."""

    decision: str
    """As a message: `refuse`, `scrub` or `pass`."""
    score: float
    threshold: float
    reasons: tuple[Reason, ...]
    scrubbed: str
    """As a message, what a model would see if it is not refused."""
    leaks: tuple[Reason, ...]
    """As a reply, what would be removed."""
    released: str
    changes: tuple[str, ...]
    """Which settings would change the decision, and how."""


def explain(guards: Guards, text: str, threshold: float = DEFAULT_THRESHOLD) -> Explanation:
    """Judge `text` as a message and as a reply, and say why.

    Raises:
        GuardRefused: it could not be judged, and would be refused for that.
    """
    received = guards.check_input(text, threshold)
    sent = guards.check_output(text)
    decision = "refuse" if received.refused else "scrub" if received.text != text else "pass"
    return Explanation(
        decision=decision,
        score=received.score,
        threshold=threshold,
        reasons=tuple(Reason.of(finding, text) for finding in received.findings),
        scrubbed=received.text,
        leaks=tuple(Reason.of(finding, text) for finding in sent.findings),
        released=sent.text,
        changes=tuple(_changes(decision, received.score, received.findings)),
    )


def _changes(decision: str, score: float, findings: tuple[Finding, ...]) -> list[str]:
    changes: list[str] = []
    if decision == "refuse":
        changes.append(f"injection_threshold of the profile above {score:.3f} lets it through")
        changes.append("on_injection = 'flag' in the profile lets it through and writes it down")
    elif score:
        changes.append(f"injection_threshold of the profile at {score:.3f} or below refuses it")
    if any(finding.category != "injection" for finding in findings):
        changes.append(
            "what is scrubbed is scrubbed for every profile: only a change of its rule changes that"
        )
    return changes
