"""Each agent with a scripted model: typed outputs, corrections asked for and made, limits, metrics, progress."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from countersign.agents import outputs, team
from countersign.agents.deps import AgentDeps
from countersign.agents.run import OUTPUT_RETRIES, Call
from countersign.document.model import DocumentText, Page, Section
from countersign.playbook.model import Playbook
from countersign.review.payloads import Evidence, Finding, PlannedTask, ReviewKey
from countersign.words import Position, Severity

TEXT = "SERVICES AGREEMENT\n1. Liability.  The Supplier’s liability is\nunlimited.\n2. Law. English law governs.\n"
STANCES = {"preferred": {"text": "P"}, "fallback": {"text": "F"}, "walk_away": {"text": "W"}}
PLAYBOOK = Playbook.model_validate(
    {
        "name": "mini",
        "title": "Mini",
        "version": "1",
        "contract_types": ["msa"],
        "specialists": [
            {"key": "risk", "title": "Risk", "brief": "Reads liability."},
            {"key": "exit", "title": "Exit", "brief": "Reads law."},
        ],
        "families": [
            {"key": "liability", "title": "Liability", "specialist": "risk", "question": "Capped?", "severity": "high"}
            | STANCES,
            {"key": "law", "title": "Law", "specialist": "exit", "question": "Which?", "severity": "low"} | STANCES,
        ],
    }
)
DEPS = AgentDeps(
    key=ReviewKey(tenant="t", review_id="r-1", workflow_id="review-t-r-1"),
    playbook=PLAYBOOK,
    document=DocumentText(
        text=TEXT,
        pages=(Page(number=1, start=0, end=len(TEXT)),),
        sections=(
            Section(label="1", heading="Liability", start=19, end=TEXT.index("2. Law")),
            Section(label="2", heading="Law", start=TEXT.index("2. Law"), end=len(TEXT)),
        ),
    ),
)
TASK = PlannedTask(specialist="risk", families=("liability",))
GOOD = {"clause": "liability", "statement": "Unlimited.", "severity": "high", "quotes": ["liability is unlimited."]}


def scripted(*answers: dict[str, Any], name: str = "scripted") -> tuple[FunctionModel, list[list[ModelMessage]]]:
    """A model that gives these outputs one after another, and what it was sent each time."""
    left: Iterator[dict[str, Any]] = iter(answers)
    seen: list[list[ModelMessage]] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(list(messages))
        assert info.model_settings is not None
        assert info.model_settings["max_retries"] == 0
        return ModelResponse(
            parts=[ToolCallPart(info.output_tools[0].name, next(left))],
            usage=RequestUsage(input_tokens=1000, output_tokens=10, cache_read_tokens=400),
        )

    return FunctionModel(answer, model_name=name), seen


def complaint(messages: list[ModelMessage]) -> str:
    request = messages[-1]
    assert isinstance(request, ModelRequest)
    return " ".join(str(part.content) for part in request.parts if isinstance(part, ToolReturnPart))


async def test_understand_asks_again_for_families_that_do_not_exist() -> None:
    model, seen = scripted({"focus": ["liabilty"]}, {"focus": ["liability"], "contract_type": "msa"})
    intent, metrics, _ = await team.understand(DEPS, "Is it capped?", Call(model, "c-1"))
    assert (intent.focus, intent.contract_type) == (("liability",), "msa")
    assert "liabilty" in complaint(seen[1])
    assert (metrics.call_id, metrics.agent, metrics.requests) == ("c-1", "intent", 2)
    assert (metrics.input_tokens, metrics.output_tokens, metrics.cache_read_tokens) == (2000, 20, 800)


async def test_a_focus_that_stays_wrong_is_left_out() -> None:
    model, _ = scripted(*[{"focus": ["nonsense", "law"]}] * 3)
    intent, metrics, _ = await team.understand(DEPS, "", Call(model, "c-1"))
    assert intent.focus == ("law",)
    assert metrics.requests == 1 + OUTPUT_RETRIES


async def test_a_plan_that_forgets_is_asked_for_again() -> None:
    whole = {"tasks": [{"specialist": "risk", "families": ["liability", "law"]}]}
    model, seen = scripted({"tasks": [{"specialist": "risk", "families": ["liability"]}]}, whole)
    made, _, _ = await team.plan(DEPS, Call(model, "c-1"))
    assert [(task.specialist, task.families) for task in made.tasks] == [("risk", ("liability", "law"))]
    assert "'law' is forgotten" in complaint(seen[1])


async def test_a_plan_that_stays_wrong_is_repaired() -> None:
    model, _ = scripted(*[{"tasks": [{"specialist": "nobody", "families": ["liability", "liability"]}]}] * 3)
    made, _, _ = await team.plan(DEPS, Call(model, "c-1"))
    assert [(task.specialist, task.families) for task in made.tasks] == [("risk", ("liability",)), ("exit", ("law",))]


async def test_a_quotation_from_nowhere_is_told_once_and_then_left_to_the_reconciler() -> None:
    invented = GOOD | {"quotes": ["liability is capped at 1 EUR"]}
    model, seen = scripted({"findings": [GOOD, invented]}, {"findings": [GOOD, invented]})
    report = await team.analyse(DEPS, TASK, Call(model, "c-1"))
    assert len(seen) == 2
    assert "findings[1] (liability)" in complaint(seen[1])
    assert "findings[0]" not in complaint(seen[1])
    assert len(report.findings) == 2


async def test_families_of_others_are_asked_about_and_at_last_dropped() -> None:
    foreign = GOOD | {"clause": "law", "quotes": ["English law governs."]}
    model, seen = scripted(*[{"findings": [GOOD, foreign]}] * 3)
    report = await team.analyse(DEPS, TASK, Call(model, "c-1"))
    assert "findings[1]: clause 'law'" in complaint(seen[2])
    assert [finding.clause for finding in report.findings] == ["liability"]


async def test_no_finding_is_surer_than_its_report_and_absences_name_what_was_read() -> None:
    absent = {"clause": "liability", "statement": "None.", "severity": "high", "searched": ["77"], "position": "absent"}
    model, _ = scripted({"findings": [GOOD | {"confidence": 0.9}, absent], "confidence": 0.6})
    report = await team.analyse(DEPS, TASK, Call(model, "c-1"))
    assert [finding.confidence for finding in report.findings] == [0.6, 0.6]
    assert [finding.searched for finding in report.findings] == [(), ("1", "2")]
    assert (report.specialist, report.families, report.degraded) == ("risk", ("liability",), ())
    assert report.metrics is not None
    assert report.metrics.agent == "risk"


async def test_an_output_that_never_validates_ends_the_run() -> None:
    model, seen = scripted(*[{"findings": [{"clause": "liability"}]}] * 10)
    with pytest.raises(UnexpectedModelBehavior):
        await team.analyse(DEPS, TASK, Call(model, "c-1"))
    assert len(seen) == 1 + OUTPUT_RETRIES


async def test_the_second_model_answers_when_the_first_fails_and_the_report_says_so() -> None:
    def fails(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(529, "first")

    second, _ = scripted({"findings": [GOOD]}, name="second")
    chain = FallbackModel(FunctionModel(fails, model_name="first"), second)
    report = await team.analyse(DEPS, TASK, Call(chain, "c-1"))
    assert report.degraded == ("model first failed",)
    assert report.metrics is not None
    assert report.metrics.model.endswith("second")
    assert (report.metrics.priced, report.metrics.cost_microusd) == (False, 0)


@pytest.mark.parametrize(
    ("answer", "severity", "needs"),
    [
        ({"confidence": 0.9}, Severity.HIGH, False),
        ({"confidence": 0.79}, Severity.HIGH, True),
        ({"confidence": 0.9}, Severity.CRITICAL, True),
        ({"confidence": 0.9, "contradictions": ["F1 and F2"]}, Severity.HIGH, True),
        ({"confidence": 0.9, "requires_human_review": True}, Severity.LOW, True),
    ],
)
async def test_a_person_is_required_whatever_the_model_says(
    answer: dict[str, Any], severity: Severity, needs: bool
) -> None:
    model, _ = scripted({"summary": "All fine.", "requires_human_review": False} | answer)
    finding = Finding(
        id="F1",
        clause="liability",
        severity=severity,
        statement="Unlimited.",
        position=Position.WALK_AWAY,
        evidence=(Evidence(quote="English law", start=0, end=11, page=1),),
    )
    synthesis, metrics, _ = await team.synthesise(DEPS, [finding], Call(model, "c-9"))
    assert synthesis.requires_human_review is needs
    assert metrics.agent == "reconcile"


async def test_progress_is_heard_after_every_response_and_never_before_one() -> None:
    beats: list[int] = []
    model, seen = scripted({"tasks": []}, {"tasks": []}, {"tasks": []})

    def heard() -> None:
        beats.append(len(seen))

    await team.plan(DEPS, Call(model, "c-1", heard))
    assert set(beats) == {1, 2, 3}


async def test_answers_are_priced_by_the_model_that_gave_them() -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(input_tokens=10_000, cache_read_tokens=8_000, output_tokens=500)
        call = ToolCallPart(outputs.INTENT_TOOL, {})
        return ModelResponse(parts=[call], usage=usage, provider_name="anthropic")

    model = FunctionModel(answer, model_name="claude-sonnet-4-5")
    _, metrics, _ = await team.understand(DEPS, "", Call(model, "c-1"))
    assert (metrics.model, metrics.cost_microusd, metrics.priced) == ("anthropic:claude-sonnet-4-5", 15_900, True)
