"""A cap is only as good as the price under it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.budgets import Price, Prices
from hivemind.budgets.prices import published
from hivemind.errors import PriceUnknown

PRICES = Prices({"house-model": (10, 20), "gift": (0, 0)})


def test_a_cost_is_rounded_up_never_down():
    assert Price(1, 0).cost_micros(1, 0) == 1
    assert Price(3_000_000, 15_000_000).cost_micros(1000, 500) == 10_500


def test_an_unknown_model_is_refused_with_a_remedy():
    with pytest.raises(PriceUnknown) as caught:
        PRICES.of("openai", "gpt-99")
    assert 'budgets.prices."gpt-99"' in caught.value.remedy


def test_models_on_the_owners_machines_are_free_unless_priced():
    assert PRICES.of("local", "smollm2-135m").free
    assert PRICES.of("ollama", "llama3.2").free
    assert PRICES.of("ollama", "house-model") == Price(10, 20)
    assert PRICES.of("openai-compat", "gift").free


@pytest.mark.parametrize(
    ("dated", "family"),
    [("gpt-4o-2024-08-06", "gpt-4o"), ("claude-haiku-4-5-20251001", "claude-haiku-4-5")],
)
def test_a_dated_snapshot_costs_what_its_family_costs(dated, family):
    assert PRICES.of("any", dated) == PRICES.of("any", family)


@given(
    texts=st.lists(st.text(max_size=200), max_size=5).map(tuple),
    output=st.integers(0, 5000),
    used=st.floats(0, 1),
    price=st.builds(Price, st.integers(1, 10**8), st.integers(1, 10**8)),
)
def test_the_worst_case_covers_every_real_case(texts, output, used, price):
    real_input = int(used * sum(len(text.encode()) for text in texts))
    worst = price.worst_case_micros(texts, output)
    assert worst >= price.cost_micros(real_input, int(used * output))


def test_the_published_prices_are_recent_and_whole():
    prices, checked_on = published()
    assert checked_on.year >= 2026
    for model, price in prices.items():
        assert 0 < price.input_micros < price.output_micros, model
        if price.long is not None:
            assert price.long_over > 0
            assert price.long.input_micros > price.input_micros
            assert price.long.output_micros > price.output_micros


def test_a_long_prompt_costs_the_long_price_as_a_whole():
    haiku = PRICES.of("anthropic", "claude-haiku-5-5")
    assert haiku.cost_micros(100_000, 1_000) == 10_000 + 500
    assert haiku.cost_micros(100_001, 1_000) == 50_001 + 2_500


def test_a_provider_that_caches_unasked_is_never_counted_too_low():
    sol = PRICES.of("openai", "gpt-6.1-sol")
    assert sol.cost_micros(1_000, 0) == 2_000  # too short to be cached
    assert sol.cost_micros(2_000, 0) == 5_000
    assert sol.cost_micros(300_000, 0) == 300_000 * 5


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(sorted(published()[0])))
def test_a_cost_never_falls_as_tokens_grow(fewer, more, model):
    fewer, more = sorted((fewer, more))
    price = PRICES.of("any", model)
    assert price.cost_micros(fewer, 10) <= price.cost_micros(more, 10)
