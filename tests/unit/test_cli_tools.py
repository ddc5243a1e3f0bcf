"""`tools`, `effects`, `counterparties`: what is said and shown; wrong input is refused before a server is asked."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from helpers.terminal import Run, terminal

from countersign.errors import DecisionRefused
from countersign.review.payloads import EffectDecision, EffectReceipt, EffectStanding, ReviewStatus
from countersign.settings import Settings
from countersign.store.counterparties import NamedCounterparty
from countersign.store.tool_rules import RuleChange
from countersign.tools.names import NATURES
from countersign.tools.policy import Rule, ToolPolicy
from countersign.trail.pseudonym import Pseudonyms
from countersign.words import EffectState, Stage, ToolVerdict
from starters.cli.main import cli
from starters.cli.render import console, effects_panel, next_commands

PSEUDONYMS = Pseudonyms(b"k" * 32)
BY = ("--by", "Olga", "--reason", "after the audit")
NOW = datetime(2026, 3, 4, tzinfo=UTC)
DIGEST = "c0ffee" * 10


@dataclass
class World:
    """What the commands reach: a client with its services, all in memory."""

    settings: Settings = field(default_factory=Settings)
    pseudonyms: Pseudonyms = PSEUDONYMS
    rules: list[Rule] = field(default_factory=list)
    changes: list[RuleChange] = field(default_factory=list)
    decided: list[tuple[str, EffectDecision, bool]] = field(default_factory=list)
    known: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    refuse: DecisionRefused | None = None

    async def services(self) -> "World":
        return self

    @property
    def tool_rules(self) -> "World":
        return self

    @property
    def counterparties(self) -> "World":
        return self

    async def policy(self, tenant: str, playbook: object) -> ToolPolicy:
        return ToolPolicy(tenant=tenant, rules=tuple(self.rules))

    async def change(self, tenant: str | None, tool: str, verdict: ToolVerdict | None, **said: str) -> bool:
        self.rules = [rule for rule in self.rules if (rule.tenant, rule.tool) != (tenant, tool)]
        if verdict:
            self.rules.append(Rule(tool=tool, verdict=verdict, tenant=tenant))
        self.changes.append(
            RuleChange(tenant=tenant or "", tool=tool, before=None, after=verdict, changed_at=NOW, **said)
        )
        return True

    async def history(self, tenant: str | None, limit: int) -> tuple[RuleChange, ...]:
        return tuple(reversed(self.changes))[:limit]

    async def reconsider_effects(self, tenant: str | None) -> tuple[int, int]:
        return 2, 1

    async def decide_effect(
        self, tenant: str, review_id: str, decision: EffectDecision, *, approve: bool
    ) -> EffectReceipt:
        if self.refuse:
            raise self.refuse
        self.decided.append((review_id, decision, approve))
        state = EffectState.APPROVED if approve else EffectState.DECLINED
        return EffectReceipt(review_id=review_id, item=decision.item, state=state, pending=1)

    async def put(self, tenant: str, name: str, *, standing: str, note: str, contracts: int) -> bool:
        is_new = name not in self.known
        self.known[name] = (standing, note, contracts)
        return is_new

    async def list(self, tenant: str, limit: int) -> tuple[NamedCounterparty, ...]:
        return tuple(
            NamedCounterparty(name=name, standing=standing, note=note, contracts=contracts, changed_at=NOW)
            for name, (standing, note, contracts) in self.known.items()
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world: World) -> Run:
    return terminal(world)


def shown(output: str) -> dict[str, str]:
    return {line.split()[0]: line for line in output.splitlines() if line.split() and line.split()[0] in NATURES}


def test_the_policy_is_shown_and_changed_and_waiting_reviews_hear_of_it(run: Run) -> None:
    before = shown(run("tools", "show").output)
    assert "needs approval" in before["send_notice"]
    assert "allow" in before["check_date"]
    denied = run("tools", "deny", "send_notice", "--tenant", "acme", *BY)
    assert denied.exit_code == 0
    assert denied.output.startswith("send_notice: deny for acme\n2 review(s) with open effects were told")
    assert "deny" in shown(run("tools", "show", "--tenant", "acme").output)["send_notice"]
    assert "needs approval" in shown(run("tools", "show").output)["send_notice"]
    told = json.loads(run("tools", "reset", "send_notice", "--tenant", "acme", *BY, "--json").output)
    assert (told["verdict"], told["changed"], told["reviews_told"], told["not_told"]) == (None, True, 2, 1)


def test_the_history_says_who_and_why_without_a_name(run: Run) -> None:
    assert "never changed" in run("tools", "history").output
    run("tools", "require-approval", "record_obligation", *BY)
    output = run("tools", "history").output
    assert "after the audit" in output
    assert "Olga" not in output
    (row,) = json.loads(run("tools", "history", "--json").output)
    assert row["by_hash"] == PSEUDONYMS.of("user", "Olga")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tools", "deny", "wire_money", *BY), "tool: there is no such tool. The tools are"),
        (("tools", "deny", "send_notice", "--by", " ", "--reason", "x"), "--by: is empty"),
        (("tools", "deny", "send_notice", "--by", "Olga", "--reason", ""), "--reason: is empty"),
        (("effects", "approve", "r-1", "first", "--reviewer", "bob"), "ITEM: is not an item's id"),
        (("effects", "approve", "r-1", "E0", "--reviewer", "bob"), "ITEM: is not an item's id"),
        (("effects", "approve", "r-1", "E1", "--reviewer", ""), "--reviewer: "),
        (("effects", "approve", "r-1", "E1"), "Missing option '--reviewer'"),
        (("counterparties", "add", "X", "--standing", "friend"), "'friend' is not one of"),
    ],
)
def test_bad_input_is_named_with_its_remedy(run: Run, world: World, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert (world.changes, world.decided, world.known) == ([], [], {})


def test_an_effect_is_decided_on_and_a_refusal_exits_with_4(run: Run, world: World) -> None:
    result = run("effects", "approve", "r-1", "E1", "--reviewer", "bob", "--digest", DIGEST)
    assert result.output == "r-1 E1: approved; it happens when the review is signed; 1 more wait\n"
    ((review, decision, approve),) = world.decided
    assert (review, decision.item, decision.digest, approve) == ("r-1", "E1", DIGEST, True)
    assert run("effects", "decline", "r-1", "E2", "--reviewer", "bob").output.startswith("r-1 E2: declined;")
    world.refuse = DecisionRefused("the decision is for an earlier version of E1", remedy="Look again", rule="stale")
    result = run("effects", "approve", "r-1", "E1", "--reviewer", "bob", "--json")
    assert result.exit_code == 4
    assert json.loads(result.output)["type"] == "DecisionRefused"


def test_counterparties_are_entered_and_listed(run: Run) -> None:
    assert "No counterparty" in run("counterparties", "list").output
    assert run("counterparties", "add", "Halden", "--standing", "watch").output == "Entered: watch\n"
    assert run("counterparties", "add", "Halden").output == "Replaced: approved\n"
    (row,) = json.loads(run("counterparties", "list", "--json").output)
    assert (row["name"], row["standing"]) == ("Halden", "approved")


def test_a_status_shows_what_is_proposed_and_what_to_do_about_it() -> None:
    effects = (
        EffectStanding(item="E1", tool="record_obligation", state=EffectState.DONE, summary="first", approver="bob"),
        EffectStanding(
            item="E2", tool="send_notice", state=EffectState.PENDING, summary="\x1b[2Jsecond", digest=DIGEST
        ),
    )
    screen = console()
    with screen.capture() as captured:
        screen.print(effects_panel(effects))
    output = captured.get()
    assert "by bob" in output
    assert DIGEST[:12] in output
    assert "\x1b[2J" not in output
    status = ReviewStatus(
        review_id="r-1",
        workflow_id="w",
        tenant="acme",
        stage=Stage.SIGN,
        waiting_for="reviewer",
        effects=effects,
    )
    assert next_commands(status, "acme")[0] == "countersign effects approve r-1 E2 --reviewer NAME"


@pytest.mark.parametrize("command", ["tools", "effects", "counterparties"])
def test_help_needs_nothing(command: str) -> None:
    result: Any = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
