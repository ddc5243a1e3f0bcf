"""The guard: every check in its order, refusals as answers, bounds, rows without text, proposals from conversations."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from countersign.agents import outputs, team
from countersign.agents.deps import AgentDeps
from countersign.agents.run import Call, Toolbox, run
from countersign.document.model import DocumentText, Page
from countersign.playbook.model import Playbook
from countersign.review.capability import Capability
from countersign.review.payloads import AgentMetrics, KnowledgeHit, PlannedTask, ReviewKey
from countersign.tools.catalogue import CATALOGUE
from countersign.tools.conversation import proposals_in, uses_in
from countersign.tools.guard import Catalogued, Guard, bounded
from countersign.tools.model import Counterparty, Surroundings
from countersign.tools.names import CHECK_NUMBER, LOOK_UP_COUNTERPARTY, RECORD_OBLIGATION, SEARCH_PRECEDENTS
from countersign.tools.policy import Bounds, Rule, ToolPolicy
from countersign.tools.ports import CallRow, CircuitRefusal, Gone, GuardServices
from countersign.words import ToolVerdict

TEXT = "1. Fees. The Customer shall pay within thirty (30) days.\n"
STANCES = {"preferred": {"text": "P"}, "fallback": {"text": "F"}, "walk_away": {"text": "W"}}
PLAYBOOK = Playbook.model_validate(
    {
        "name": "mini",
        "title": "Mini",
        "version": "1",
        "contract_types": ["msa"],
        "specialists": [{"key": "risk", "title": "Risk", "brief": "Reads fees."}],
        "families": [
            {"key": "fees", "title": "Fees", "specialist": "risk", "question": "When?", "severity": "high"} | STANCES
        ],
    }
)
DEPS = AgentDeps(
    key=ReviewKey(tenant="t", review_id="r-1", workflow_id="review-t-r-1"),
    playbook=PLAYBOOK,
    document=DocumentText(text=TEXT, pages=(Page(number=1, start=0, end=len(TEXT)),)),
)
TASK = PlannedTask(specialist="risk", families=("fees",))
OBLIGATION = {
    "kind": "payment",
    "clause": "fees",
    "duty": "Pay in thirty days",
    "quote": "shall pay within thirty (30) days",
}
NUMBERS = {"text": "thirty (30) days"}
QUERY = {"query": "payment in thirty days"}

Answer = tuple[str, Any]


@dataclass
class World:
    """What the guard asks of: counters, rows, circuits, memory."""

    refuse: str = ""
    rows: list[CallRow] = field(default_factory=list)
    circuits: list[str] = field(default_factory=list)
    works: Callable[[], Any] | None = None

    async def review(self, workflow_id: str, limit: int) -> bool:
        return self.refuse != "review"

    async def rate(self, tenant: str, tool: str, limit: int) -> bool:
        return self.refuse != "rate"

    async def write(self, run: str, row: CallRow) -> None:
        self.rows.append(row)

    def digest(self, tool: str, args: object) -> str:
        return "p1:digest"

    async def admit(self, name: str) -> object:
        self.circuits.append(name)
        if self.refuse == "circuit":
            raise CircuitRefusal(12.34)
        return name

    async def done(self, permit: object, gone: Gone, seconds: float) -> None:
        assert permit == self.circuits[-1]
        self.circuits[-1] += f" {gone}"

    async def search(self, tenant: str, query: str, limit: int = 5) -> tuple[KnowledgeHit, ...]:
        if self.works is not None:
            await self.works()
        return (KnowledgeHit(source="house", passage="p" * 4000, score=0.5),) * limit

    async def find(self, tenant: str, name: str) -> Counterparty | None:
        return Counterparty(standing="watch") if name == "Zanzibar Trading" else None


def guard(world: World, *rules: Rule, left: Capability | None = None, **bounds: Any) -> Guard:
    return Guard(
        wrapped=Catalogued(CATALOGUE, Surroundings("t", DEPS.document, world, world, date(2026, 3, 1))),
        policy=ToolPolicy(tenant="t", playbook="mini", rules=rules, bounds=Bounds(**bounds)),
        left=left or Capability(),
        services=GuardServices(counts=world, record=world, circuits=world),
        run="analyse:risk",
        role="risk",
        workflow_id="review-t-r-1",
    )


def asking(*rounds: list[tuple[str, Any]]) -> tuple[FunctionModel, list[set[str]]]:
    """A model that makes these calls, a round a response, and then reports nothing; what it was offered each time."""
    offered: list[set[str]] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        offered.append({tool.name for tool in info.function_tools})
        turn = len(offered) - 1
        if turn < len(rounds):
            calls = [
                ToolCallPart(name, args, tool_call_id=f"{turn}-{n}") for n, (name, args) in enumerate(rounds[turn])
            ]
            return ModelResponse(parts=calls)
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"findings": []})])

    return FunctionModel(answer, model_name="asking"), offered


async def conversation(guarded: Guard, *rounds: list[tuple[str, Any]]) -> tuple[list[ModelMessage], list[set[str]]]:
    model, offered = asking(*rounds)
    heard: list[ModelMessage] = []
    deps = replace(DEPS, task=TASK)
    await run(team.specialist_agent, "Look.", deps, Call(model, "c-1", tools=Toolbox(guarded, heard.extend)))
    return heard, offered


async def answers(guarded: Guard, *calls: tuple[str, Any]) -> list[Mapping[str, Any]]:
    """What the guard answered to calls made in one response."""
    heard, _ = await conversation(guarded, list(calls))
    parts = [part for message in heard if isinstance(message, ModelRequest) for part in message.parts]
    return [
        part.content
        for part in parts
        if part.part_kind == "tool-return"
        and part.tool_name != outputs.FINDINGS_TOOL
        and isinstance(part.content, dict)
    ]


async def test_a_permitted_call_runs_and_is_written_down_without_a_word_of_it() -> None:
    world = World()
    (answer,) = await answers(guard(world), (LOOK_UP_COUNTERPARTY, {"name": "Zanzibar Trading"}))
    assert answer == {"known": True, "standing": "watch", "note": "", "contracts": 0}
    (row,) = world.rows
    assert (row.tool, row.verdict, row.args_digest) == (LOOK_UP_COUNTERPARTY, "ran", "p1:digest")
    assert "Zanzibar" not in repr(row)
    assert world.circuits == [f"tool:{LOOK_UP_COUNTERPARTY} success"]


@pytest.mark.parametrize(
    ("refuse", "args", "denied", "rule"),
    [
        ("circuit", {"query": ""}, True, "permission"),
        ("circuit", {"query": ""}, False, "arguments"),
        ("circuit", QUERY, False, "circuit"),
        ("review", QUERY, False, "review_budget"),
        ("rate", QUERY, False, "rate"),
    ],
)
async def test_checks_come_in_their_order_and_a_refusal_is_an_answer(
    refuse: str, args: dict[str, Any], denied: bool, rule: str
) -> None:
    world = World(refuse=refuse)
    rules = (Rule(tool=SEARCH_PRECEDENTS, verdict=ToolVerdict.DENY),) if denied else ()
    guarded = guard(world, *rules)
    if denied:
        # It is not even offered; a call that reaches the guard all the same is refused first of all for this.
        deps, context = replace(DEPS, task=TASK), _context()
        tools = await Catalogued(CATALOGUE, Surroundings("t", deps.document, world, world, date.min)).get_tools(context)
        answer = await guarded.call_tool(SEARCH_PRECEDENTS, args, context, tools[SEARCH_PRECEDENTS])
    else:
        (answer,) = await answers(guarded, (SEARCH_PRECEDENTS, args))
    assert answer["refused"] == rule
    assert [row.verdict for row in world.rows] == [rule]
    if rule == "circuit":
        assert answer["retry_after_s"] == 12.3
    if rule in {"review_budget", "rate"}:
        assert world.circuits == [f"tool:{SEARCH_PRECEDENTS} ignored"], "not the tool's doing"


def _context() -> Any:
    class Context:
        tool_call_id = "x"

    return Context()


async def test_only_what_the_policy_permits_is_offered() -> None:
    world = World()
    denied = Rule(tool=CHECK_NUMBER, verdict=ToolVerdict.DENY)
    _, (offered, *_) = await conversation(guard(world, denied))
    assert CHECK_NUMBER not in offered
    assert RECORD_OBLIGATION in offered
    _, (offered, *_) = await conversation(guard(world, left=Capability(supervised=True, memory=False)))
    assert offered == {"check_date", "check_number", "resolve_reference", "resolve_term"}


@pytest.mark.parametrize(
    "args", ["{not json", "[1]", "null", '{"text": 5}', {"text": "x" * 2001}, {"text": "abc", "sudo": 1}]
)
async def test_bad_arguments_cost_an_answer_and_not_the_run(args: Any) -> None:
    world = World()
    (answer,) = await answers(guard(world), (CHECK_NUMBER, args))
    assert answer["refused"] == "arguments"
    assert "xxx" not in str(answer)


async def test_a_stubborn_model_runs_out_of_tools_and_reports() -> None:
    world = World()
    calls = [[(CHECK_NUMBER, NUMBERS)] * 3] * 2
    heard, offered = await conversation(guard(world, calls_per_run=4), *calls)
    assert [row.verdict for row in world.rows] == ["ran"] * 4 + ["run_budget"] * 2
    assert offered[-1] == set()
    assert {(use.verdict, use.calls) for use in uses_in(heard)} == {("ran", 4), ("run_budget", 2)}


async def test_a_slow_tool_is_given_up_and_a_broken_one_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    world = World(works=asyncio.Event().wait)
    (answer,) = await answers(guard(world, seconds=0.01), (SEARCH_PRECEDENTS, QUERY))
    assert answer["refused"] == "time"

    async def breaks() -> None:
        raise ValueError("Zanzibar")

    world.works = breaks
    (answer,) = await answers(guard(world), (SEARCH_PRECEDENTS, QUERY))
    assert answer == {"refused": "failed", "why": "the tool failed (ValueError)"}
    assert "Zanzibar" not in caplog.text
    assert world.circuits == [f"tool:{SEARCH_PRECEDENTS} failure"] * 2


async def test_a_result_is_bounded_and_says_so() -> None:
    world = World()
    (answer,) = await answers(guard(world, result_chars=500), (SEARCH_PRECEDENTS, {**QUERY, "limit": 5}))
    assert answer["cut"] is True
    assert world.rows[0].result_chars <= 600
    assert bounded({"a": 1}, 100) == {"a": 1}


async def test_an_effect_is_filed_and_never_done() -> None:
    world = World()
    heard, _ = await conversation(guard(world), [(RECORD_OBLIGATION, OBLIGATION), (RECORD_OBLIGATION, {"kind": "x"})])
    (proposal,) = proposals_in(heard)
    assert (proposal.tool, proposal.args) == (RECORD_OBLIGATION, OBLIGATION)
    assert sorted(row.verdict for row in world.rows) == ["arguments", "proposed"]
    assert world.circuits == []
    # A run that goes on after a crash has its conversation from storage, and proposes the same.
    stored = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(heard))
    assert proposals_in(stored) == (proposal,)
    assert uses_in(stored) == uses_in(heard)


async def test_proposals_are_bounded_a_run() -> None:
    world = World()
    calls = [(RECORD_OBLIGATION, {**OBLIGATION, "duty": f"Duty number {n}"}) for n in range(5)]
    heard, _ = await conversation(guard(world, proposals_per_run=2), calls)
    assert len(proposals_in(heard)) == 2
    assert [row.verdict for row in world.rows].count("run_budget") == 3


async def test_a_tool_that_there_is_not_is_told_so_and_the_run_goes_on() -> None:
    heard, offered = await conversation(guard(World()), [("wire_money", {})], [("wire_money", {})])
    assert len(offered) == 3
    assert uses_in(heard) == ()


async def test_a_specialists_report_carries_what_it_proposed_and_used() -> None:
    model, _ = asking([(RECORD_OBLIGATION, OBLIGATION), (CHECK_NUMBER, NUMBERS)])
    report = await team.analyse(DEPS, TASK, Call(model, "c-1"), guard=guard(World()))
    assert [proposal.tool for proposal in report.proposals] == [RECORD_OBLIGATION]
    assert [(use.tool, use.verdict) for use in report.tools] == [(CHECK_NUMBER, "ran"), (RECORD_OBLIGATION, "proposed")]
    without = await team.analyse(DEPS, TASK, Call(asking()[0], "c-1"))
    assert (without.proposals, without.tools) == ((), ())


class Kept:
    """A journal that has the conversation of an earlier attempt."""

    responses = 0

    def __init__(self, history: list[ModelMessage]) -> None:
        self.history = history

    def resume(self, digest: str) -> list[ModelMessage]:
        return self.history

    async def save(self, digest: str, messages: list[ModelMessage], *, new: int) -> None:
        return None

    def metrics(self) -> AgentMetrics:
        return AgentMetrics(call_id="c-1", agent="specialist", model="asking")


async def test_a_run_that_goes_on_after_a_crash_proposes_what_it_proposed_before() -> None:
    rounds = [[(RECORD_OBLIGATION, OBLIGATION)], [(CHECK_NUMBER, NUMBERS), (RECORD_OBLIGATION, OBLIGATION)]]
    whole, _ = await conversation(guard(World()), *rounds)
    second = [n for n, message in enumerate(whole) if isinstance(message, ModelResponse)][1]
    world, heard = World(), list[ModelMessage]()
    model, offered = asking()
    journal: Any = Kept(whole[: second + 1])  # killed when the second response was complete, before its calls were made
    tools = Toolbox(guard(world), heard.extend)
    await run(
        team.specialist_agent, "Look.", replace(DEPS, task=TASK), Call(model, "c-1", journal=journal, tools=tools)
    )
    assert len(offered) == 1, "no response was paid for twice"
    assert sorted(row.verdict for row in world.rows) == ["proposed", "ran"], "only the calls that were not made yet"
    assert proposals_in(heard) == proposals_in(whole)
    assert len(proposals_in(heard)) == 2
