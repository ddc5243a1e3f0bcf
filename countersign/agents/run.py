"""How every agent runs: one typed output through one tool, a bounded number of requests, metrics with a price.

With a journal a run outlives its attempts: each goes on after the last complete response of the one before.

Errors of the model (`ModelAPIError` and its kinds, `UsageLimitExceeded`, `UnexpectedModelBehavior`, and for a fallback
chain `FallbackExceptionGroup`) pass through unchanged, for the caller to judge which are worth a retry.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_ai import Agent, RunContext, ToolOutput
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolResultEvent, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.run import AgentRun
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.usage import UsageLimits

from countersign.agents.guarded import passed_over
from countersign.agents.journal import Journal, digest_of
from countersign.agents.metering import metered, responses_of, used
from countersign.agents.models import REQUEST_SETTINGS
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

Deps = TypeVar("Deps")
Output = TypeVar("Output")
_log = logging.getLogger(__name__)


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


def corrections(ctx: RunContext[Any]) -> int:
    """How often the run was asked to correct its output, over all its attempts (`ctx.retry` knows of this one only)."""
    return sum(
        isinstance(part, ToolReturnPart) and part.outcome == "retried" and part.tool_name == ctx.tool_name
        for message in ctx.messages
        if isinstance(message, ModelRequest)
        for part in message.parts
    )


def may_correct(ctx: RunContext[Any]) -> bool:
    """Whether a wrong output is worth asking about again."""
    return corrections(ctx) < OUTPUT_RETRIES


@dataclass(frozen=True)
class Toolbox:
    """What a run may use beside its output tool. `heard` is given the whole conversation when the run has ended."""

    toolset: AbstractToolset[Any]  # of the agent's own deps
    heard: Callable[[Sequence[ModelMessage]], None]


@dataclass(frozen=True)
class Call:
    """Who answers one run, under which id, who hears of its progress, and what it has come to before."""

    model: Model
    call_id: str
    progress: Progress | None = None
    journal: Journal | None = None
    tools: Toolbox | None = None


@dataclass(frozen=True)
class _Question:
    prompt: str
    digest: str


async def run(
    agent: Agent[Deps, Output], prompt: str, deps: Deps, call: Call
) -> tuple[Output, AgentMetrics, tuple[str, ...]]:
    """(output, metrics over all attempts, what a chain had to do without before a model answered)."""
    question = _Question(prompt, digest_of(agent.name or "", prompt, agent.output_json_schema()))
    history = call.journal.resume(question.digest) if call.journal else []
    if history:
        try:
            return await _attempt(agent, question, deps, call, history)
        except UserError as error:  # pydantic-ai does not go on from it
            _log.warning("agent run %s begins anew: its checkpoint is refused: %s", call.call_id, type(error).__name__)
    return await _attempt(agent, question, deps, call, [])


async def _attempt(
    agent: Agent[Deps, Output], question: _Question, deps: Deps, call: Call, history: Sequence[ModelMessage]
) -> tuple[Output, AgentMetrics, tuple[str, ...]]:
    started = time.perf_counter()
    known = responses_of(history)
    async with agent.iter(
        None if history else question.prompt,
        deps=deps,
        model=call.model,
        message_history=history or None,
        usage=used(known),
        usage_limits=TOOL_LIMITS if call.tools else LIMITS,
        toolsets=[call.tools.toolset] if call.tools else [],
    ) as running:
        keeper = _Keeper(call, running, question.digest, len(known))
        try:
            async for node in running:
                if not Agent.is_call_tools_node(node):
                    continue
                # Here a response is complete and nothing has been done about it yet.
                await keeper.keep()
                async with node.stream(running.ctx) as events:
                    async for event in events:
                        if isinstance(event, ToolResultEvent):
                            keeper.progress()
        except AgentRunError:
            await keeper.keep()  # a response that crossed a limit is paid, too
            raise
    if running.result is None:
        raise RuntimeError(f"agent {agent.name} ended without a result")
    messages = running.result.all_messages()
    if call.tools is not None:
        call.tools.heard(messages)
    without = passed_over([attempt for one in responses_of(messages) for attempt in one.failed_attempts or ()])
    if call.journal is not None:
        return running.result.output, call.journal.metrics(), without
    elapsed = round((time.perf_counter() - started) * 1000)
    metrics = metered(agent.name or "", call.call_id, responses_of(messages))
    return running.result.output, metrics.model_copy(update={"execution_time_ms": elapsed}), without


class _Keeper:
    """Sees to it that every complete response is heard of and kept, once."""

    def __init__(self, call: Call, running: AgentRun[Any, Any], digest: str, known: int) -> None:
        self._call = call
        self._running = running
        self._digest = digest
        self._known = known
        self.new = 0

    async def keep(self) -> None:
        messages = self._running.all_messages()
        new = len(responses_of(messages)) - self._known
        if new > self.new:
            self.new = new
            if self._call.journal is not None:
                await self._call.journal.save(self._digest, messages, new=new)
            self.progress()

    def progress(self) -> None:
        if self._call.progress is not None:
            self._call.progress()
