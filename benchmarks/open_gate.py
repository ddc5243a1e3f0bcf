"""Limits out of the way: for benchmarks of the machine behind the door."""

from starters.client import ReviewClient

LIFTED = {
    "user_per_hour": 1_000_000,
    "tenant_per_hour": 1_000_000,
    "in_flight": 10_000,
    "in_flight_all": 10_000,
    "attention": 1_000_000,
    "room": 100_000,
    "probe_share": 0,  # who decides for a benchmark reads nothing
}


async def open_gate(client: ReviewClient) -> None:
    """Lift the limits of everyone on the client's stack, as `countersign limits` would."""
    services = await client.services()
    by_hash = services.pseudonyms.of("user", "benchmark")
    await services.limits.change(None, None, LIFTED, by_hash=by_hash, reason="what is measured is not the door")
