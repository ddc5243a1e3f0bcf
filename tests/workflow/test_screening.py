"""What screening does to a review: suspicious text kept from memory, the sentinel agent, a person where it is mute."""

import json
from collections import defaultdict
from typing import Any

import pytest
from helpers.contracts import HOSTILE, nda
from helpers.stack import MACHINE, SIGNED
from helpers.world import World, finished
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from countersign.agents import outputs
from countersign.agents.blocks import parse
from countersign.agents.models import resolve_model
from countersign.review.payloads import Screening, Signal
from countersign.words import Autonomy, Channel, Outcome, RiskBand, Route, Verdict
from workflows import options

MEMORY = {"session", "profile", "knowledge"}
ASK = "Is the term longer than usual?"
QUOTE = "the courts of that country have exclusive jurisdiction"


class Prompts:
    """The offline model, and the names of the blocks that it was shown, by output tool."""

    def __init__(self, world: World) -> None:
        self.blocks: dict[str, set[str]] = defaultdict(set)
        self._offline = resolve_model("offline", world.services.settings.playbooks)
        self.model = FunctionModel(self._answer, model_name="listening")

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        prompt = next(p.content for m in messages for p in m.parts if isinstance(p, UserPromptPart))
        assert isinstance(prompt, str)
        self.blocks[info.output_tools[0].name] |= {block.name for block in parse(prompt)}
        return await self._offline.request(messages, info.model_settings, info.model_request_parameters)

    @property
    def after_intent(self) -> set[str]:
        """Blocks that any agent saw once the intent was known."""
        return {name for tool, names in self.blocks.items() if tool != outputs.INTENT_TOOL for name in names}


@pytest.fixture
def prompts(world: World, monkeypatch: pytest.MonkeyPatch) -> Prompts:
    listening = Prompts(world)
    monkeypatch.setattr("activities.agents.resolve_model", lambda *_: listening.model)
    return listening


def screened(monkeypatch: pytest.MonkeyPatch, risk: float, band: RiskBand, *channels: Channel) -> None:
    """Patterns and scorer give this verdict, whatever the text."""
    signals = tuple(Signal(name=f"odd_{c}", channel=c, score=risk, explanation="e", start=3, end=30) for c in channels)
    verdict = Screening(risk_score=risk, band=band, signals=signals)
    monkeypatch.setattr("activities.screen.screen", lambda *_, **__: verdict)


def sentinel(world: World, monkeypatch: pytest.MonkeyPatch, **answer: Any) -> list[str]:
    """A sentinel agent is configured and answers this; an empty answer is a provider that is down. What it was sent."""
    sent: list[str] = []

    def answers(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        sent.append(json.dumps([str(part) for message in messages for part in message.parts]))
        if not answer:
            raise ModelHTTPError(status_code=503, model_name="cheap")
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])

    # The settings are frozen; the worker of this process reads these very ones.
    monkeypatch.setitem(world.services.settings.__dict__, "sentinel_model", "test:cheap")
    model = FunctionModel(answers, model_name="cheap")
    monkeypatch.setattr("activities.agents.resolve_sentinel", lambda name, _: model if name == "test:cheap" else None)
    return sent


def attack(risk: float, verdict: str, quote: str = QUOTE) -> dict[str, Any]:
    passage = {"channel": "document", "quote": quote, "kind": "steering"}
    return {"risk": risk, "verdict": verdict, "passages": [passage]}


async def remembered(world: World, tenant: str) -> None:
    """A tenant with something in every tier, whose cell is autonomous."""
    services = world.services
    ana = services.pseudonyms.of("user", "ana")
    await services.profile.grant(tenant, "lenient", "nda", Autonomy.AUTONOMOUS, by_hash="p1:test", reason="test")
    await services.profile.set_profile(tenant, ana, {"our_side": "Receiving Party"})
    await services.session.remember(tenant, ana, "s", "nda reviewed with lenient: approve")
    await services.knowledge.add(tenant, "guide", "The term of an nda is two years as a rule.")


async def facts(world: World, workflow_id: str, event: str) -> dict[str, Any]:
    """What the trail's row of this event says."""
    return next(row.facts for row in await world.services.trail.rows(workflow_id) if row.event == event)


async def test_a_clean_text_may_stand_beside_memory(world: World, prompts: Prompts) -> None:
    """The proof that the tests below can fail."""
    await remembered(world, "clean")
    handle = await world.start("review-clean-beside", tenant="clean", text=nda(), ask=ASK, session="s")
    status = await handle.result()
    assert (status.outcome, status.degraded) == (Outcome.RELEASED, ())
    assert prompts.after_intent >= {*MEMORY, "ask"}
    assert outputs.PLAN_TOOL in prompts.blocks


async def test_a_suspicious_document_is_kept_from_memory_and_signed(
    world: World, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remembered(world, "wary")
    screened(monkeypatch, 0.45, RiskBand.ELEVATED, Channel.DOCUMENT)
    handle = await world.start("review-wary-suspicious", tenant="wary", text=nda(), ask=ASK, session="s")
    waiting = await world.until_signing(handle)
    assert (waiting.route, waiting.autonomy) == (Route.REVIEW, Autonomy.SUPERVISED)
    assert waiting.route_reasons[0] == "screening is elevated at 0.45 (document)"
    assert waiting.degraded == ("memory (withheld)", "planning (withheld)")
    assert waiting.screening is not None
    assert [(s.name, s.start, s.end) for s in waiting.screening.signals] == [("odd_document", 3, 30)]
    assert not prompts.after_intent & {*MEMORY, "corrections"}
    assert "ask" in prompts.after_intent
    assert outputs.PLAN_TOOL not in prompts.blocks
    await world.decide(handle, Verdict.APPROVE, "bob", digest=waiting.digest)
    status = await finished(world, handle, "elevated")
    assert status.outcome is Outcome.APPROVED
    assert await world.events(handle.id) == list(SIGNED)
    assert (await facts(world, handle.id, "screened"))["withheld"] == ["memory", "planning"]


async def test_a_suspicious_instruction_goes_no_further_than_the_intent(
    world: World, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    screened(monkeypatch, 0.45, RiskBand.ELEVATED, Channel.INSTRUCTION)
    handle = await world.start("review-acme-odd-ask", text=nda(), ask=ASK)
    waiting = await world.until_signing(handle)
    assert waiting.degraded == ("memory (withheld)", "instruction (withheld)", "planning (withheld)")
    assert waiting.intent is not None
    assert waiting.intent.task == "question"
    assert "ask" in prompts.blocks[outputs.INTENT_TOOL]
    assert "ask" not in prompts.after_intent
    await world.decide(handle, Verdict.REJECT, "bob")
    assert (await handle.result()).outcome is Outcome.REJECTED


async def test_the_agent_hears_what_the_patterns_let_pass_and_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remembered(world, "heard")
    sent = sentinel(world, monkeypatch, risk=0.02, verdict="harmless")
    handle = await world.start("review-heard-heard", tenant="heard", text=nda(), ask=ASK)
    status = await finished(world, handle, "judged")
    assert (status.outcome, status.degraded) == (Outcome.RELEASED, ())
    assert len(sent) == 1
    assert ASK in sent[0]
    place = MACHINE.index("screen:screened") + 1
    assert await world.events(handle.id) == [*MACHINE[:place], "screen:judged", *MACHINE[place:], "settle:ended"]
    assert (await facts(world, handle.id, "judged"))["chars"] == len(nda())
    assert status.usage.requests == 1 + (await requests_without_agent(world))


async def requests_without_agent(world: World) -> int:
    with pytest.MonkeyPatch.context() as undone:
        undone.setitem(world.services.settings.__dict__, "sentinel_model", None)
        handle = await world.start("review-heard-alone", tenant="heard", text=nda(), ask=ASK)
        return (await handle.result()).usage.requests


async def test_the_agent_raises_clean_to_elevated(
    world: World, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remembered(world, "raised")
    sentinel(world, monkeypatch, **attack(0.4, "suspicious"))
    handle = await world.start("review-raised-raised", tenant="raised", text=nda(), session="s")
    waiting = await world.until_signing(handle)
    assert (waiting.route, waiting.autonomy) == (Route.REVIEW, Autonomy.SUPERVISED)
    assert waiting.screening is not None
    (signal,) = [s for s in waiting.screening.signals if s.name == "agent_steering"]
    assert " ".join(nda()[signal.start : signal.end].lower().split()) == QUOTE
    assert signal.page == 1
    assert not prompts.after_intent & MEMORY
    await world.decide(handle, Verdict.APPROVE, "bob")
    await finished(world, handle, "judged_elevated")
    assert (await facts(world, handle.id, "judged"))["band"] == "elevated"


async def test_the_agent_blocks(world: World, prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    sentinel(world, monkeypatch, **attack(0.95, "attack"))
    handle = await world.start("review-acme-judged-blocked", text=nda())
    status = await finished(world, handle, "judged_blocked")
    assert (status.outcome, status.route) == (Outcome.BLOCKED, Route.BLOCK)
    assert status.failure is not None
    assert "agent_steering" in status.failure.message
    assert "jurisdiction" not in status.failure.model_dump_json().lower()
    assert await world.events(handle.id) == [
        "submit:admitted",
        "read:read",
        "screen:screened",
        "screen:judged",
        "settle:ended",
    ]
    assert not prompts.blocks
    assert status.usage.requests == 1


async def test_an_agent_that_is_down_sends_the_review_to_a_person(
    world: World, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remembered(world, "deaf")
    sent = sentinel(world, monkeypatch)
    handle = await world.start("review-deaf-deaf", tenant="deaf", text=nda(), session="s")
    patience = options.JUDGE["schedule_to_close_timeout"]
    assert patience is not None
    await world.env.sleep(patience)
    waiting = await world.until_signing(handle)
    assert len(sent) > 1
    assert (waiting.route, waiting.autonomy) == (Route.REVIEW, Autonomy.SUPERVISED)
    assert waiting.route_reasons[0] == "the sentinel agent gave no verdict"
    assert waiting.degraded == ("sentinel agent",)
    assert waiting.screening is not None
    assert waiting.screening.band is RiskBand.CLEAN
    assert prompts.after_intent >= MEMORY
    assert (await facts(world, handle.id, "not_judged"))["reason"] == "ModelUnavailable"
    await world.decide(handle, Verdict.APPROVE, "bob")
    await finished(world, handle, "unjudged")


async def test_what_the_patterns_block_no_model_reads(
    world: World, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = sentinel(world, monkeypatch, risk=0.0, verdict="harmless")
    screened(monkeypatch, 0.9, RiskBand.BLOCKED, Channel.DOCUMENT)
    handle = await world.start("review-acme-blocked-unread", text=nda())
    status = await handle.result()
    assert status.outcome is Outcome.BLOCKED
    assert not sent
    assert not prompts.blocks


async def test_a_block_names_its_passages_and_quotes_none(world: World) -> None:
    """With the real patterns and scorer: status and failure say where, in words of their own."""
    handle = await world.start("review-acme-blocked-named", text=HOSTILE)
    status = await handle.result()
    assert status.screening is not None
    assert status.failure is not None
    at = HOSTILE.index("Ignore all previous")
    assert any(
        signal.start is not None and at <= signal.start < at + 200 and signal.end and signal.page == 1
        for signal in status.screening.signals
    )
    words = HOSTILE.lower().split()
    told = f"{status.failure.model_dump_json()} {status.screening.model_dump_json()}".lower()
    assert not any(" ".join(words[n : n + 4]) in told for n in range(len(words) - 3))
