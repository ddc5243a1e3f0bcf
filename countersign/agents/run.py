"""How every agent runs: one typed output through one tool, a bounded number of requests, metrics with a price.

Errors of the model (`ModelAPIError` and its kinds, `UsageLimitExceeded`, `UnexpectedModelBehavior`, and for a fallback
chain `FallbackExceptionGroup`) pass through unchanged, for the caller to judge which are worth a retry.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_ai import Agent, ToolOutput
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.usage import RunUsage, UsageLimits

from countersign.agents.models import REQUEST_SETTINGS
from countersign.ledger.pricing import price
from countersign.review.payloads import AgentMetrics

Progress = Callable[[], None]
"""Called whenever a model response or a tool call has finished, so that a heartbeat means progress."""

OUTPUT_RETRIES = 2
"""How often a model may correct an output; after that what can be mended is, and the rest fails the run."""
TOOL_RETRIES = 3
"""How often a model may name a tool that there is not; what it asks of one that there is, the guard answers."""
LIMITS = UsageLimits(request_limit=2 + OUTPUT_RETRIES, total_tokens_limit=1_500_000)
"""Bounds one run: a request, its corrections and one to spare; a whole document fits the tokens that often."""
TOOL_LIMITS = UsageLimits(request_limit=8 + OUTPUT_RETRIES, total_tokens_limit=3_000_000)
"""The same for a run with tools: six more requests, each with the results of the calls before it."""

_NODES_BEFORE_WORK = 2
"""The run's graph first names the prompt and the first request; each node after that means something has finished."""

Deps = TypeVar("Deps")
Output = TypeVar("Output")


def make_agent(name: str, deps: type[Deps], output: type[Output], tool: str, instructions: str) -> Agent[Deps, Output]:
    """An agent that answers with an `output` through the output tool `tool`, and in no other way."""
    return Agent(
        name=name,
        deps_type=deps,
        output_type=ToolOutput(output, name=tool),
        instructions=instructions,
        retries={"output": OUTPUT_RETRIES, "tools": TOOL_RETRIES},
        model_settings=REQUEST_SETTINGS,
    )


@dataclass(frozen=True)
class Toolbox:
    """What a run may use beside its output tool. `heard` is given the whole conversation when the run has ended."""

    toolset: AbstractToolset[Any]  # of the agent's own deps
    heard: Callable[[Sequence[ModelMessage]], None]


@dataclass(frozen=True)
class Call:
    """Who answers one run, under which id, and who hears of its progress."""

    model: Model
    call_id: str
    progress: Progress | None = None
    tools: Toolbox | None = None


async def run(
    agent: Agent[Deps, Output], prompt: str, deps: Deps, call: Call
) -> tuple[Output, AgentMetrics, tuple[str, ...]]:
    """(output, metrics, names of the models that failed before another answered)."""
    started = time.perf_counter()
    toolsets = [call.tools.toolset] if call.tools else []
    limits = TOOL_LIMITS if call.tools else LIMITS
    async with agent.iter(prompt, deps=deps, model=call.model, usage_limits=limits, toolsets=toolsets) as running:
        nodes = 0
        async for _ in running:
            nodes += 1
            if call.progress is not None and nodes > _NODES_BEFORE_WORK:
                call.progress()
    if running.result is None:
        raise RuntimeError(f"agent {agent.name} ended without a result")
    elapsed = round((time.perf_counter() - started) * 1000)
    messages = running.result.new_messages()
    if call.tools is not None:
        call.tools.heard(running.result.all_messages())
    metrics = _metrics(agent.name or "", call.call_id, messages, running.result.usage, elapsed)
    return running.result.output, metrics, _failed_models(messages)


def _responses(messages: Sequence[ModelMessage]) -> list[ModelResponse]:
    return [message for message in messages if isinstance(message, ModelResponse)]


def _model_name(response: ModelResponse) -> str:
    name = response.model_name or "unknown"
    return f"{response.provider_name}:{name}" if response.provider_name and name != "offline" else name


def _failed_models(messages: Sequence[ModelMessage]) -> tuple[str, ...]:
    names = (attempt.model_name for response in _responses(messages) for attempt in response.failed_attempts or ())
    return tuple(dict.fromkeys(names))


def _metrics(
    agent: str, call_id: str, messages: Sequence[ModelMessage], usage: RunUsage, elapsed_ms: int
) -> AgentMetrics:
    """Each response is priced by itself and by the model that gave it: price tiers and fallbacks both depend on it."""
    responses = _responses(messages)
    prices = [price(_model_name(response), response.usage) for response in responses]
    return AgentMetrics(
        call_id=call_id,
        agent=agent,
        model=",".join(dict.fromkeys(_model_name(response) for response in responses)),
        requests=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cost_microusd=sum(cost for cost, _ in prices),
        priced=all(known for _, known in prices),
        execution_time_ms=elapsed_ms,
        success=True,
    )
