"""The provider lab through the real client libraries: good answers, and each misbehaviour as pydantic-ai's error."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from helpers.contracts import nda
from helpers.lab import CLAUDE, GPT, LabHandle, lab_process, lab_thread
from provider_lab.script import CallTool, Rule, Say, Tokens
from pydantic import BaseModel
from pydantic_ai import Agent, ToolOutput, exceptions
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from countersign.agents import outputs, team
from countersign.agents.deps import AgentDeps
from countersign.agents.models import REQUEST_SETTINGS
from countersign.agents.offline import OfflineModel
from countersign.agents.run import Call
from countersign.document.model import DocumentText, Page, Section
from countersign.ledger.pricing import price
from countersign.playbook.load import load_playbook
from countersign.review.payloads import PlannedTask, ReviewKey
from countersign.settings import ROOT


class Word(BaseModel):
    """What the agents of these tests answer with."""

    word: str
    times: int


WORD = "s" * 900
GOOD = (CallTool(tool="state_word", arguments={"word": WORD, "times": 3}),)
LONG = "Read this. " * 600
PARAMETERS = ModelRequestParameters(
    output_mode="tool",
    allow_text_output=False,
    output_tools=[ToolDefinition(name="state_word", parameters_json_schema=Word.model_json_schema(), kind="output")],
)


@dataclass(frozen=True)
class Caller:
    """One way to ask: a provider's client, in a stream or not."""

    model: Model
    provider: str
    stream: bool

    async def __call__(self, settings: ModelSettings = REQUEST_SETTINGS, text: str = LONG) -> ModelResponse:
        """One request as an agent makes it (`request_timeout` is the caller's, not the model's, to keep)."""
        messages = [ModelRequest.user_text_prompt(text)]
        if not self.stream:
            return await model_request(
                self.model, messages, model_settings=settings, model_request_parameters=PARAMETERS
            )
        async with model_request_stream(
            self.model, messages, model_settings=settings, model_request_parameters=PARAMETERS
        ) as response:
            async for _ in response:
                pass
            return response.get()


@pytest.fixture(scope="module")
def running() -> Iterator[LabHandle]:
    with lab_thread() as lab:
        yield lab


@pytest.fixture
def lab(running: LabHandle) -> LabHandle:
    running.reset()
    return running


@pytest.fixture(scope="module")
def models(running: LabHandle) -> dict[str, Model]:
    return {"anthropic": running.anthropic(), "openai": running.openai()}


@pytest.fixture(params=["anthropic", "openai"])
def provider(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def model(models: dict[str, Model], provider: str) -> Model:
    return models[provider]


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def ask(model: Model, provider: str, request: pytest.FixtureRequest) -> Caller:
    return Caller(model, provider, request.param)


def call(response: ModelResponse) -> ToolCallPart:
    (part,) = response.parts
    assert isinstance(part, ToolCallPart)
    return part


# --- good answers


async def test_a_fixed_answer_arrives_and_is_billed_as_it_is_told(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(answer=GOOD))
    response = await ask()
    assert (call(response).tool_name, call(response).args_as_dict()) == ("state_word", GOOD[0].arguments)
    (bill,) = lab.billed
    assert bill.tokens == bill.told
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens) == (bill.tokens.input, bill.tokens.output)
    assert bill.tokens.output > len(WORD) // 4
    assert response.provider_response_id == bill.response_id
    assert response.finish_reason == "tool_call"
    assert "finish_reason" in (response.provider_details or {})
    assert lab.unbilled_partial == []


async def test_text_and_a_tool_call_arrive_in_one_answer(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(answer=(Say(text="Ωmega: one moment."), *GOOD), chunk_chars=5))
    text, tool = (await ask()).parts
    assert isinstance(text, TextPart)
    assert text.content == "Ωmega: one moment."
    assert isinstance(tool, ToolCallPart)
    assert tool.args_as_dict() == GOOD[0].arguments


async def test_cached_tokens_are_told_billed_and_priced(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(answer=GOOD, usage=Tokens(input=5000, output=200, cached=4096)))
    response = await ask()
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (5000, 200, 4096)
    (bill,) = lab.billed
    assert bill.tokens == Tokens(input=5000, output=200, cached=4096)
    cost, is_known = price(f"{ask.provider}:{bill.model}", usage)
    assert is_known
    lab.script(Rule(answer=GOOD, usage=Tokens(input=5000, output=200)))
    assert cost < price(f"{ask.provider}:{bill.model}", (await ask()).usage)[0], "a cached token is a cheaper one"


async def test_openai_serves_a_repeated_beginning_from_its_cache(lab: LabHandle, models: dict[str, Model]) -> None:
    ask = Caller(models["openai"], "openai", stream=True)
    lab.script(Rule(answer=GOOD))
    await ask()
    await ask(text=LONG + "And this too.")
    await ask(text="Something else. " * 500)
    cached = [bill.tokens.cached for bill in lab.billed]
    assert cached[0] == cached[2] == 0
    assert cached[1] >= 1024
    assert cached[1] % 128 == 0
    assert cached[1] < lab.billed[1].tokens.input


async def test_anthropic_caches_what_is_marked_and_bills_the_writing(lab: LabHandle, models: dict[str, Model]) -> None:
    ask = Caller(models["anthropic"], "anthropic", stream=False)
    lab.script(Rule(answer=GOOD))
    await ask()
    marked = ModelSettings(**REQUEST_SETTINGS, cache=True)
    first, second = await ask(marked), await ask(marked)
    assert lab.billed[0].tokens.cached == lab.billed[0].tokens.cache_write == 0
    assert first.usage.cache_write_tokens == lab.billed[1].tokens.cache_write >= 1024
    assert second.usage.cache_read_tokens == lab.billed[2].tokens.cached >= 1024
    assert second.usage.input_tokens == lab.billed[2].tokens.input


async def test_the_lab_remembers_what_was_asked(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(provider="openai", answer=GOOD), Rule(provider="anthropic", answer=GOOD))
    await ask(text="First.")
    await ask(text="Second.")
    first, second = lab.requests
    assert [seen.number for seen in (first, second)] == [1, 2]
    assert (first.last_user_text, second.last_user_text) == ("First.", "Second.")
    assert first.prompt_sha256 != second.prompt_sha256
    assert (first.provider, first.tools, first.agent) == (ask.provider, ("state_word",), "")
    assert first.model == {"anthropic": CLAUDE, "openai": GPT}[ask.provider]
    assert first.rule == {"openai": 0, "anthropic": 1}[ask.provider]
    assert (first.outcome, first.status, first.did) == ("answered", 200, "answer")
    assert first.ended_at is not None
    assert first.at <= first.ended_at <= second.at
    # pydantic-ai sends Anthropic's requests as streams when the model's longest answer would take too long otherwise.
    assert first.stream is (ask.stream or ask.provider == "anthropic")


async def test_a_slow_and_a_trickling_answer_are_good_ones(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(answer=GOOD, delay_s=0.05, pause_s=0.002, chunk_chars=16))
    assert call(await ask()).args_as_dict()["times"] == 3
    assert lab.requests[0].outcome == "answered"


async def test_names_in_the_environment_lead_to_the_lab(lab: LabHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    lab.script(Rule(answer=GOOD))
    for name in (f"anthropic:{CLAUDE}", f"openai-chat:{GPT}"):
        assert call(await Caller(infer_model(name), "", stream=False)()).tool_name == "state_word"
    assert [seen.provider for seen in lab.requests] == ["anthropic", "openai"]
    with pytest.raises(exceptions.ModelNotFoundError, match="openai-chat"):
        await Caller(
            infer_model(f"openai:{GPT}"), "", stream=False
        )()  # the Responses API, which the lab does not speak


# --- misbehaviours, each as its typed error

REFUSED: list[tuple[Rule, type[Exception], type[Exception]]] = [
    (Rule(do="error", status=429), exceptions.ModelRateLimitError, exceptions.ModelRateLimitError),
    (Rule(do="error", status=500), exceptions.ModelServerError, exceptions.ModelServerError),
    (Rule(do="error", status=503), exceptions.ModelUnavailableError, exceptions.ModelOverloadedError),
    (Rule(do="error", status=529), exceptions.ModelOverloadedError, exceptions.ModelOverloadedError),
    (Rule(do="error", status=400), exceptions.ModelRequestRejectedError, exceptions.ModelRequestRejectedError),
    (Rule(do="error", status=401), exceptions.ModelAuthenticationError, exceptions.ModelAuthenticationError),
    (Rule(do="error", status=403), exceptions.ModelAuthenticationError, exceptions.ModelAuthenticationError),
    (Rule(do="error", status=404), exceptions.ModelNotFoundError, exceptions.ModelNotFoundError),
    (Rule(do="error", status=413), exceptions.ModelHTTPError, exceptions.ModelHTTPError),
    (Rule(do="overflow"), exceptions.ModelContextWindowExceededError, exceptions.ModelContextWindowExceededError),
    (Rule(do="quota"), exceptions.ModelQuotaExceededError, exceptions.ModelQuotaExceededError),
]
"""The deed, and the error it is of Anthropic's client and of OpenAI's."""


@pytest.mark.parametrize(("rule", "anthropic", "openai"), REFUSED)
async def test_a_refusal_is_its_category_of_error(
    lab: LabHandle, ask: Caller, rule: Rule, anthropic: type[Exception], openai: type[Exception]
) -> None:
    error = {"anthropic": anthropic, "openai": openai}[ask.provider]
    lab.script(rule)
    with pytest.raises(exceptions.ModelHTTPError) as raised:
        await ask()
    assert isinstance(raised.value, error)
    assert type(raised.value).__name__ == error.__name__, "no narrower category"
    (seen,) = lab.requests
    assert (seen.outcome, seen.status, seen.tokens_sent) == ("refused", raised.value.status_code, 0)
    assert lab.billed == lab.unbilled_partial == []


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_read_in_both_forms(lab: LabHandle, ask: Caller, form: str) -> None:
    lab.script(Rule.model_validate({"do": "error", "status": 429, "retry_after_s": 3600, "retry_after_as": form}))
    with pytest.raises(exceptions.ModelRateLimitError) as raised:
        await ask()
    wait = raised.value.retry_after
    assert wait is not None
    assert wait == 3600 if form == "seconds" else 3500 < wait <= 3600  # a date counts down while it travels


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("after", [0.0, 0.5, 1.0])
async def test_a_cut_is_a_connection_error_wherever_it_comes(
    lab: LabHandle, ask: Caller, after: float, reset: bool
) -> None:
    lab.script(Rule(do="cut", after=after, reset=reset, answer=GOOD))
    with pytest.raises(exceptions.ModelConnectionError) as raised:
        await ask()
    assert not isinstance(raised.value, exceptions.ModelTimeoutError)
    assert raised.value.phase == "read"
    (seen,) = lab.requests
    assert seen.outcome == "cut"
    assert lab.billed == []
    sent = [bill.tokens.output for bill in lab.unbilled_partial]
    assert sent == ([seen.tokens_sent] if after else [])
    assert (seen.tokens_sent > 0) is (after > 0)


@pytest.mark.parametrize("do", ["hang", "stall"])
async def test_silence_is_a_timeout_of_the_kind_that_was_set(lab: LabHandle, ask: Caller, do: str) -> None:
    lab.script(Rule.model_validate({"do": do, "answer": GOOD}))
    with pytest.raises(exceptions.ModelTimeoutError) as read:
        await ask(ModelSettings(max_retries=0, timeout=0.2))
    assert read.value.phase == "read"
    with pytest.raises(exceptions.ModelRequestTimeout) as whole:
        await ask(ModelSettings(max_retries=0, request_timeout=0.2))
    assert not isinstance(whole.value, exceptions.ModelConnectionError), "a class of its own"
    if ask.stream and do == "hang":
        with pytest.raises(exceptions.ModelRequestTimeout):
            await ask(ModelSettings(max_retries=0, first_event_timeout=0.2))
    given_up = len(lab.requests)
    seen = await lab.until("all are given up", lambda seen: [one.outcome for one in seen] == ["abandoned"] * given_up)
    assert all((one.tokens_sent > 0) is (do == "stall") for one in seen)
    assert lab.billed == []


async def test_pings_keep_a_stalled_stream_from_its_read_timeout(lab: LabHandle, model: Model) -> None:
    lab.script(Rule(do="stall", ping_s=0.02, answer=GOOD))
    ask = Caller(model, "", stream=True)
    with pytest.raises(exceptions.ModelRequestTimeout):
        await ask(ModelSettings(max_retries=0, timeout=0.3, request_timeout=1.0))


@pytest.mark.parametrize("do", ["hang", "stall"])
async def test_a_held_connection_ends_when_the_client_leaves(lab: LabHandle, ask: Caller, do: str) -> None:
    lab.script(Rule.model_validate({"do": do, "answer": GOOD}))
    asking = asyncio.create_task(ask())
    await lab.until("it is held", lambda seen: len(seen) == 1 and (do == "hang" or seen[0].tokens_sent > 0))
    assert lab.requests[0].outcome == "open"
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    (seen,) = await lab.until("it has ended", lambda seen: seen[0].outcome != "open")
    assert seen.outcome == "abandoned"
    assert len(lab.unbilled_partial) == (do == "stall")


async def test_what_was_held_for_a_time_goes_on(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(do="hang", hold_s=0.05, times=1, answer=GOOD), Rule(do="stall", hold_s=0.05, answer=GOOD))
    for _ in range(2):
        assert call(await ask()).args_as_dict() == GOOD[0].arguments
    assert [seen.outcome for seen in lab.requests] == ["answered", "answered"]
    assert len(lab.billed) == 2


@pytest.mark.parametrize("do", ["invalid_json", "malformed_sse"])
async def test_nonsense_is_an_error_without_category(lab: LabHandle, ask: Caller, do: str) -> None:
    lab.script(Rule.model_validate({"do": do, "answer": GOOD}))
    with pytest.raises(exceptions.ModelAPIError) as raised:
        await ask()
    assert type(raised.value) is exceptions.ModelAPIError
    assert lab.requests[0].outcome == "broken"
    assert lab.billed == []
    assert len(lab.unbilled_partial) == 1


async def test_an_error_in_a_stream_has_its_category(lab: LabHandle, model: Model) -> None:
    lab.script(Rule(do="error_in_stream", answer=GOOD))
    with pytest.raises(exceptions.ModelOverloadedError) as raised:
        await Caller(model, "", stream=True)()
    assert raised.value.in_stream is True


async def test_a_stream_that_ends_early_has_no_error_and_no_finish_reason_of_the_provider(
    lab: LabHandle, model: Model
) -> None:
    """The trap: half an answer looks like a whole one. `finish_reason` does not tell: OpenAI's is set to "stop"."""
    lab.script(Rule(do="truncate", answer=GOOD))
    response = await Caller(model, "", stream=True)()
    assert "finish_reason" not in (response.provider_details or {})
    with pytest.raises(ValueError, match="EOF"):
        call(response).args_as_dict(raise_if_invalid=True)
    assert lab.requests[0].outcome == "broken"


LIES = {
    "zero": (Tokens(), (0, 0)),
    "negative": (Tokens(input=-5, output=-5), (0, 0)),
    "absurd": (Tokens(input=10**9, output=10**9), (10**9, 10**9)),
}


@pytest.mark.filterwarnings("ignore::pydantic_ai.exceptions.UsageExtractionFailedWarning")
@pytest.mark.parametrize("lie", LIES)
async def test_told_usage_may_lie_and_the_bill_does_not(lab: LabHandle, ask: Caller, lie: str) -> None:
    told, read = LIES[lie]
    lab.script(Rule(answer=GOOD, told_usage=told))
    usage = (await ask()).usage
    assert (usage.input_tokens, usage.output_tokens) == read
    (bill,) = lab.billed
    assert bill.told == told
    assert bill.tokens.input > 1000
    assert bill.tokens.output > len(WORD) // 4


async def test_a_wrong_output_and_an_unknown_tool_are_told_and_paid_for(lab: LabHandle, model: Model) -> None:
    lab.script(Rule(do="wrong_schema", times=1), Rule(do="unknown_tool", times=1), Rule(answer=GOOD))
    agent = Agent(model, output_type=ToolOutput(Word, name="state_word"), retries=2, model_settings=REQUEST_SETTINGS)
    result = await agent.run("Go.")
    assert result.output.times == 3
    assert [seen.did for seen in lab.requests] == ["wrong_schema", "unknown_tool", "answer"]
    assert [seen.responses_before for seen in lab.requests] == [0, 1, 2]
    assert "Unknown tool" in lab.requests[2].last_user_text
    assert result.usage.output_tokens == sum(bill.tokens.output for bill in lab.billed)
    assert result.usage.input_tokens == sum(bill.tokens.input for bill in lab.billed)
    lab.script(Rule(do="wrong_schema"))
    with pytest.raises(exceptions.UnexpectedModelBehavior, match="output retries"):
        await agent.run("Go.")


# --- the team


def _deps() -> AgentDeps:
    text = nda(law="Ireland")
    section = Section(label="1", heading="All", start=0, end=len(text))
    document = DocumentText(text=text, pages=(Page(number=1, start=0, end=len(text)),), sections=(section,))
    key = ReviewKey(tenant="t", review_id="r-1", workflow_id="review-t-r-1")
    return AgentDeps(key=key, playbook=load_playbook(ROOT / "playbooks", "nda"), document=document)


async def test_a_specialist_finds_over_the_wire_what_it_finds_offline(lab: LabHandle, model: Model) -> None:
    deps = _deps()
    key = deps.playbook.specialists[0].key
    families = tuple(family.key for family in deps.playbook.families if family.specialist == key)
    task = PlannedTask(specialist=key, families=families)
    offline = await team.analyse(deps, task, Call(OfflineModel(), "c-1"))
    lab.script(Rule(do="wrong_schema", agent="specialist", times=1))
    wired = await team.analyse(deps, task, Call(model, "c-1"))
    assert wired.findings == offline.findings
    assert len(wired.findings) > 3
    assert [(seen.agent, seen.tools) for seen in lab.requests] == [("specialist", (outputs.FINDINGS_TOOL,))] * 2
    metrics, billed = wired.metrics, lab.billed
    assert metrics is not None
    assert (metrics.requests, metrics.priced) == (2, True)
    assert metrics.cost_microusd > 0
    assert metrics.input_tokens == sum(bill.tokens.input for bill in billed)
    assert metrics.output_tokens == sum(bill.tokens.output for bill in billed)
    assert metrics.cache_read_tokens == sum(bill.tokens.cached for bill in billed)


async def test_a_request_nobody_can_answer_is_refused_and_says_so(lab: LabHandle, ask: Caller) -> None:
    with pytest.raises(exceptions.ModelRequestRejectedError, match="give a rule"):
        await ask()
    assert lab.requests[0].outcome == "refused"


# --- the lab itself


def test_a_wrong_script_is_refused_with_rule_and_field_and_changes_nothing(lab: LabHandle) -> None:
    lab.script(Rule(do="hang", agent="plan"))
    with pytest.raises(HTTPError) as raised:
        lab.post("/lab/script", [{"do": "answer"}, {"do": "explode", "afterwards": 1}])
    assert raised.value.code == 422
    problems = json.load(raised.value)["problems"]
    assert sorted(problem["loc"] for problem in problems) == [[1, "afterwards"], [1, "do"]]
    assert lab.get("/lab/script")["rules"] == [{"do": "hang", "agent": "plan", "applied": 0}]


async def test_a_reset_forgets_everything(lab: LabHandle, ask: Caller) -> None:
    lab.script(Rule(answer=GOOD))
    await ask()
    lab.reset()
    assert [*lab.requests, *lab.billed, *lab.unbilled_partial, *lab.get("/lab/script")["rules"]] == []
    lab.script(Rule(answer=GOOD, request=1))
    await ask()
    (bill,) = lab.billed
    assert bill.tokens.cached == 0, "the prompt cache is empty again"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": 1}', b'{"model": "m", "max_tokens": 1, "messages": [{}]}'])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_body_of_another_format_is_a_bad_request(lab: LabHandle, path: str, body: bytes) -> None:
    with pytest.raises(HTTPError) as raised:
        urlopen(Request(f"{lab.url}{path}", body), timeout=30)  # noqa: S310  loopback
    assert raised.value.code == 400
    assert json.load(raised.value)["error"]["message"]
    assert lab.requests == []


async def test_the_lab_runs_alone_with_a_script_and_ends_what_hangs(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"do": "hang", "request": 1}, {"do": "error", "status": 529}]')
    with lab_process("--script", str(script)) as lab:
        asking = asyncio.create_task(Caller(lab.anthropic(), "anthropic", stream=False)())
        await lab.until("it hangs", lambda seen: len(seen) == 1)
        with pytest.raises(exceptions.ModelOverloadedError):
            await Caller(lab.anthropic(), "anthropic", stream=False)()
    with pytest.raises(exceptions.ModelConnectionError):
        await asking
