"""A review whose only provider is away: for half an hour, for good, and refusing its key."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from helpers.contracts import nda
from helpers.lab import LabHandle, lab_thread
from helpers.stack import TEST_PLAYBOOKS
from helpers.world import World
from provider_lab.script import Rule

from countersign.breaker.circuits import Circuits
from countersign.breaker.words import Permit, Result, Standing
from countersign.errors import CircuitOpen
from countersign.words import Outcome, Route, Verdict
from workflows import options

OUTAGE = timedelta(minutes=30)
PROBE_S = 45.0


class Outage(Circuits):
    """Every circuit is open until it is over. The world's time is skipped, Redis's is not."""

    def __init__(self) -> None:
        self.over = False
        self.asked = 0

    async def look(self, name: str) -> Standing | None:
        """Only who asks is told."""
        return None

    async def admit(self, name: str) -> Permit:
        self.asked += 1
        if not self.over:
            raise CircuitOpen(f"circuit {name}: is open", retry_after_s=PROBE_S)
        return Permit(name, "t", False, 0.0)

    async def beat(self, permit: Permit) -> None:
        """Nobody listens."""

    async def done(self, permit: Permit, result: Result) -> None:
        """Nobody listens."""


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHandle]:
    with lab_thread(TEST_PLAYBOOKS) as running:
        yield running


@pytest.fixture
def outage(world: World, lab: LabHandle, monkeypatch: pytest.MonkeyPatch) -> Outage:
    """The lab is every agent's only provider, and its circuit is open."""
    lab.reset()
    circuits = Outage()
    monkeypatch.setitem(world.services.__dict__, "circuits", circuits)  # the dataclass is frozen
    model = lab.anthropic()
    monkeypatch.setattr("activities.agents.resolve_model", lambda *_: model)
    return circuits


async def test_half_an_hour_is_waited_for_and_leaves_no_trace(world: World, lab: LabHandle, outage: Outage) -> None:
    handle = await world.start("review-acme-outage", text=nda())
    await world.env.sleep(OUTAGE)
    assert outage.asked > OUTAGE.total_seconds() / 60 / 2
    assert lab.requests == []
    outage.over = True
    await world.env.sleep(timedelta(seconds=60))
    status = await world.until_signing(handle)
    assert (status.degraded, status.route) == ((), Route.REVIEW)
    assert status.analysis is not None
    assert status.analysis.confidence > 0
    assert status.usage.requests == len(lab.billed)
    await world.decide(handle, Verdict.APPROVE, "bob")
    assert (await handle.result()).outcome is Outcome.APPROVED
    rows = await world.services.db.fetch("SELECT FROM agent_runs WHERE workflow_id = $1", handle.id)
    assert rows == [], "nothing is kept of a settled review's runs"


async def test_when_nothing_comes_back_a_person_gets_what_is_known(
    world: World, lab: LabHandle, outage: Outage
) -> None:
    handle = await world.start("review-acme-gone", text=nda())
    patience, hurried = options.AGENT["schedule_to_close_timeout"], options.HURRIED["schedule_to_close_timeout"]
    assert patience is not None
    assert hurried is not None
    # The first step waits in vain; plan, specialists and conclusion after it have less time each, not as long again.
    await world.env.sleep(patience + 3 * hurried)
    status = await world.until_signing(handle)
    assert lab.requests == []
    assert {"intent", "planner", "specialist term", "specialist data"} <= set(status.degraded)
    assert "conclusion: no model answered" in status.degraded
    assert status.analysis is not None
    assert (status.route, status.analysis.confidence) == (Route.REVIEW, 0.0)
    await world.decide(handle, Verdict.REJECT, "bob")
    assert (await handle.result()).outcome is Outcome.REJECTED


async def test_a_wrong_key_sends_the_review_to_a_person_at_once(world: World, lab: LabHandle, outage: Outage) -> None:
    outage.over = True
    lab.script(Rule(do="error", status=401))
    handle = await world.start("review-acme-key", text=nda())
    status = await world.until_signing(handle)
    assert {"intent", "planner", "conclusion: ModelRejected"} <= set(status.degraded)
    assert len(lab.requests) == 5, "one request an agent: intent, plan, two specialists, conclusion"
    await world.decide(handle, Verdict.REJECT, "bob")
    assert (await handle.result()).outcome is Outcome.REJECTED
