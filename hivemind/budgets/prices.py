"""Prices of models, and the arithmetic on them: pure, integer micro-dollars, always rounded up.

A model that is not listed has no price, and what has no price is refused: a cap over an unknown price would
be a cap in name only. Owners add models, or declare them free, in the setting `budgets.prices`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from hivemind.errors import PriceUnknown

_PER_MILLION: Final = 1_000_000
# What the wire adds to a message beyond its text (role, separators), in tokens, generously.
_TOKENS_AROUND_A_MESSAGE: Final = 16


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars for a million tokens, read and written."""

    input_micros: int
    output_micros: int

    @property
    def free(self) -> bool:
        """Whether nothing has to be reserved for it."""
        return not (self.input_micros or self.output_micros)

    def cost_micros(self, input_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost, rounded up to a whole micro-dollar."""
        total = input_tokens * self.input_micros + output_tokens * self.output_micros
        return -(-total // _PER_MILLION)

    def worst_case_micros(self, texts: tuple[str, ...], max_output_tokens: int) -> int:
        """An upper bound for a call with these texts.

        A byte-level tokenizer never makes more tokens than there are bytes, so bytes bound the prompt for
        any provider without its tokenizer. The excess is given back when the turn is settled.
        """
        if self.free:
            return 0
        tokens = sum(len(text.encode()) + _TOKENS_AROUND_A_MESSAGE for text in texts)
        return self.cost_micros(tokens, max_output_tokens)


FREE: Final = Price(0, 0)

# Published list prices, dollars per million tokens times a million; checked on PRICES_OF.
PRICES_OF: Final = date(2026, 11, 1)
_PUBLISHED: Final[Mapping[str, Price]] = {
    "claude-opus-4-6": Price(5_000_000, 25_000_000),
    "claude-opus-4-5": Price(5_000_000, 25_000_000),
    "claude-opus-4-1": Price(15_000_000, 75_000_000),
    "claude-sonnet-4-6": Price(3_000_000, 15_000_000),
    "claude-sonnet-4-5": Price(3_000_000, 15_000_000),
    "claude-haiku-4-5": Price(1_000_000, 5_000_000),
    "gpt-5": Price(1_250_000, 10_000_000),
    "gpt-5-mini": Price(250_000, 2_000_000),
    "gpt-5-nano": Price(50_000, 400_000),
    "gpt-4.1": Price(2_000_000, 8_000_000),
    "gpt-4.1-mini": Price(400_000, 1_600_000),
    "gpt-4.1-nano": Price(100_000, 400_000),
    "gpt-4o": Price(2_500_000, 10_000_000),
    "gpt-4o-mini": Price(150_000, 600_000),
}
# Providers whose models run on the owner's own machines.
_FREE_PROVIDERS: Final = frozenset({"local", "ollama", "scripted"})


class Prices:
    """The price of each model for one installation: the owner's word first, then the published list."""

    def __init__(self, overrides: Mapping[str, tuple[int, int]]) -> None:
        self._prices = {**_PUBLISHED, **{model: Price(*pair) for model, pair in overrides.items()}}

    def of(self, provider: str, model: str) -> Price:
        """The price of a model at a provider.

        Dated snapshots (`gpt-4o-2024-08-06`, `claude-haiku-4-5-20251001`) cost what their family costs.

        Raises:
            PriceUnknown: nobody has said what it costs.
        """
        price = self._prices.get(model) or self._prices.get(_without_date(model))
        if price is not None:
            return price
        if provider in _FREE_PROVIDERS:
            return FREE
        raise PriceUnknown(
            f"The model {model} has no price, so its cost cannot be limited",
            remedy=f'set budgets.prices."{model}" = [input, output] in hivemind.toml, in micro-dollars per '
            "million tokens; [0, 0] declares it free",
        )


def _without_date(model: str) -> str:
    parts = model.split("-")
    if parts and len(parts[-1]) == 8 and parts[-1].isdigit():
        return "-".join(parts[:-1])
    if len(parts) > 3 and [len(part) for part in parts[-3:]] == [4, 2, 2] and "".join(parts[-3:]).isdigit():
        return "-".join(parts[:-3])
    return model
