"""What a model call costs, in integer micro-dollars, from the price list that comes with `genai-prices`."""

from decimal import ROUND_CEILING, Decimal

from genai_prices import calc_price
from genai_prices.types import AbstractUsage

FREE_MODELS = frozenset({"offline", "countersign:offline"})
"""Models that cost nothing because they run in this process."""

_MICRO = Decimal(1_000_000)


def price(model_name: str, usage: AbstractUsage) -> tuple[int, bool]:
    """(cost in micro-dollars, whether the price is known) of one model call.

    `model_name` is `provider:model` or a bare model name. Cached, audio and reasoning tokens are priced as the provider
    prices them, and so are tiers that depend on the length of one request: price each call, not a sum of calls. Rounded
    up, so that a call that costs anything counts. An unknown model, or usage that cannot be priced (more cached than
    input tokens), gives (0, False).
    """
    if model_name in FREE_MODELS:
        return 0, True
    provider, _, model = model_name.rpartition(":")
    try:
        cost = calc_price(usage, model, provider_id=provider or None).total_price
    except (LookupError, ValueError):
        return 0, False
    return int((cost * _MICRO).to_integral_value(rounding=ROUND_CEILING)), True
