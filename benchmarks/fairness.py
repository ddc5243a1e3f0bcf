"""One tenant with 90 % of the load: how evenly are demanding tenants served, and how long does a light one wait?

    python benchmarks/fairness.py [--light 30] [--demanding 15] [--quick] [--json]

On an embedded stack of its own with one worker. First a light tenant alone, one review every few seconds; then the
same while another tenant keeps a backlog of many times as much; then five demanding tenants at once, one of them with
90 % of what all submit. `wait` runs from acceptance to dispatch (its turn has come), `turnaround` until it waits for a
person: the first is what the front gate decides, the second also what a busy machine costs everybody.

Exit codes: 0 measured; 2 wrong arguments; 5 the servers do not come up.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contract_runs import forget_other_servers
from benchmarks.spike import PLAYBOOK, jain, quantile
from countersign.errors import CountersignError, ServiceUnavailable
from countersign.review.payloads import ReviewRequest
from countersign.settings import ROOT, Settings
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack

CONTRACT = ROOT / "examples" / "nda-clean.md"
LIGHT, HEAVY = "light", "heavy"
EVERY_S = 3.0
"""Seconds between two submissions of the light tenant."""
BACKLOG = 60
"""Waiting reviews that the heavy tenant keeps up."""
SHARE = 9
"""The flooding tenant submits this many times what all others submit together: 90 % of the load."""


@dataclass(frozen=True)
class Waits:
    """Seconds of the light tenant's reviews."""

    n: int
    wait_p50: float
    wait_p95: float
    turnaround_p50: float
    turnaround_p95: float


@dataclass(frozen=True)
class Figures:
    """Jain's index with how many tenants and reviews it rests on, and the light tenant's waits."""

    jain: float | None
    demanding: int
    served: int
    alone: Waits
    crowded: Waits
    wait_ratio_p95: float
    turnaround_ratio_p95: float


async def submit(client: ReviewClient, tenant: str, count: int) -> list[str]:
    """Submit so many reviews of one tenant, ten at a time; their ids."""
    data = CONTRACT.read_bytes()
    slots = asyncio.Semaphore(10)

    async def one() -> str:
        async with slots:
            request = ReviewRequest(tenant=tenant, user="benchmark", playbook=PLAYBOOK)
            return (await client.submit(data, CONTRACT.name, request)).review_id

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def ended(client: ReviewClient, tenant: str, count: int) -> None:
    """Return once `count` reviews of the tenant wait for a person or have ended."""
    db = (await client.services()).db
    async with asyncio.timeout(1800):
        while True:
            row = await db.fetchrow(
                "SELECT count(*) AS n FROM reviews WHERE tenant = $1 AND coalesce(outcome, waiting_for) IS NOT NULL",
                tenant,
            )
            if row is not None and row["n"] >= count:
                return
            await asyncio.sleep(0.2)


async def light_load(client: ReviewClient, tenant: str, count: int) -> Waits:
    """The light tenant's reviews, one every few seconds, and what they waited."""
    for _ in range(count):
        await submit(client, tenant, 1)
        await asyncio.sleep(EVERY_S)
    await ended(client, tenant, count)
    rows = await (await client.services()).db.fetch(
        "SELECT extract(epoch FROM dispatched_at - submitted_at)::float8 AS wait, "
        "extract(epoch FROM t.created_at - submitted_at)::float8 AS turnaround "
        "FROM reviews r JOIN audit_trails t USING (workflow_id) WHERE r.tenant = $1 AND t.event = 'waiting'",
        tenant,
    )
    wait, turnaround = (sorted(row[name] for row in rows) for name in ("wait", "turnaround"))
    return Waits(
        len(rows), *(round(share_of(values, share), 3) for values in (wait, turnaround) for share in (0.5, 0.95))
    )


def share_of(ordered: Sequence[float], share: float) -> float:
    """A quantile in seconds, to the millisecond."""
    return quantile([value * 1000 for value in ordered], share) / 1000


async def keep_backlog(client: ReviewClient) -> None:
    """Until cancelled: as many of the heavy tenant's reviews waiting as it takes to be always the one in front."""
    db = (await client.services()).db
    while True:
        row = await db.fetchrow(
            "SELECT count(*) AS n FROM reviews WHERE tenant = $1 AND dispatched_at IS NULL AND outcome IS NULL", HEAVY
        )
        if row is not None and row["n"] < BACKLOG:
            await submit(client, HEAVY, BACKLOG - row["n"])
        await asyncio.sleep(0.5)


async def measure(light: int, demanding: int) -> Figures:
    """All three phases on one stack."""
    with tempfile.TemporaryDirectory(prefix="countersign-fair-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        settings = Settings(home=folder / "home")
        async with EmbeddedStack(settings.state, settings) as stack, ReviewClient.open(settings) as client:
            await stack.run_worker()
            services = await client.services()
            await services.limits.change(
                None,
                None,
                {"user_per_hour": 1_000_000, "tenant_per_hour": 1_000_000, "room": 10_000, "attention": 1_000_000},
                by_hash="benchmark",
                reason="fairness",
            )
            others = [f"demanding-{number}" for number in range(4)]
            flood = "flood"
            await submit(client, "warm", 20)
            await ended(client, "warm", 20)
            alone = await light_load(client, LIGHT, light)
            crowd = asyncio.create_task(keep_backlog(client))
            await asyncio.sleep(5)
            crowded = await light_load(client, f"{LIGHT}-crowded", light)
            crowd.cancel()
            await services.db.execute(
                "UPDATE reviews SET outcome = 'overloaded' WHERE tenant = $1 AND dispatched_at IS NULL", HEAVY
            )
            await submit(client, flood, SHARE * demanding * len(others))
            await asyncio.gather(*(submit(client, tenant, demanding) for tenant in others))
            for tenant in others:
                await ended(client, tenant, demanding)
            rows = await services.db.fetch(
                "SELECT tenant, submitted_at, dispatched_at FROM reviews "
                "WHERE dispatched_at IS NOT NULL AND tenant = ANY($1)",
                [flood, *others],
            )
            index, tenants = jain([(row["tenant"], row["submitted_at"], row["dispatched_at"]) for row in rows])
    if alone.wait_p95 == 0 or alone.turnaround_p95 == 0:
        raise ServiceUnavailable("a wait of nothing cannot be compared with", remedy="Run it again")
    return Figures(
        jain=index,
        demanding=tenants,
        served=len(rows),
        alone=alone,
        crowded=crowded,
        wait_ratio_p95=round(crowded.wait_p95 / alone.wait_p95, 2),
        turnaround_ratio_p95=round(crowded.turnaround_p95 / alone.turnaround_p95, 2),
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--light", type=int, default=30, help="reviews of the light tenant, in each phase")
    parser.add_argument("--demanding", type=int, default=15, help="reviews of each of the four other demanding tenants")
    parser.add_argument("--quick", action="store_true", help="8 and 6")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    given = parser.parse_args()
    light, demanding = (8, 6) if given.quick else (given.light, given.demanding)
    if light < 1 or demanding < 5:
        parser.error("--light must be at least 1 and --demanding at least 5")
    forget_other_servers()
    try:
        found = asyncio.run(measure(light, demanding))
    except CountersignError as error:
        print(f"fairness: {error}", file=sys.stderr)
        return 5
    print(f"Jain index {found.jain} over {found.demanding} demanding tenants, {found.served} reviews served")
    for name, waits in (("alone", found.alone), ("beside a flood", found.crowded)):
        print(
            f"light tenant {name} (n = {waits.n}): wait p50 {waits.wait_p50} s, p95 {waits.wait_p95} s; "
            f"turnaround p50 {waits.turnaround_p50} s, p95 {waits.turnaround_p95} s"
        )
    print(f"ratio of p95: wait {found.wait_ratio_p95}, turnaround {found.turnaround_ratio_p95}")
    if given.json:
        print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
