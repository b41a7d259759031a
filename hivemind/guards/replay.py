"""What a change of the rules would change: stored texts judged by the rules as they are and as they might be.

Pure; where the texts come from is the caller's business. Stored text has been scrubbed already, so a replay
shows changed refusals and new removals, not removals that would no longer be made.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hivemind.errors import ConfigError
from hivemind.guards.guards import Guards
from hivemind.guards.rule import Rule


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it was stored, and the threshold of its profile."""

    id: str
    role: str
    text: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A text that the changed rules judge differently."""

    id: str
    role: str
    before: str
    after: str
    """`refuse`, `scrub` or `pass`."""
    score_before: float
    score_after: float
    rules: tuple[str, ...]
    """The rules that fire now and did not, or did and do not any more."""


def changed(rules: Sequence[Rule], others: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules with `others` in the places of those with the same id, new ones behind them."""
    by_id = {rule.id: rule for rule in others}
    kept = tuple(by_id.pop(rule.id, rule) for rule in rules)
    return (*kept, *by_id.values())


def weighed(rules: Sequence[Rule], rule_id: str, weight: float) -> tuple[Rule, ...]:
    """The rules with another weight for one of them.

    Raises:
        ConfigError: there is no such rule, or its weight means nothing.
    """
    for rule in rules:
        if rule.id == rule_id:
            if rule.category != "injection":
                raise ConfigError(f"{rule_id} has no weight", remedy="only injection rules are weighed")
            return changed(rules, [replace(rule, weight=weight)])
    raise ConfigError(f"there is no rule {rule_id}", remedy="`hivemind guards rules` lists them")


def replay(before: Guards, after: Guards, texts: Iterable[Stored]) -> Iterator[Flip]:
    """Yield each text whose decision, or whose text that may pass, the change would change."""
    for stored in texts:
        old, new = _judge(before, stored), _judge(after, stored)
        if old[:2] != new[:2]:
            rules = tuple(sorted(set(_rules(old[3])) ^ set(_rules(new[3]))))
            yield Flip(stored.id, stored.role, old[0], new[0], old[2], new[2], rules)


def _judge(guards: Guards, stored: Stored) -> tuple[str, str, float, Mapping[str, int]]:
    if stored.role == "assistant":
        sent = guards.check_output(stored.text)
        fired = {finding.rule: finding.version for finding in sent.findings}
        return "scrub" if sent.text != stored.text else "pass", sent.text, 0.0, fired
    received = guards.check_input(stored.text, stored.threshold)
    fired = {finding.rule: finding.version for finding in received.findings}
    if received.refused:
        return "refuse", "", received.score, fired
    return "scrub" if received.text != stored.text else "pass", received.text, received.score, fired


def _rules(fired: Mapping[str, int]) -> Iterator[str]:
    return (f"{rule} v{version}" for rule, version in fired.items())
