"""How much a text looks like an attempt to take over the model: a score and the rules behind it.

Every rule that fires counts once, with its weight, as independent evidence: score = 1 - (1-w1)(1-w2)... The
rules see the text as it came and every plainer reading of it (`normalise`); they never change it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import re2

from hivemind.guards import mention
from hivemind.guards.matcher import Matcher
from hivemind.guards.normalise import HINTS, Places, View, read
from hivemind.guards.rule import Rule
from hivemind.guards.spelling import Phrase, counting, letters
from hivemind.guards.verdict import Finding

SHOWN = 32
"""Rules that are given a span; the score counts all."""

LONGEST_READING = 200

LAID_OUT = bytes.maketrans(b"\t\r", b" \n")
DOUBTFUL = 0.3
CERTAIN = 0.995
"""With this score no plainer reading is made any more: it could not change anything."""
LONG = 16_384
SURE = 0.9
"""What is enough for a text longer than `LONG`, unless the threshold is higher."""


class Injection:
    """The rules of the category `injection` and the hints of `normalise`, under one set of triggers."""

    def __init__(self, rules: Sequence[Rule], folder: Path | None) -> None:
        self._phrases = [Phrase(rule) for rule in rules if rule.reading == "letters"]
        self._foreign_rules = [rule for rule in rules if rule.language]
        ours = [rule for rule in rules if rule.reading != "letters" and not rule.language]
        triggers = list(dict.fromkeys((*(rule.trigger for rule in ours), *HINTS.values())))
        numbers = {trigger: number for number, trigger in enumerate(triggers)}
        self._ours = {numbers[rule.trigger]: rule for rule in ours}
        self._hints = {numbers[hint]: name for name, hint in HINTS.items()}
        self._matcher = Matcher(triggers, folder, first_only=True)
        self._spelt = Matcher([phrase.rule.trigger for phrase in self._phrases], folder, first_only=True)
        self._foreign = Matcher([rule.trigger for rule in self._foreign_rules], folder, first_only=True)
        self._rules = {rule.id: rule for rule in rules}
        self._finders: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
            rule.id: partial(_span, re2.compile(rule.pattern.encode())) for rule in rules
        }
        self._finders.update({phrase.rule.id: phrase.find for phrase in self._phrases})

    def judge(self, text: str, data: bytes, threshold: float) -> tuple[float, list[Finding]]:
        """Return the score of `text` and a finding for each rule that counted.

        Whether the score reaches `threshold` is exact; how far beyond it goes is not always found out.

        Raises:
            TooDense: so much is encoded in it that judging it would take too long.
        """
        if b"\t" in data or b"\r" in data:
            # No rule tells these apart, and nothing moves.
            text = text.replace("\t", " ").replace("\r", "\n")
            data = data.translate(LAID_OUT)
        fired = self.fired(text, data, threshold)
        if not fired:
            return 0.0, []
        score = self._score(fired)
        if score >= DOUBTFUL:
            spoken = mention.spoken(text)
            if spoken != text:
                data = spoken.encode("utf-8", "surrogatepass")
                fired = self.fired(spoken, data, threshold)
                text, score = spoken, self._score(fired)
        places = Places(text)
        found = [self._finding(name, places, text, data, view) for name, view in list(fired.items())[:SHOWN]]
        return score, found

    def _score(self, fired: Iterable[str]) -> float:
        doubt = 1.0
        for name in fired:
            doubt *= 1 - self._rules[name].weight
        return 1 - doubt

    def fired(self, text: str, data: bytes, threshold: float = 1.0) -> Mapping[str, View | None]:
        """The rules that fired, each with the plainer reading in which it did, None for the text itself."""
        fired: dict[str, View | None] = {}
        enough = CERTAIN if len(data) <= LONG else max(SURE, threshold)

        def look(reading: View) -> set[str] | None:
            hints = self._look(reading.data, reading, fired)
            return None if self._score(fired) >= enough else hints

        hints = self._look(data, None, fired)
        if (hints or not text.isascii() or "\x08" in text) and self._score(fired) < enough:
            read(text, hints, look)
        return fired

    def _look(self, data: bytes, view: View | None, fired: dict[str, View | None]) -> set[str]:
        hints: set[str] = set()
        for _, number in self._matcher.scan(data):
            if (rule := self._ours.get(number)) is None:
                hints.add(self._hints[number])
            elif _counts(rule, view):
                fired.setdefault(rule.id, view)
        if "foreign" in hints or not data.isascii() or (view is not None and view.is_folded):
            for _, number in self._foreign.scan(data):
                fired.setdefault(self._foreign_rules[number].id, view)
        self._look_at_letters(data, view, fired)
        return hints

    def _look_at_letters(self, data: bytes, view: View | None, fired: dict[str, View | None]) -> None:
        found = []
        only = letters(data)
        for _, number in self._spelt.scan(only):
            phrase = self._phrases[number]
            span = phrase.find(data, only)
            if span is not None:
                found.append((phrase, data[slice(*span)]))
        for phrase in counting(found):
            fired.setdefault(phrase.rule.id, view)

    def _finding(self, name: str, places: Places, text: str, data: bytes, view: View | None) -> Finding:
        rule = self._rules[name]
        read_as = ""
        seen = data if view is None else view.data
        span = self._finders[name](seen)
        if span is None:
            start, end = 0, len(text)
        else:
            start, end = places.span(view, seen, *span)
        if span is not None and view is not None:
            read_as = seen[slice(*span)].decode("utf-8", "replace")[:LONGEST_READING]
        return Finding(
            rule.id, rule.version, rule.category, rule.type, rule.severity, start, end, rule.weight, read_as
        )


def _span(pattern: Any, data: bytes) -> tuple[int, int] | None:
    match = pattern.search(data)
    return match.span() if match is not None else None


def _counts(rule: Rule, view: View | None) -> bool:
    """Whether a hit counts in this reading; None is the text itself."""
    if rule.reading == "any":
        return True
    return view is None if rule.reading == "text" else view is not None and view.decoded
