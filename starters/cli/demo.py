"""`demo`: three sample contracts on real servers, from submission to signature, told for a newcomer."""

import asyncio
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from countersign.errors import CountersignError
from countersign.words import EffectState, Outcome, Severity, Verdict
from starters.cli.common import Command, emit, json_option, load_settings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status

    from countersign.review.payloads import Finding, ReviewStatus
    from countersign.settings import Settings
    from countersign.trail.trail import TrailCheck
    from starters.client import ReviewClient, Standing

TENANT = "demo"
"""Its own, so that its corrections, costs and limits are nobody else's."""
REQUESTER, FIRST, SECOND = "Dana (sales)", "Ines (legal)", "Omar (legal lead)"
SETTLES_WITHIN_S = 120.0
SHOWN_FINDINGS = 4


class DemoFailed(CountersignError):
    """The demo did not come out as it should; the stack or the installation is at fault."""

    type = "DemoFailed"


@dataclass(frozen=True)
class Case:
    """One sample and how its story goes."""

    file: str
    playbook: str
    ask: str
    expected: Outcome


CASES = (
    Case("nda-clean.md", "nda", "Can we sign this NDA before Friday's call?", Outcome.APPROVED),
    Case("msa-risky.md", "msa", "We are the Customer. Anything we must not sign?", Outcome.AMENDED),
    Case("nda-hostile.md", "nda", "Please review.", Outcome.BLOCKED),
)


@dataclass(frozen=True)
class Told:
    """A review that has come to its end."""

    case: Case
    status: "ReviewStatus"
    check: "TrailCheck"


@dataclass(frozen=True)
class _Teller:
    """Prints with markup, which the console of all commands leaves off because a contract may be hostile.

    So nothing of a document may go through `line`; `show` takes what has been made safe.
    """

    console: "Console"

    def line(self, markup: str) -> None:
        self.console.print(markup, markup=True)

    def show(self, what: "RenderableType") -> None:
        self.console.print(what)

    def chapter(self, title: str, *, centred: bool = True) -> None:
        self.console.rule(title, align="center" if centred else "left")

    def waiting(self, text: str) -> "Status":
        return self.console.status(text)


@click.command("demo", cls=Command)
@json_option
def demo_command(as_json: bool) -> None:
    """Review three sample contracts on real servers: one approved, one amended, one blocked.

    Uses the stack that runs in COUNTERSIGN_HOME, or starts one there for as long as the demo takes. No API key, no
    container, no question; the reviews are kept, as those of the tenant `demo`: `countersign list --tenant demo`.
    """
    started = time.monotonic()
    told = asyncio.run(_demo(load_settings(), as_json=as_json, started=started))
    if as_json:
        emit([{"file": one.case.file, "review": one.status, "trail_verified": one.check.ok} for one in told])
    wrong = [one for one in told if one.status.outcome is not one.case.expected or not one.check.ok]
    if wrong:
        names = ", ".join(one.case.file for one in wrong)
        raise DemoFailed(f"{names}: not the outcome the demo is for", remedy="Run 'countersign doctor'")


@asynccontextmanager
async def _stack(settings: "Settings", say: "_Teller") -> AsyncIterator[None]:
    """The stack that is there already, or one for the length of the demo."""
    from workers.endpoints import supervisor_pid

    if supervisor_pid(settings.state) is not None:
        say.line(f"Using the stack that runs in {settings.home}.")
        yield
        return
    from workers.embedded import EmbeddedStack

    with say.waiting("Starting Temporal, PostgreSQL with pgvector and Valkey ..."):
        stack = EmbeddedStack(settings.state, settings)
        await stack.start()
    try:
        with say.waiting("Starting a worker ..."):
            await stack.run_worker()
        say.line(f"Real servers, from installed packages, state in {settings.home}:")
        say.line(f"  Temporal {stack.endpoints.temporal_address} · PostgreSQL with pgvector · Valkey · one worker\n")
        yield
    finally:
        with say.waiting("Stopping the servers ..."):
            await stack.stop()


async def _demo(settings: "Settings", *, as_json: bool, started: float) -> list[Told]:
    from countersign.settings import ROOT
    from starters.cli.render import console
    from starters.client import ReviewClient

    say = _Teller(console(stderr=as_json))
    say.chapter("Countersign: every decision is earned by evidence or signed by a person")
    async with _stack(settings, say), ReviewClient.open(settings) as client:
        from countersign.review.payloads import ReviewRequest

        services = await client.services()
        # The people of this story read nothing, so there is nothing to test their attention with.
        by_hash = services.pseudonyms.of("user", REQUESTER)
        await services.limits.change(TENANT, None, {"probe_share": 0}, by_hash=by_hash, reason="the demo")
        ids = []
        for case in CASES:
            data = (ROOT / "examples" / case.file).read_bytes()
            request = ReviewRequest(tenant=TENANT, user=REQUESTER, playbook=case.playbook, ask=case.ask)
            taken = await client.submit(data, case.file, request)
            ids.append(taken.review_id)
            say.line(f"{REQUESTER} submits [bold]{case.file}[/] as {taken.review_id}: “{case.ask}”")
        with say.waiting("Reading, screening, four specialist agents in parallel, every quotation verified ..."):
            settled = await asyncio.gather(*(_settled(client, review_id) for review_id in ids))
        told = []
        for case, standing in zip(CASES, settled, strict=True):
            say.chapter(case.file, centred=False)
            _show(say, standing.status)
            await _sign(say, client, case, standing.status)
            final = await _ended(client, standing.status.review_id)
            _, check = await client.trail(TENANT, final.review_id)
            told.append(Told(case, final, check))
        say.chapter("What came of it")
        say.show(_outcomes(told))
        seconds = time.monotonic() - started
        say.line(
            f"In {seconds:.0f} s. The offline model is free and needs no key; COUNTERSIGN_MODEL names a provider's.\n"
            f"Next: [bold]{program()} dev[/] in one terminal, and in another, of these three reviews:"
        )
        for line in next_lines(told[0].status.review_id):
            say.line(f"  [bold]{line}[/]")
    return told


def program() -> str:
    """How this program is called from here: `make demo` runs it from its own environment, which is on no path."""
    return "countersign" if shutil.which("countersign") else shlex.quote(sys.argv[0])


def next_lines(review_id: str) -> tuple[str, ...]:
    """Commands about the demo's reviews, which are its own tenant's, and one about a file of one's own."""
    name = program()
    return (
        f"{name} list --tenant {TENANT}",
        f"{name} trail {review_id} --tenant {TENANT}",
        f"{name} effects obligations --tenant {TENANT}",
        f"{name} submit FILE --wait",
    )


async def _settled(client: "ReviewClient", review_id: str) -> "Standing":
    """Its standing once it has ended or waits for a person."""
    async for standing in client.follow(TENANT, review_id, timeout_s=SETTLES_WITHIN_S):
        if standing.settled:
            return standing
    raise DemoFailed(f"review {review_id} did not settle", remedy="Run 'countersign doctor'")


async def _ended(client: "ReviewClient", review_id: str) -> "ReviewStatus":
    """Its status once it has ended and its last row is written: then the stored status has the outcome."""
    deadline = time.monotonic() + SETTLES_WITHIN_S
    while time.monotonic() < deadline:
        row = await (await client.services()).reviews.row(review_id, tenant=TENANT)
        if row.outcome is not None:
            return (await client.status(TENANT, review_id)).status
        await asyncio.sleep(0.1)
    raise DemoFailed(f"review {review_id} did not end", remedy="Run 'countersign doctor'")


async def _sign(say: "_Teller", client: "ReviewClient", case: Case, status: "ReviewStatus") -> None:
    """The people's part of the story."""
    from countersign.review.payloads import Decision, Edit, EffectDecision

    async def decide(verdict: Verdict, reviewer: str, **fields: Any) -> int:
        decision = Decision(verdict=verdict, reviewer=reviewer, digest=None, **fields)
        receipt = await client.decide(status.tenant, status.review_id, decision)
        return receipt.signatures_missing

    if status.waiting_for is None or status.analysis is None:
        return

    async def approve_effects(reviewer: str) -> None:
        for effect in status.effects:
            given = EffectDecision(item=effect.item, reviewer=reviewer)
            await client.decide_effect(status.tenant, status.review_id, given, approve=True)
        items = ", ".join(effect.item for effect in status.effects)
        if items:
            say.line(f"[green]✔[/] {reviewer} lets {items} happen: bound to these words, this policy, once.")

    if case.expected is Outcome.APPROVED:
        await approve_effects(FIRST)
        missing = await decide(Verdict.APPROVE, FIRST, note="Balanced. Sign.")
        say.line(f"[green]✔[/] {FIRST} has read it and approves.")
    else:
        worst = status.analysis.key_findings[0]
        edit = Edit(action="set", finding_id=worst.id, statement="Liability must be capped at twice the annual fees.")
        missing = await decide(Verdict.AMEND, FIRST, note="Our standing instruction", edits=(edit,))
        say.line(f"[yellow]✎[/] {FIRST} corrects {worst.id} and signs; the correction is remembered for the next one.")
    if missing:
        await approve_effects(SECOND)
        await decide(Verdict.APPROVE, SECOND)
        say.line(f"[green]✔[/] Four eyes: {SECOND} signs the amended version too.")


def _show(say: "_Teller", status: "ReviewStatus") -> None:
    """What the machine found, in a few lines."""
    from starters.cli.render import cell, shortened, table_of

    if status.outcome is Outcome.BLOCKED and status.screening is not None:
        names = sorted({signal.name.replace("_", " ") for signal in status.screening.signals})
        say.line(f"[red]■[/] Blocked before any model saw it: {', '.join(names)}.")
        say.line(f"  Risk {status.screening.risk_score:.2f}; the clause of definitions gives orders to the reviewer.")
        return
    if status.analysis is None:
        return
    findings = status.analysis.key_findings
    counts = Counter(finding.severity for finding in findings)
    summary = ", ".join(f"{counts[severity]} {severity}" for severity in reversed(Severity) if counts[severity])
    took = sum(status.timings_ms.values()) / 1000
    say.line(f"{len(findings)} findings in {took:.1f} s ({summary}), confidence {status.analysis.confidence:.2f}.")
    table = table_of("", "clause", "severity", "quotation, verbatim")
    for finding in findings[:SHOWN_FINDINGS]:
        table.add_row(finding.id, cell(finding.clause), cell(finding.severity), shortened(_evidence(finding), 90))
    say.show(table)
    if status.effects:
        say.line("The agents propose, and nothing happens without a person:")
        proposed = table_of("", "what", "state")
        for effect in status.effects:
            proposed.add_row(effect.item, shortened(effect.summary, 110), cell(effect.state))
        say.show(proposed)
    say.line(f"Route [bold]{status.route}[/]: {'; '.join(status.route_reasons)}.")


def _evidence(finding: "Finding") -> str:
    if finding.evidence:
        return f"“{' '.join(finding.evidence[0].quote.split())}”"
    return f"absent; searched {len(finding.searched)} sections"


def _outcomes(told: list[Told]) -> "RenderableType":
    from starters.cli.render import cell, money, table_of

    colours = {Outcome.APPROVED: "green", Outcome.AMENDED: "yellow", Outcome.BLOCKED: "red"}
    table = table_of("contract", "outcome", "signed by", "done", "trail", "tokens", "cost")
    for one in told:
        status, usage = one.status, one.status.usage
        signers = ", ".join(decision.reviewer for decision in status.decisions) or "-"
        trail = f"{one.check.rows} rows, verified" if one.check.ok else f"broken: {one.check.problem}"
        outcome = cell(status.outcome, colours.get(status.outcome, "") if status.outcome else "")
        tokens = f"{usage.input_tokens + usage.output_tokens:,}"
        done = ", ".join(effect.item for effect in status.effects if effect.state is EffectState.DONE)
        table.add_row(one.case.file, outcome, signers, cell(done), trail, tokens, money(usage.cost_microusd))
    return table
