"""A provider's model behind its circuit, through the real client libraries: what circuit and run hear of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from helpers.lab import CLAUDE, GPT, LabHandle, lab_thread
from provider_lab.script import Deed, Rule, Say
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel

from countersign.agents import guarded as guard
from countersign.agents.guarded import GuardedModel, ModelSilent, ModelSkipped, circuit_of, guarded, is_remote
from countersign.agents.models import REQUEST_SETTINGS
from countersign.agents.offline import OfflineModel
from countersign.breaker.circuits import Circuits
from countersign.breaker.words import Kind, Permit, Result
from countersign.errors import CircuitOpen, Throttled

HELLO = [ModelRequest(parts=[UserPromptPart("Hello")])]
ANSWER = Say(text="Good day to you, and to everybody who reads this.")
PLAIN = ModelRequestParameters()


class Heard(Circuits):
    """A circuit that says what it is told to, and keeps what it hears."""

    def __init__(self) -> None:
        self.refuse: CircuitOpen | Throttled | None = None
        self.probe = False
        self.asked: list[str] = []
        self.beats = 0
        self.results: list[Result] = []

    async def admit(self, name: str) -> Permit:
        self.asked.append(name)
        if self.refuse is not None:
            raise self.refuse
        return Permit(name, "t", self.probe, 0.0)

    async def beat(self, permit: Permit) -> None:
        self.beats += 1

    async def done(self, permit: Permit, result: Result) -> None:
        self.results.append(result)


@dataclass
class Run:
    """What a run hears, as words in order; progress in a row is one."""

    words: list[str] = field(default_factory=list)

    async def sending(self, *, counts: bool) -> None:
        self.words.append("sending" if counts else "probing")

    async def ended(self, *, refused: bool, counts: bool) -> None:
        self.words.append(("refused" if refused else "lost") + ("" if counts else ", excused"))

    def progress(self) -> None:
        if self.words[-1:] != ["progress"]:
            self.words.append("progress")


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHandle]:
    with lab_thread() as running:
        yield running


@pytest.fixture
def circuits() -> Heard:
    return Heard()


@pytest.fixture(params=["anthropic", "openai"])
def model(request: pytest.FixtureRequest, lab: LabHandle) -> Model:
    lab.reset()
    return lab.anthropic() if request.param == "anthropic" else lab.openai()


async def asked(model: Model) -> ModelResponse:
    return await model.request(HELLO, REQUEST_SETTINGS, PLAIN)


async def test_an_answer_is_streamed_and_the_circuit_hears_of_every_piece(
    lab: LabHandle, model: Model, circuits: Heard
) -> None:
    lab.script(Rule(answer=(ANSWER,), chunk_chars=8))
    run = Run()
    response = await asked(guarded(model, circuits, run))
    assert response.text == ANSWER.text
    assert response.usage.output_tokens > 0
    assert [seen.stream for seen in lab.requests] == [True]
    assert circuits.asked == [circuit_of(model)] == [f"model:{model.system}:{model.model_name}"]
    assert circuits.beats >= len(ANSWER.text) / 8
    assert [result.kind for result in circuits.results] == [Kind.SUCCESS]
    assert run.words == ["sending", "progress"]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule(do="error", status=500), (Kind.FAILURE, "refused")),
        (Rule(do="error", status=503), (Kind.FAILURE, "refused")),
        (Rule(do="error", status=529), (Kind.FAILURE, "refused")),
        (Rule(do="error", status=429), (Kind.THROTTLED, "refused")),
        (Rule(do="error", status=401), (Kind.IGNORED, "refused")),
        (Rule(do="error", status=400), (Kind.IGNORED, "refused")),
        (Rule(do="error", status=413), (Kind.IGNORED, "refused")),
        (Rule(do="overflow"), (Kind.IGNORED, "refused")),
        (Rule(do="quota"), (Kind.IGNORED, "refused")),
        (Rule(do="cut", after=0), (Kind.FAILURE, "lost")),
        (Rule(do="cut", reset=True), (Kind.FAILURE, "lost")),
        (Rule(do="truncate"), (Kind.FAILURE, "lost")),
        (Rule(do="error_in_stream"), (Kind.FAILURE, "lost")),
        (Rule(do="invalid_json"), (Kind.FAILURE, "lost")),
        (Rule(do="malformed_sse"), (Kind.FAILURE, "lost")),
    ],
    ids=lambda value: f"{value.do}-{value.status}" if isinstance(value, Rule) else "",
)
async def test_what_a_failed_request_says_about_the_provider(
    lab: LabHandle, model: Model, circuits: Heard, rule: Rule, says: tuple[Kind, str]
) -> None:
    lab.script(rule.model_copy(update={"answer": (ANSWER,), "chunk_chars": 8}))
    run = Run()
    with pytest.raises(ModelAPIError):
        await asked(guarded(model, circuits, run))
    kind, heard = says
    assert [result.kind for result in circuits.results] == [kind]
    assert [word for word in run.words if word != "progress"] == ["sending", heard]


@pytest.mark.parametrize("written", ["seconds", "date"])
async def test_retry_after_reaches_the_circuit(lab: LabHandle, model: Model, circuits: Heard, written: str) -> None:
    lab.script(Rule.model_validate({"do": "error", "status": 429, "retry_after_s": 7, "retry_after_as": written}))
    with pytest.raises(ModelAPIError) as refused:
        await asked(guarded(model, circuits, Run()))
    (result,) = circuits.results
    assert result.retry_after_s == refused.value.retry_after
    assert result.retry_after_s == pytest.approx(7, abs=1.5)


@pytest.mark.parametrize("closed", [CircuitOpen("c", retry_after_s=12), Throttled("c", retry_after_s=12)])
async def test_an_open_or_full_circuit_is_not_asked_through(
    lab: LabHandle, model: Model, circuits: Heard, closed: CircuitOpen | Throttled
) -> None:
    circuits.refuse = closed
    run = Run()
    with pytest.raises(ModelSkipped) as skipped:
        await asked(guarded(model, circuits, run))
    assert (skipped.value.retry_after, skipped.value.throttled) == (12, isinstance(closed, Throttled))
    assert (lab.requests, circuits.results, run.words) == ([], [], [])


async def test_a_probe_that_fails_is_not_held_against_the_run(lab: LabHandle, model: Model, circuits: Heard) -> None:
    lab.script(Rule(do="cut", after=0))
    circuits.probe = True
    run = Run()
    with pytest.raises(ModelSkipped):
        await asked(guarded(model, circuits, run))
    assert [result.kind for result in circuits.results] == [Kind.FAILURE]
    assert run.words == ["probing", "lost, excused"]


@pytest.mark.parametrize("do", ["hang", "stall"])
async def test_a_chain_moves_on_from_a_model_that_falls_silent(
    lab: LabHandle, circuits: Heard, monkeypatch: pytest.MonkeyPatch, do: Deed
) -> None:
    lab.reset()
    monkeypatch.setattr(guard, "SILENCE_S", 0.2)
    lab.script(Rule(provider="anthropic", do=do, answer=(ANSWER,), chunk_chars=8), Rule(answer=(ANSWER,)))
    run = Run()
    chain = guarded(FallbackModel(lab.anthropic(), lab.openai()), circuits, run)
    response = await asked(chain)
    assert response.text == ANSWER.text
    assert response.model_name is not None
    assert response.model_name.startswith(GPT)
    assert guard.passed_over(response.failed_attempts or ()) == (f"model {CLAUDE} failed",)
    assert [result.kind for result in circuits.results] == [Kind.FAILURE, Kind.SUCCESS]
    assert (response.failed_attempts or [])[0].error is not None
    assert str((response.failed_attempts or [])[0].error).startswith(ModelSilent.__name__)
    assert [word for word in run.words if word != "progress"] == ["sending", "lost", "sending"]


async def test_an_answer_cut_in_the_middle_is_given_by_the_next_model_in_the_same_request(
    lab: LabHandle, circuits: Heard
) -> None:
    lab.reset()
    lab.script(Rule(provider="anthropic", do="cut", answer=(ANSWER,), chunk_chars=8), Rule(answer=(ANSWER,)))
    response = await asked(guarded(FallbackModel(lab.anthropic(), lab.openai()), circuits, Run()))
    assert response.text == ANSWER.text
    assert guard.passed_over(response.failed_attempts or ()) == (f"model {CLAUDE} failed",)


async def test_a_cancelled_request_is_given_back_and_no_failure(lab: LabHandle, model: Model, circuits: Heard) -> None:
    lab.script(Rule(do="stall", answer=(ANSWER,), chunk_chars=8))
    run = Run()
    task = asyncio.create_task(asked(guarded(model, circuits, run)))
    await lab.until("a part has come", lambda seen: any(one.tokens_sent for one in seen))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [result.kind for result in circuits.results] == [Kind.IGNORED]
    assert run.words[-1] == "lost, excused", "it is not held against the run"
    await lab.until("the client has gone", lambda seen: seen[-1].outcome == "abandoned")


async def test_a_request_that_is_cancelled_because_nothing_came_is_the_providers_failure(
    lab: LabHandle, model: Model, circuits: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SILENCE_S", 0.0)
    lab.script(Rule(do="hang"))
    task = asyncio.create_task(asked(GuardedModel(model, circuits, Run(), alone=True)))
    await lab.until("it hangs", lambda seen: any(one.outcome == "open" for one in seen))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [result.kind for result in circuits.results] == [Kind.FAILURE]


async def test_an_overdue_request_is_the_providers_failure(lab: LabHandle, model: Model, circuits: Heard) -> None:
    lab.script(Rule(do="hang"))
    run = Run()
    inner = guarded(model, circuits, run)
    chain = FallbackModel(inner, OfflineModel())
    with pytest.raises(Exception, match="offline model"):
        await chain.request(HELLO, {**REQUEST_SETTINGS, "request_timeout": 0.2}, PLAIN)
    assert [result.kind for result in circuits.results] == [Kind.FAILURE]


def test_what_runs_in_this_process_has_no_circuit(lab: LabHandle, circuits: Heard) -> None:
    offline = OfflineModel()
    assert guarded(offline, circuits, Run()) is offline
    assert not is_remote(offline)
    chain = FallbackModel(lab.anthropic(), offline)
    assert is_remote(chain)
    models = guard.models_of(guarded(chain, circuits, Run()))
    assert isinstance(models[0], GuardedModel)
    assert models[1] is offline
