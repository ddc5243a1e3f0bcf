"""`countersign dev --provider-lab`: a whole review, priced, and entered as the provider billed it."""

from collections.abc import Iterator

import pytest
from helpers.lab import CLAUDE, GPT, LabHandle
from helpers.stack import EXAMPLES, MACHINE, Dev, running_dev
from provider_lab.record import Bill
from provider_lab.script import Rule

ASKS = ("submit", str(EXAMPLES / "nda-clean.md"), "--wait", "--json")


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[Dev, LabHandle]]:
    with running_dev("--provider-lab", "--no-gateway") as dev:
        yield dev, LabHandle(dev.described["provider_lab"])


def totals(bills: list[Bill]) -> dict[str, int]:
    return {
        "requests": len(bills),
        "input_tokens": sum(bill.tokens.input for bill in bills),
        "output_tokens": sum(bill.tokens.output for bill in bills),
    }


def test_a_review_reaches_a_person_and_costs_what_the_provider_billed(stack: tuple[Dev, LabHandle]) -> None:
    dev, lab = stack
    assert "lab" in dev.described["pids"]
    review = dev.cli(*ASKS, "--id", "priced", "--tenant", "acme").json
    assert (review["stage"], review["waiting_for"]) == ("sign", "reviewer")
    assert dev.trail("priced") == [*MACHINE, "gate:proposed", "sign:waiting"]
    costs = dev.cli("costs", "--tenant", "acme", "--json").json
    assert {row["model"] for row in costs["rows"]} == {f"anthropic:{CLAUDE}"}
    assert all(row["cost_microusd"] > 0 for row in costs["rows"])
    assert costs["total"]["unpriced_calls"] == costs["total"]["failed_calls"] == 0
    billed = totals(lab.billed)
    assert {name: costs["total"][name] for name in billed} == billed
    assert {seen.agent for seen in lab.requests} == {"intent", "plan", "specialist", "reconcile"}
    assert {seen.outcome for seen in lab.requests} == {"answered"}


def test_when_one_provider_is_overloaded_the_other_one_answers(stack: tuple[Dev, LabHandle]) -> None:
    dev, lab = stack
    lab.reset()
    lab.script(Rule(provider="anthropic", do="error", status=529))
    review = dev.cli(*ASKS, "--id", "overloaded", "--tenant", "other").json
    assert (review["stage"], review["waiting_for"]) == ("sign", "reviewer")
    costs = dev.cli("costs", "--tenant", "other", "--json").json
    assert {row["model"] for row in costs["rows"]} == {f"openai:{GPT}"}
    assert costs["total"]["cost_microusd"] > 0
    assert costs["total"]["unpriced_calls"] == 0
    billed = totals(lab.billed)
    assert {name: costs["total"][name] for name in billed} == billed
    assert {bill.provider for bill in lab.billed} == {"openai"}
    refused = [seen for seen in lab.requests if seen.outcome == "refused"]
    assert len(refused) == len(lab.billed), "each call tries the first model once: no client retries by itself"
