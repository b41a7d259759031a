"""How much a text looks like an attempt to take over the model: a score and the rules behind it.

Every rule that fires counts once, with its weight, as independent evidence: score = 1 - (1-w1)(1-w2)... The
rules see the text as it came and every plainer reading of it (`normalise`); they never change it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import re2

from hivemind.guards.matcher import Matcher
from hivemind.guards.normalise import HINTS, View, read
from hivemind.guards.rule import Rule
from hivemind.guards.verdict import Finding

SHOWN = 32
"""Rules that are given a span; the score counts all."""

LONGEST_READING = 200


class Injection:
    """The rules of the category `injection` and the hints of `normalise`, under one set of triggers."""

    def __init__(self, rules: Sequence[Rule], folder: Path | None) -> None:
        triggers = list(dict.fromkeys((*(rule.trigger for rule in rules), *HINTS.values())))
        numbers = {trigger: number for number, trigger in enumerate(triggers)}
        self._rules = {numbers[rule.trigger]: rule for rule in rules}
        self._hints = {numbers[hint]: name for name, hint in HINTS.items()}
        self._patterns = {number: re2.compile(rule.pattern.encode()) for number, rule in self._rules.items()}
        self._matcher = Matcher(triggers, folder, first_only=True)

    def judge(self, text: str, data: bytes) -> tuple[float, list[Finding]]:
        """Return the score of `text` and a finding for each rule that counted.

        Raises:
            TooDense: so much is encoded in it that judging it would take too long.
        """
        fired = self.fired(text, data)
        if not fired:
            return 0.0, []
        doubt = 1.0
        for number in fired:
            doubt *= 1 - self._rules[number].weight
        found = [self._finding(number, text, data, view) for number, view in list(fired.items())[:SHOWN]]
        return 1 - doubt, found

    def fired(self, text: str, data: bytes) -> Mapping[int, View | None]:
        """The rules that fired, each with the plainer reading in which it did, None for the text itself."""
        fired: dict[int, View | None] = {}

        def look(reading: View) -> set[str]:
            return self._look(reading.data, reading, fired)

        hints = self._look(data, None, fired)
        if hints or not text.isascii() or "\x08" in text:
            read(text, hints, look)
        return fired

    def _look(self, data: bytes, view: View | None, fired: dict[int, View | None]) -> set[str]:
        hints: set[str] = set()
        for _, number in self._matcher.scan(data):
            if (rule := self._rules.get(number)) is not None:
                if _counts(rule, view):
                    fired.setdefault(number, view)
            elif number in self._hints:
                hints.add(self._hints[number])
        return hints

    def _finding(self, number: int, text: str, data: bytes, view: View | None) -> Finding:
        rule = self._rules[number]
        read_as = ""
        match = self._patterns[number].search(data if view is None else view.data)
        if match is None:
            start, end = 0, len(text)
        elif view is None:
            start = len(data[: match.start()].decode("utf-8", "replace"))
            end = start + len(data[match.start() : match.end()].decode("utf-8", "replace"))
        else:
            start, end = view.span(text, *match.span())
            read_as = match.group().decode("utf-8", "replace")[:LONGEST_READING]
        return Finding(
            rule.id, rule.version, rule.category, rule.type, rule.severity, start, end, rule.weight, read_as
        )


def _counts(rule: Rule, view: View | None) -> bool:
    """Whether a hit counts in this reading; None is the text itself."""
    if rule.reading == "any":
        return True
    return view is None if rule.reading == "text" else view is not None and view.decoded
