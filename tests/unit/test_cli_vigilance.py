"""`vigilance`: catch rates by reviewer, with their intervals; and what a reviewer is told after a decision."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner, Result

from countersign.review.payloads import Decision, Receipt
from countersign.settings import Settings
from countersign.words import Outcome, Stage
from starters.cli.main import cli

ROWS = [
    {"tenant": "acme", "reviewer": "p1:" + "a" * 32, "probes": 10, "caught": 7},
    {"tenant": "acme", "reviewer": "p1:" + "b" * 32, "probes": 1, "caught": 0},
]
NOTICE = "F2 was a vigilance probe, a finding known to be wrong, and you caught it"


@dataclass
class World:
    """A client, its services and their database, as far as the commands ask."""

    rows: list[dict[str, Any]] = field(default_factory=lambda: list(ROWS))
    settings: Settings = field(default_factory=Settings)
    counted: bool = True

    @property
    def db(self) -> "World":
        return self

    async def services(self) -> "World":
        return self

    async def fetch(self, sql: str, event: str, tenant: str | None) -> list[dict[str, Any]]:
        assert event == "probed"
        return [row for row in self.rows if tenant in (None, row["tenant"])]

    async def decide(self, tenant: str, review_id: str, decision: Decision) -> Receipt:
        return Receipt(
            review_id=review_id, stage=Stage.SIGN, outcome=Outcome.APPROVED, notice=NOTICE, counted=self.counted
        )


def run(world: World, *arguments: str) -> Result:
    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncIterator[World]:
        yield world

    return CliRunner().invoke(cli, arguments, obj=opened)


def test_rates_are_shown_with_their_intervals() -> None:
    first, second = json.loads(run(World(), "vigilance", "--json").output)
    assert (first["rate"], round(first["low"], 3), round(first["high"], 3)) == (0.7, 0.397, 0.892)
    assert (second["rate"], second["low"]) == (0.0, 0.0)
    shown = " ".join(run(World(), "vigilance").output.split())
    assert "10 7 70% 40% to 89%" in shown
    assert "a" * 32 not in shown
    assert run(World(), "vigilance", "--tenant", "other").output.strip() == "No probe was decided on yet."


def test_a_reviewer_is_told_after_the_decision() -> None:
    told = run(World(), "approve", "r-1", "--reviewer", "bob")
    assert told.exit_code == 0
    assert NOTICE in told.output
    assert json.loads(run(World(), "approve", "r-1", "--reviewer", "bob", "--json").stdout)["notice"] == NOTICE


def test_a_decision_that_must_be_given_again_is_no_success() -> None:
    again = run(World(counted=False), "reject", "r-1", "--reviewer", "bob")
    assert again.exit_code == 4
    assert NOTICE in again.output
    refused = run(World(counted=False), "reject", "r-1", "--reviewer", "bob", "--json")
    assert json.loads(refused.stderr)["type"] == "DecisionRefused"
