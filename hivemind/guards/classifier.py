"""A judge of the owner's beside the rules: any function that says how likely a text is an attack.

Off unless the settings name one. What it costs and where it sends a text is the owner's business; whoever
asks runs it off the loop and under a deadline (`agents.gate`). Nothing it does wrong lets a text pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Self

from hivemind.errors import ConfigError
from hivemind.guards.verdict import Finding, Severity

RULE = "injection.classifier"


@dataclass(frozen=True, slots=True)
class Classifier:
    """`function` gives a number from 0 to 1; `weight` is what a 1 counts among the rules."""

    function: Callable[[str], float]
    weight: float

    @classmethod
    def load(cls, reference: str, weight: float) -> Self | None:
        """Import `package.module:function`; none where `reference` is empty.

        Raises:
            ConfigError: there is no such function.
        """
        if not reference:
            return None
        module, colon, name = reference.partition(":")
        remedy = "guards.classifier is written package.module:function, of a package that is installed"
        if not (module and colon and name):
            raise ConfigError(f"guards.classifier is not the name of a function: {reference}", remedy=remedy)
        try:
            function = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"guards.classifier cannot be loaded: {error}", remedy=remedy) from error
        if not callable(function):
            raise ConfigError(f"guards.classifier is not a function: {reference}", remedy=remedy)
        return cls(function, weight)

    def judge(self, text: str) -> Finding | None:
        """What it says of `text` as one more finding; none where it sees nothing.

        Raises:
            ValueError: what it said is no number from 0 to 1.
        """
        said = self.function(text)
        if (
            isinstance(said, bool)
            or not isinstance(said, int | float)
            or math.isnan(said)
            or not 0 <= said <= 1
        ):
            raise ValueError(f"the classifier said {said!r}, which is no number from 0 to 1")
        if said == 0:
            return None
        return Finding(
            RULE,
            1,
            "injection",
            "classifier",
            Severity.HIGH,
            0,
            len(text),
            said * self.weight,
            f"the classifier says {said:.3f}",
        )
