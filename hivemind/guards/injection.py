"""How much a text looks like an attempt to take over the model: a score and the rules behind it.

Every rule that fires counts once, with its weight, as independent evidence: score = 1 - (1-w1)(1-w2)... The
rules see the text as it came and every plainer reading of it (`normalise`); they never change it.
"""

from collections.abc import Mapping, Sequence

import re2

from hivemind.guards.matcher import Matcher
from hivemind.guards.normalise import View, views
from hivemind.guards.rule import Rule
from hivemind.guards.verdict import Finding

SHOWN = 32
"""Rules that are given a span; the score counts all."""


class Injection:
    """The rules of the category `injection`, and the hints of `normalise`, by the number of their trigger."""

    def __init__(self, matcher: Matcher, rules: Mapping[int, Rule], hints: Mapping[int, str]) -> None:
        self._matcher = matcher
        self._rules = rules
        self._hints = hints
        self._patterns = {number: re2.compile(rule.pattern.encode()) for number, rule in rules.items()}

    def judge(self, text: str, data: bytes, hits: Sequence[tuple[int, int]]) -> tuple[float, list[Finding]]:
        """Return the score of `text` and a finding for each rule that counted."""
        fired: dict[int, View | None] = {}
        rules = self._rules
        hints: set[str] = set()
        for _, number in hits:
            if number in rules:
                fired[number] = None
            elif number in self._hints:
                hints.add(self._hints[number])
        if hints or not text.isascii() or "\x08" in text:
            for view in views(text, hints):
                for _, number in self._matcher.scan(view.data):
                    if number in rules:
                        fired.setdefault(number, view)
        if not fired:
            return 0.0, []
        doubt = 1.0
        for number in fired:
            doubt *= 1 - rules[number].weight
        found = [self._finding(number, text, data, view) for number, view in list(fired.items())[:SHOWN]]
        return 1 - doubt, found

    def _finding(self, number: int, text: str, data: bytes, view: View | None) -> Finding:
        rule = self._rules[number]
        match = self._patterns[number].search(data if view is None else view.data)
        if match is None:
            start, end = 0, len(text)
        elif view is None:
            start = len(data[: match.start()].decode("utf-8", "replace"))
            end = start + len(data[match.start() : match.end()].decode("utf-8", "replace"))
        else:
            start, end = view.span(text, *match.span())
        return Finding(
            rule.id, rule.version, rule.category, rule.type, rule.severity, start, end, rule.weight
        )
