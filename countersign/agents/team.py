"""The team: one typed agent per kind of work and one function that runs each. No I/O but the model's own.

Errors of the model pass through unchanged; `countersign.agents.run` says which there are.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage

from countersign.agents import outputs, plans, prompts
from countersign.agents.deps import AgentDeps
from countersign.agents.outputs import SpecialistFindings, Synthesis
from countersign.agents.run import Call, Toolbox, corrections, make_agent, may_correct, run
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
from countersign.tools.conversation import proposals_in, uses_in
from countersign.tools.guard import Guard
from countersign.words import Severity

intent_agent = make_agent("intent", AgentDeps, Intent, outputs.INTENT_TOOL, prompts.INTENT_INSTRUCTIONS)
plan_agent = make_agent("plan", AgentDeps, Plan, outputs.PLAN_TOOL, prompts.PLAN_INSTRUCTIONS)
specialist_agent = make_agent(
    "specialist", AgentDeps, SpecialistFindings, outputs.FINDINGS_TOOL, prompts.SPECIALIST_INSTRUCTIONS
)
synthesis_agent = make_agent("reconcile", AgentDeps, Synthesis, outputs.SYNTHESIS_TOOL, prompts.SYNTHESIS_INSTRUCTIONS)


@intent_agent.output_validator
def _known_focus(ctx: RunContext[AgentDeps], intent: Intent) -> Intent:
    known = {family.key for family in ctx.deps.playbook.families}
    unknown = [key for key in intent.focus if key not in known]
    if unknown and may_correct(ctx):
        raise ModelRetry(f"focus: no such families: {', '.join(unknown)}. Known are: {', '.join(sorted(known))}")
    return intent.model_copy(update={"focus": tuple(key for key in intent.focus if key in known)})


@plan_agent.output_validator
def _complete_plan(ctx: RunContext[AgentDeps], plan: Plan) -> Plan:
    deps = ctx.deps
    wrong = plans.complaints(plan, deps.playbook, deps.focused_families)
    if wrong and may_correct(ctx):
        raise ModelRetry("; ".join(wrong))
    return plans.repaired(plan, deps.playbook, deps.document, deps.focused_families, is_long=deps.is_long)


@specialist_agent.output_validator
def _grounded_findings(ctx: RunContext[AgentDeps], report: SpecialistFindings) -> SpecialistFindings:
    """Asks once about quotations that do not stand in the text, about unknown families while the budget lasts."""
    families = set(ctx.deps.task.families) if ctx.deps.task else set()
    wrong = _unknown_families(report, families) if may_correct(ctx) else []
    if corrections(ctx) == 0:
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


async def understand(deps: AgentDeps, ask: str, call: Call) -> tuple[Intent, AgentMetrics, tuple[str, ...]]:
    """What is asked, about which kind of contract, and which models had to be done without. `ask` may be empty."""
    deps = replace(deps, ask=ask)
    return await run(intent_agent, prompts.intent_prompt(deps), deps, call)


async def plan(deps: AgentDeps, call: Call) -> tuple[Plan, AgentMetrics, tuple[str, ...]]:
    """Which specialists look at what: every focused family in exactly one task, at most one task a specialist."""
    prompt = await asyncio.to_thread(prompts.plan_prompt, deps)  # seconds of pattern search when the document is long
    return await run(plan_agent, prompt, deps, call)


async def analyse(deps: AgentDeps, task: PlannedTask, call: Call, *, guard: Guard | None = None) -> SpecialistReport:
    """One specialist's findings for its task, its metrics inside. Quotations are still to be verified.

    `degraded` names models that failed or were skipped before another answered, and says when text had to be left out.
    Tools reach it through `guard` only; without one it has none. What it proposes with them is in `proposals`.
    """
    deps = replace(deps, task=task)
    read = prompts.reading(deps, task)
    prompt = prompts.specialist_prompt(deps, task)
    conversation: list[ModelMessage] = []
    if guard is not None:
        call = replace(call, tools=Toolbox(guard, conversation.extend))
    report, metrics, without = await run(specialist_agent, prompt, deps, call)
    left_out = () if read.complete else ("text beyond the reading limit was left out",)
    return SpecialistReport(
        specialist=task.specialist,
        families=task.families,
        findings=tuple(_bounded(finding, report, read) for finding in report.findings),
        metrics=metrics.model_copy(update={"agent": task.specialist}),
        degraded=(*without, *left_out),
        proposals=proposals_in(conversation),
        tools=uses_in(conversation),
    )


async def synthesise(
    deps: AgentDeps, findings: Sequence[Finding], call: Call
) -> tuple[Synthesis, AgentMetrics, tuple[str, ...]]:
    """The conclusion from verified findings. Whatever the model says, a person is required when a finding is critical,
    a contradiction is named, or confidence is below the playbook's."""
    prompt = prompts.synthesis_prompt(deps, findings)
    synthesis, metrics, without = await run(synthesis_agent, prompt, deps, call)
    needs_person = (
        synthesis.requires_human_review
        or bool(synthesis.contradictions)
        or synthesis.confidence < deps.playbook.signing.confidence
        or any(finding.gravest is Severity.CRITICAL for finding in findings)
    )
    return synthesis.model_copy(update={"requires_human_review": needs_person}), metrics, without


def _bounded(finding: DraftFinding, report: SpecialistFindings, read: prompts.Reading) -> DraftFinding:
    """The finding no surer than its report; an absence names what was really read."""
    confidence = min(finding.confidence, report.confidence)
    searched = () if finding.quotes else tuple(s for s in finding.searched if s in read.labels) or read.labels
    return finding.model_copy(update={"confidence": confidence, "searched": searched})
