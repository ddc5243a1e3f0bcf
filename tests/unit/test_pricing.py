"""Prices of model calls: known, cached, unknown, free."""

import pytest
from pydantic_ai.usage import RequestUsage

from countersign.ledger.pricing import price

CACHED = RequestUsage(input_tokens=10_000, cache_read_tokens=8_000, output_tokens=500)
UNCACHED = RequestUsage(input_tokens=10_000, output_tokens=500)


@pytest.mark.parametrize("model", ["anthropic:claude-sonnet-4-5", "openai:gpt-5", "google:gemini-2.5-pro"])
def test_cached_tokens_cost_less_but_not_nothing(model: str) -> None:
    cached, known = price(model, CACHED)
    full, _ = price(model, UNCACHED)
    fresh_only, _ = price(model, RequestUsage(input_tokens=2_000, output_tokens=500))
    assert known
    assert 0 < fresh_only < cached < full


def test_the_sum_is_that_of_the_price_list() -> None:
    # 2,000 fresh at 3 USD, 8,000 cached at 0.30 USD and 500 out at 15 USD a million tokens
    assert price("anthropic:claude-sonnet-4-5", CACHED) == (15_900, True)


def test_a_bare_model_name_is_enough() -> None:
    assert price("claude-sonnet-4-5", CACHED) == price("anthropic:claude-sonnet-4-5", CACHED)


def test_what_costs_anything_counts() -> None:
    cost, known = price("openai:gpt-5", RequestUsage(input_tokens=1))
    assert (cost, known) == (2, True)  # 1.25 micro-dollars, rounded up


@pytest.mark.parametrize("model", ["nobody:nothing-1", "openai:no-such-model", "unheard-of", ""])
def test_an_unknown_model_is_not_priced(model: str) -> None:
    assert price(model, CACHED) == (0, False)


def test_usage_that_contradicts_itself_is_not_priced() -> None:
    assert price("anthropic:claude-sonnet-4-5", RequestUsage(input_tokens=1, cache_read_tokens=100)) == (0, False)


def test_the_offline_model_is_free_and_priced() -> None:
    assert price("offline", CACHED) == (0, True)
