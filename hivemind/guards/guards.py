"""The facade: rules compiled once, and a verdict for every text.

Fails closed: whatever goes wrong inside a check becomes `GuardFailed`; text that was not checked is never
returned.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from hivemind.errors import GuardFailed, GuardRefused
from hivemind.guards import rule as rule_files
from hivemind.guards.classifier import Classifier
from hivemind.guards.injection import Injection
from hivemind.guards.matcher import Matcher, StreamMatcher
from hivemind.guards.redaction import Measure, Redaction
from hivemind.guards.rule import Rule
from hivemind.guards.verdict import InputVerdict, OutputVerdict, TooDense
from hivemind.guards.window import HoldBack

DEFAULT_THRESHOLD = 0.5


class Guards:
    """All rules of one installation; without state between texts."""

    def __init__(
        self, rules: Sequence[Rule], folder: Path | None = None, classifier: Classifier | None = None
    ) -> None:
        """Compile `rules`; the compiled form is kept in `folder`."""
        self.rules = tuple(rules)
        self._classifier = classifier
        scored = [rule for rule in self.rules if rule.category == "injection"]
        measures = [
            Measure.of(rule, order) for order, rule in enumerate(self.rules) if rule.category != "injection"
        ]
        triggers, self._outgoing = _by_trigger(measures)
        self._matcher = Matcher(triggers, folder)
        self._streams = StreamMatcher(triggers, folder)
        triggers, self._incoming = _by_trigger(
            [measure for measure in measures if measure.rule.category != "leak"]
        )
        self._incoming_matcher = Matcher(triggers, folder)
        self._injection = Injection(scored, folder)

    @classmethod
    def load(cls, folder: Path | None = None, classifier: Classifier | None = None) -> Self:
        """Read the rules that ship with the product; `folder` keeps their compiled form between starts."""
        return cls(rule_files.load(), folder, classifier)

    @property
    def waits(self) -> bool:
        """Whether a check of a message may take longer than its length says."""
        return self._classifier is not None

    def check_input(
        self, text: str, threshold: float = DEFAULT_THRESHOLD, *, classify: bool = True
    ) -> InputVerdict:
        """Judge what a person, a tool or a document says before a model sees it.

        A part of what is judged as a whole need not be put before the classifier by itself.
        """
        try:
            data = text.encode("utf-8", "surrogatepass")
            score, found = self._injection.judge(text, data, threshold)
            if (
                classify
                and self._classifier is not None
                and (said := self._classifier.judge(text)) is not None
            ):
                score, found = 1 - (1 - score) * (1 - said.weight), [*found, said]
            redaction = Redaction(self._incoming_matcher, self._incoming)
            clean = redaction.feed(data, 0)
        except TooDense as error:
            raise GuardRefused("The message holds more encoded text than can be checked") from error
        except Exception as error:
            raise GuardFailed("The message could not be checked") from error
        findings = (*found, *redaction.findings) if found or redaction.findings else ()
        return InputVerdict(clean, score >= threshold, score, threshold, findings)

    def check_output(self, text: str) -> OutputVerdict:
        """Judge what a model or a tool says before a person sees it."""
        try:
            data = text.encode("utf-8", "surrogatepass")
            redaction = Redaction(self._matcher, self._outgoing)
            clean = redaction.feed(data, 0)
        except Exception as error:
            raise GuardFailed("The reply could not be checked") from error
        return OutputVerdict(clean, tuple(redaction.findings))

    def window(self) -> HoldBack:
        """Open the stream form of `check_output`."""
        return HoldBack(Redaction(self._matcher, self._outgoing), self._streams)


def _by_trigger(measures: Sequence[Measure]) -> tuple[list[str], dict[int, list[Measure]]]:
    """The triggers of these, and which of them each stands for by its number."""
    triggers = list(dict.fromkeys(measure.rule.trigger for measure in measures))
    numbers = {trigger: number for number, trigger in enumerate(triggers)}
    found: defaultdict[int, list[Measure]] = defaultdict(list)
    for measure in measures:
        found[numbers[measure.rule.trigger]].append(measure)
    return triggers, dict(found)
