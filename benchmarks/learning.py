"""Corrections on real contracts: is the same mistake made again, what else changes, and is taking it back exact?

    python benchmarks/learning.py [--quick] [--json] [--data DIR] [--pairs N]

Every pair is two different contracts of CUAD with the same clause. In a tenant of its own: the second is reviewed, the
finding on the first is amended and signed, the second is reviewed again (the mistake must not be made, and the finding
must name the correction), so is a third contract with an unlike clause of the same family, severity and position
(nothing may change), the correction is withdrawn, and the second is reviewed once more: its analysis must be the first
one, byte for byte. Every other pair makes the finding graver instead of milder. Then one person alone lowers a high
finding in three reviews, which must change nothing. Servers and a worker are started in a temporary home.

Exit codes: 0 measured and as promised; 1 not as promised; 2 wrong arguments or no data; 5 the stack does not come up.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contract_runs import forget_other_servers
from benchmarks.intervals import wilson
from benchmarks.learning_cases import LIGHT, Pair, likeness, pairs, scanned
from benchmarks.open_gate import open_gate
from countersign.errors import CountersignError, InvalidRequest, ServiceUnavailable
from countersign.learning.lesson import Event
from countersign.memory.embedding import HashingEmbedder, MiniLmEmbedder, default_embedder
from countersign.playbook.load import load_playbook
from countersign.review.payloads import AnalysisResult, Decision, Edit, Finding, ReviewRequest
from countersign.settings import Settings
from countersign.words import Severity, Verdict
from starters.cli.main import EXIT_CODES
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack

PLAYBOOK = "msa"
CONTRACTS = {True: 40, False: 120}
PAIRS = {True: 5, False: 30}
POISONED = {True: 1, False: 6}
UNLIKE_PAIRS = {True: 100, False: 500}
"""Contracts scanned, pairs reviewed, attacked by one person, and pairs of unlike clauses compared: with `--quick`,
and without."""
AT_ONCE = 3
ATTACKS = 3
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Result:
    """What became of one pair. `spared` is None where no third contract has an unlike clause of the family."""

    pair: Pair
    repeated: bool
    named: bool
    spared: bool | None
    restored: bool


class Reviews:
    """One tenant's reviews on the stack."""

    def __init__(self, client: ReviewClient, tenant: str) -> None:
        self.client = client
        self.tenant = tenant

    async def submit(self, data: bytes) -> tuple[str, AnalysisResult]:
        """The id of a new review of a text, and the analysis that waits for a person."""
        request = ReviewRequest(tenant=self.tenant, user="requester", playbook=PLAYBOOK)
        taken = await self.client.submit(data, "contract.txt", request)
        async for standing in self.client.follow(self.tenant, taken.review_id, timeout_s=TIMEOUT_S):
            status = standing.status
        if status.waiting_for is None or status.analysis is None:
            raise ServiceUnavailable(
                f"a review ended as {status.outcome}, so nothing is measured", remedy="Run `countersign demo`"
            )
        return taken.review_id, status.analysis

    async def look(self, data: bytes) -> AnalysisResult:
        """The analysis of a text; the review is then rejected."""
        review_id, analysis = await self.submit(data)
        await self.client.decide(self.tenant, review_id, Decision(verdict=Verdict.REJECT, reviewer="reader"))
        return analysis

    async def correct(self, data: bytes, clause: str, severity: Severity) -> None:
        """One person changes the severity of the finding on `clause`, and whoever else must sign does."""
        review_id, analysis = await self.submit(data)
        edit = Edit(action="set", finding_id=about(analysis, clause).id, severity=severity)
        decision = Decision(verdict=Verdict.AMEND, reviewer="corrector", edits=(edit,))
        receipt = await self.client.decide(self.tenant, review_id, decision)
        if receipt.outcome is None:
            await self.client.decide(self.tenant, review_id, Decision(verdict=Verdict.APPROVE, reviewer="second"))
        async for _ in self.client.follow(self.tenant, review_id, timeout_s=TIMEOUT_S):
            pass


def about(analysis: AnalysisResult, clause: str) -> Finding:
    """The finding on a clause family."""
    return next(finding for finding in analysis.key_findings if finding.clause == clause)


def without_ids(analysis: AnalysisResult, clause: str) -> list[dict[str, object]]:
    """The findings on the other clauses, as they read."""
    rows = [finding.model_dump(exclude={"id"}) for finding in analysis.key_findings if finding.clause != clause]
    return sorted(rows, key=str)


async def taught(client: ReviewClient, number: int, pair: Pair) -> Result:
    """The story of one pair."""
    reviews = Reviews(client, f"pair-{number}")
    after = Severity.INFO if number % 2 == 0 else Severity.HIGH
    first = await reviews.look(pair.target)
    unlike = await reviews.look(pair.unlike) if pair.unlike else None
    await reviews.correct(pair.source, pair.clause, after)
    second = await reviews.look(pair.target)
    spared = None if unlike is None or pair.unlike is None else await reviews.look(pair.unlike) == unlike
    corrections = (await client.services()).corrections
    made = [one for one in await corrections.lessons(reviews.tenant) if one.clause == pair.clause]
    for lesson in made:
        await corrections.record(lesson.correction_id, Event.WITHDRAWN, by="corrector", reason="benchmark")
    third = await reviews.look(pair.target)
    finding = about(second, pair.clause)
    return Result(
        pair=pair,
        repeated=finding.severity is not after,
        named=finding.corrections == tuple(lesson.correction_id for lesson in made)
        and without_ids(first, pair.clause) == without_ids(second, pair.clause),
        spared=spared,
        restored=third.model_dump_json().encode() == first.model_dump_json().encode(),
    )


async def attacked(client: ReviewClient, number: int, pair: Pair) -> bool:
    """Whether one person who lowers a high finding again and again changes what the next contract is told."""
    reviews = Reviews(client, f"attack-{number}")
    first = await reviews.look(pair.target)
    for _ in range(ATTACKS):
        await reviews.correct(pair.source, pair.clause, Severity.INFO)
    return await reviews.look(pair.target) != first


async def run(chosen: Sequence[Pair], grave: Sequence[Pair], home: Path) -> tuple[list[Result], list[bool]]:
    """Every pair on a new stack in `home`."""
    settings = Settings(home=home)
    async with EmbeddedStack(home, settings) as stack, ReviewClient.open(settings) as client:
        await open_gate(client)
        await stack.run_worker()
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, pair: Pair) -> Result:
            async with slots:
                return await taught(client, number, pair)

        async def attack(number: int, pair: Pair) -> bool:
            async with slots:
                return await attacked(client, number, pair)

        results = await asyncio.gather(*(one(number, pair) for number, pair in enumerate(chosen)))
        return results, await asyncio.gather(*(attack(number, pair) for number, pair in enumerate(grave)))


def report(results: Sequence[Result], attacks: Sequence[bool]) -> dict[str, object]:
    """The figures, shares in [0, 1] with 95 % Wilson intervals."""
    n, avoided = len(results), sum(not result.repeated for result in results)
    judged = [result.spared for result in results if result.spared is not None]
    return {
        "pairs": n,
        "natural": sum(result.pair.kind == "natural" for result in results),
        "families": len({result.pair.clause for result in results}),
        "avoided": avoided,
        "avoided_share": round(avoided / n, 4),
        "avoided_interval": [round(bound, 4) for bound in wilson(avoided, n)],
        "named": sum(result.named for result in results),
        "unlike": len(judged),
        "unlike_changed": sum(not spared for spared in judged),
        "restored_exactly": sum(result.restored for result in results),
        "attacks": len(attacks),
        "attacks_that_changed_something": sum(attacks),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print the figures, with `--json` as one JSON object in the last line too."""
    settings = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few pairs, under 60 seconds")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument("--data", type=Path, default=settings.data, help="default: COUNTERSIGN_DATA")
    parser.add_argument("--pairs", type=int, metavar="N", help="at most N pairs")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        playbook = load_playbook(settings.playbooks, PLAYBOOK)
        contracts = scanned(options.data, playbook, CONTRACTS[options.quick])
        if not contracts:
            raise InvalidRequest(f"There are no texts in {options.data}/cuad", remedy="Set COUNTERSIGN_DATA")
        chosen = pairs(contracts, playbook, LIGHT, options.pairs or PAIRS[options.quick])
        grave = pairs(contracts, playbook, (Severity.HIGH,), POISONED[options.quick])
        forget_other_servers()
        with tempfile.TemporaryDirectory(prefix="countersign-learning-", ignore_cleanup_errors=True) as home:
            results, attacks = asyncio.run(run(chosen, grave, Path(home)))
    except CountersignError as error:
        print(f"learning.py: {error}", file=sys.stderr)
        return EXIT_CODES.get(error.type, 1)
    embedders = [HashingEmbedder(), MiniLmEmbedder.installed()]
    figures = report(results, attacks) | {
        "embedder": default_embedder().name,
        "likeness": [likeness(contracts, embedder, UNLIKE_PAIRS[options.quick]) for embedder in embedders if embedder],
        "contracts": len(contracts),
        "cores": os.cpu_count(),
        "seconds": round(time.monotonic() - began, 1),
    }
    for name, value in figures.items():
        print(f"{name:32} {value}")
    for result in results:
        if result.repeated or not result.named or not result.restored or result.spared is False:
            print(f"not as promised: {result.pair.kind}, {result.pair.clause}", file=sys.stderr)
    if options.json:
        print(json.dumps(figures))
    kept = figures["restored_exactly"] == len(results) and not any(attacks) and figures["unlike_changed"] == 0
    return 0 if kept else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # As the command line does: an interpreter that used the Temporal client can crash while it shuts down.
    os._exit(code)
