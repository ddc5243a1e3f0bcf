"""What model responses took and cost, as figures that can be added up over attempts. Pure."""

from collections.abc import Sequence

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.usage import RunUsage

from countersign.ledger.pricing import price
from countersign.review.payloads import AgentMetrics


def responses_of(messages: Sequence[ModelMessage]) -> list[ModelResponse]:
    """The models' answers among the messages, in order."""
    return [message for message in messages if isinstance(message, ModelResponse)]


def model_name(response: ModelResponse) -> str:
    """`provider:model` of who answered; `offline` by itself."""
    name = response.model_name or "unknown"
    return f"{response.provider_name}:{name}" if response.provider_name and name != "offline" else name


def metered(agent: str, call_id: str, responses: Sequence[ModelResponse]) -> AgentMetrics:
    """The responses' figures. Each is priced by itself and by the model that gave it: price tiers and fallbacks both
    depend on it."""
    prices = [price(model_name(response), response.usage) for response in responses]
    return AgentMetrics(
        call_id=call_id,
        agent=agent,
        model=",".join(dict.fromkeys(model_name(response) for response in responses)),
        requests=len(responses),
        input_tokens=sum(response.usage.input_tokens for response in responses),
        output_tokens=sum(response.usage.output_tokens for response in responses),
        cache_read_tokens=sum(response.usage.cache_read_tokens for response in responses),
        cost_microusd=sum(cost for cost, _ in prices),
        priced=all(known for _, known in prices),
    )


def together(before: AgentMetrics | None, more: AgentMetrics) -> AgentMetrics:
    """Both added up; agent and call are those of `more`."""
    if before is None:
        return more
    models = [name for name in (*before.model.split(","), *more.model.split(",")) if name]
    return more.model_copy(
        update={
            "model": ",".join(dict.fromkeys(models)),
            "requests": before.requests + more.requests,
            "input_tokens": before.input_tokens + more.input_tokens,
            "output_tokens": before.output_tokens + more.output_tokens,
            "cache_read_tokens": before.cache_read_tokens + more.cache_read_tokens,
            "cost_microusd": before.cost_microusd + more.cost_microusd,
            "priced": before.priced and more.priced,
            "execution_time_ms": before.execution_time_ms + more.execution_time_ms,
        }
    )


def used(responses: Sequence[ModelResponse]) -> RunUsage:
    """The usage that a run has had which goes on after these responses, so that its limits hold over all attempts."""
    usage = RunUsage(requests=len(responses))
    for response in responses:
        usage.incr(response.usage)
    return usage
