"""Prices of models, and the arithmetic on them: pure, integer micro-dollars, always rounded up.

A model that is not listed has no price, and what has no price is refused: a cap over an unknown price would
be a cap in name only. The published prices are data (`prices.toml`); owners add models, or declare them free,
in the setting `budgets.prices`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final, Self

from hivemind.errors import PriceUnknown

_PER_MILLION: Final = 1_000_000
# What the wire adds to a message beyond its text (role, separators), in tokens, generously.
_TOKENS_AROUND_A_MESSAGE: Final = 16
# No provider caches a shorter prompt unasked.
_CACHED_FROM_TOKENS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars for a million tokens, read and written.

    `cache_write_micros` is there where the provider puts what it reads into a cache unasked and charges for
    it; a call that reads more than `long_over` tokens costs `long` as a whole.
    """

    input_micros: int
    output_micros: int
    cache_write_micros: int | None = None
    long_over: int | None = None
    long: Self | None = None

    @property
    def free(self) -> bool:
        """Whether nothing has to be reserved for it."""
        return not (self.input_micros or self.output_micros)

    def cost_micros(self, input_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost at most, rounded up to a whole micro-dollar.

        Which of the tokens read came from the provider's cache, at a discount, is not known here: they count
        in full, so a cap never counts too little.
        """
        if self.long is not None and self.long_over is not None and input_tokens > self.long_over:
            return self.long.cost_micros(input_tokens, output_tokens)
        read = self.input_micros
        if self.cache_write_micros is not None and input_tokens >= _CACHED_FROM_TOKENS:
            read = max(read, self.cache_write_micros)
        return -(-(input_tokens * read + output_tokens * self.output_micros) // _PER_MILLION)

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
# Providers whose models run on the owner's own machines.
_FREE_PROVIDERS: Final = frozenset({"local", "ollama", "scripted"})


@cache
def published() -> tuple[Mapping[str, Price], date]:
    """The published prices by model, and the day on which they were last compared with their sources."""
    tables = tomllib.loads(files("hivemind.budgets").joinpath("prices.toml").read_text())
    models = {model: _price(row) for table in tables.values() for model, row in table["models"].items()}
    return models, min(table["checked_on"] for table in tables.values())


class Prices:
    """The price of each model for one installation: the owner's word first, then the published list."""

    def __init__(self, overrides: Mapping[str, tuple[int, int]]) -> None:
        self._prices = {**published()[0], **{model: Price(*pair) for model, pair in overrides.items()}}

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


def _price(row: Mapping[str, Any]) -> Price:
    long = row.get("long")
    return Price(
        row["input"],
        row["output"],
        row.get("cache_write"),
        row.get("long_over"),
        _price(long) if long else None,
    )


def _without_date(model: str) -> str:
    parts = model.split("-")
    if parts and len(parts[-1]) == 8 and parts[-1].isdigit():
        return "-".join(parts[:-1])
    if len(parts) > 3 and [len(part) for part in parts[-3:]] == [4, 2, 2] and "".join(parts[-3:]).isdigit():
        return "-".join(parts[:-3])
    return model
