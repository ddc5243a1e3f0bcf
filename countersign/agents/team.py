"""The team: one typed agent per kind of work and one function that runs each. No I/O but the model's own.

Errors of the model (`ModelAPIError` and its kinds, `UsageLimitExceeded`, `UnexpectedModelBehavior`, and for a fallback
chain `FallbackExceptionGroup`) pass through unchanged, for the caller to judge which are worth a retry.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.usage import RunUsage, UsageLimits

from countersign.agents import outputs, plans, prompts
from countersign.agents.deps import AgentDeps
from countersign.agents.models import REQUEST_SETTINGS
from countersign.agents.outputs import SpecialistFindings, Synthesis
from countersign.ledger.pricing import price
from countersign.review.payloads import (
    AgentMetrics,
    DraftFinding,
    Finding,
    Intent,
    Plan,
    PlannedTask,
    SpecialistReport,
)
from countersign.review.verify import QuoteIndex
from countersign.words import Severity

Progress = Callable[[], None]
"""Called whenever a model response or a tool call has finished, so that a heartbeat means progress."""

OUTPUT_RETRIES = 2
"""How often a model may correct an output; after that what can be mended is, and the rest fails the run."""
LIMITS = UsageLimits(request_limit=2 + OUTPUT_RETRIES, total_tokens_limit=1_500_000)
"""Bounds one run: a request, its corrections and one to spare; a whole document fits the tokens that often."""

_NODES_BEFORE_WORK = 2
"""The run's graph first names the prompt and the first request; each node after that means something has finished."""

Output = TypeVar("Output")


def _agent(name: str, output: type[Output], tool: str, instructions: str) -> Agent[AgentDeps, Output]:
    return Agent(
        name=name,
        deps_type=AgentDeps,
        output_type=ToolOutput(output, name=tool),
        instructions=instructions,
        retries={"output": OUTPUT_RETRIES},
        model_settings=REQUEST_SETTINGS,
    )


intent_agent = _agent("intent", Intent, outputs.INTENT_TOOL, prompts.INTENT_INSTRUCTIONS)
plan_agent = _agent("plan", Plan, outputs.PLAN_TOOL, prompts.PLAN_INSTRUCTIONS)
specialist_agent = _agent("specialist", SpecialistFindings, outputs.FINDINGS_TOOL, prompts.SPECIALIST_INSTRUCTIONS)
synthesis_agent = _agent("reconcile", Synthesis, outputs.SYNTHESIS_TOOL, prompts.SYNTHESIS_INSTRUCTIONS)


@intent_agent.output_validator
def _known_focus(ctx: RunContext[AgentDeps], intent: Intent) -> Intent:
    known = {family.key for family in ctx.deps.playbook.families}
    unknown = [key for key in intent.focus if key not in known]
    if unknown and not ctx.last_attempt:
        raise ModelRetry(f"focus: no such families: {', '.join(unknown)}. Known are: {', '.join(sorted(known))}")
    return intent.model_copy(update={"focus": tuple(key for key in intent.focus if key in known)})


@plan_agent.output_validator
def _complete_plan(ctx: RunContext[AgentDeps], plan: Plan) -> Plan:
    deps = ctx.deps
    wrong = plans.complaints(plan, deps.playbook, deps.focused_families)
    if wrong and not ctx.last_attempt:
        raise ModelRetry("; ".join(wrong))
    return plans.repaired(plan, deps.playbook, deps.document, deps.focused_families, is_long=deps.is_long)


@specialist_agent.output_validator
def _grounded_findings(ctx: RunContext[AgentDeps], report: SpecialistFindings) -> SpecialistFindings:
    """Asks once about quotations that do not stand in the text, about unknown families while the budget lasts."""
    families = set(ctx.deps.task.families) if ctx.deps.task else set()
    wrong = [] if ctx.last_attempt else _unknown_families(report, families)
    if ctx.retry == 0:
        wrong += _misquotations(report, ctx.deps.document.text)
    if wrong:
        raise ModelRetry("\n".join(wrong))
    return report.model_copy(update={"findings": tuple(f for f in report.findings if f.clause in families)})


def _unknown_families(report: SpecialistFindings, families: set[str]) -> list[str]:
    return [
        f"findings[{place}]: clause {finding.clause!r} is not one of your families: {', '.join(sorted(families))}"
        for place, finding in enumerate(report.findings)
        if finding.clause not in families
    ]


def _misquotations(report: SpecialistFindings, text: str) -> list[str]:
    suspects = [
        (place, finding, quote)
        for place, finding in enumerate(report.findings)
        for quote in finding.quotes
        if quote not in text
    ]
    if not suspects:
        return []
    index = QuoteIndex(text)
    return [
        f"findings[{place}] ({finding.clause}): the quote that begins {quote[:60]!r} does not stand in the document; "
        "copy it character for character or leave the finding out"
        for place, finding, quote in suspects
        if index.find(quote) is None
    ]


async def understand(
    deps: AgentDeps, ask: str, model: Model, *, call_id: str, progress: Progress | None = None
) -> tuple[Intent, AgentMetrics]:
    """What is asked, about which kind of contract. `ask` may be empty."""
    deps = replace(deps, ask=ask)
    intent, metrics, _ = await _run(intent_agent, prompts.intent_prompt(deps), deps, _Call(model, call_id, progress))
    return intent, metrics


async def plan(
    deps: AgentDeps, model: Model, *, call_id: str, progress: Progress | None = None
) -> tuple[Plan, AgentMetrics]:
    """Which specialists look at what: every focused family in exactly one task, at most one task a specialist."""
    prompt = await asyncio.to_thread(prompts.plan_prompt, deps)  # seconds of pattern search when the document is long
    made, metrics, _ = await _run(plan_agent, prompt, deps, _Call(model, call_id, progress))
    return made, metrics


async def analyse(
    deps: AgentDeps, task: PlannedTask, model: Model, *, call_id: str, progress: Progress | None = None
) -> SpecialistReport:
    """One specialist's findings for its task, its metrics inside. Quotations are still to be verified.

    `degraded` names models that failed before another answered, and says when text had to be left out.
    """
    deps = replace(deps, task=task)
    read = prompts.reading(deps, task)
    prompt = prompts.specialist_prompt(deps, task)
    report, metrics, failed = await _run(specialist_agent, prompt, deps, _Call(model, call_id, progress))
    left_out = () if read.complete else ("text beyond the reading limit was left out",)
    return SpecialistReport(
        specialist=task.specialist,
        families=task.families,
        findings=tuple(_bounded(finding, report, read) for finding in report.findings),
        metrics=metrics.model_copy(update={"agent": task.specialist}),
        degraded=(*(f"model {name} failed" for name in failed), *left_out),
    )


async def synthesise(
    deps: AgentDeps, findings: Sequence[Finding], model: Model, *, call_id: str, progress: Progress | None = None
) -> tuple[Synthesis, AgentMetrics]:
    """The conclusion from verified findings. Whatever the model says, a person is required when a finding is critical,
    a contradiction is named, or confidence is below the playbook's."""
    prompt = prompts.synthesis_prompt(deps, findings)
    synthesis, metrics, _ = await _run(synthesis_agent, prompt, deps, _Call(model, call_id, progress))
    needs_person = (
        synthesis.requires_human_review
        or bool(synthesis.contradictions)
        or synthesis.confidence < deps.playbook.signing.confidence
        or any(finding.severity is Severity.CRITICAL for finding in findings)
    )
    return synthesis.model_copy(update={"requires_human_review": needs_person}), metrics


def _bounded(finding: DraftFinding, report: SpecialistFindings, read: prompts.Reading) -> DraftFinding:
    """The finding no surer than its report; an absence names what was really read."""
    confidence = min(finding.confidence, report.confidence)
    searched = () if finding.quotes else tuple(s for s in finding.searched if s in read.labels) or read.labels
    return finding.model_copy(update={"confidence": confidence, "searched": searched})


@dataclass(frozen=True)
class _Call:
    """Who answers one run, under which id, and who hears of its progress."""

    model: Model
    call_id: str
    progress: Progress | None


async def _run(
    agent: Agent[AgentDeps, Output], prompt: str, deps: AgentDeps, call: _Call
) -> tuple[Output, AgentMetrics, tuple[str, ...]]:
    """(output, metrics, names of the models that failed before another answered)."""
    started = time.perf_counter()
    async with agent.iter(prompt, deps=deps, model=call.model, usage_limits=LIMITS) as run:
        nodes = 0
        async for _ in run:
            nodes += 1
            if call.progress is not None and nodes > _NODES_BEFORE_WORK:
                call.progress()
    if run.result is None:
        raise RuntimeError(f"agent {agent.name} ended without a result")
    elapsed = round((time.perf_counter() - started) * 1000)
    messages = run.result.new_messages()
    metrics = _metrics(agent.name or "", call.call_id, messages, run.result.usage, elapsed)
    return run.result.output, metrics, _failed_models(messages)


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
