"""Trail and ledger: appended once, never changed, tampering found, purged only when expired."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from helpers.store import AT, KEY, PSEUDONYMS, dump, entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from countersign.errors import InvalidRequest
from countersign.ledger.ledger import Ledger
from countersign.review.payloads import AgentMetrics, ReviewKey, TrailEntry, Usage
from countersign.store.database import Database
from countersign.trail.trail import AuditTrail, TrailConflict

if TYPE_CHECKING:
    pass


async def append(trail: AuditTrail, *entries: TrailEntry) -> None:
    for one in entries:
        await trail.append(KEY, one, user_hash="p1:u", input_hash="ab")


async def test_a_trail_row_is_written_once_with_pseudonyms_and_expiry(db: Database) -> None:
    trail = AuditTrail(db, PSEUDONYMS, retention_days=2555)
    decision = entry(2, "decision", actor="Ann Smith", facts={"verdict": "approve", "risk": 1e16, "share": 0.25})
    await append(trail, entry(1), decision)
    await asyncio.gather(*(append(trail, entry(1), decision, entry(3)) for _ in range(6)))
    first, second, _ = await trail.rows(KEY.workflow_id)
    assert (first.sequence, first.created_at, first.expires_at) == (1, AT, AT + timedelta(days=2555))
    assert second.actor_hash == PSEUDONYMS.of("user", "Ann Smith")
    assert second.facts == {"verdict": "approve", "risk": 10**16, "share": 0.25}
    assert "Smith" not in await dump(db)
    assert (await trail.verify(KEY.workflow_id)).ok
    assert await trail.rows("review-acme-other") == ()

    # A new retention changes neither what is written nor whether a retry is the same.
    await append(AuditTrail(db, PSEUDONYMS, retention_days=10), entry(1))
    assert (await trail.rows(KEY.workflow_id))[0] == first


async def test_a_search_finds_a_tenants_rows_by_all_that_is_given(db: Database) -> None:
    trail = AuditTrail(db, PSEUDONYMS, retention_days=10)
    await append(trail, entry(1), entry(2, "decided", actor="Ann", at=AT + timedelta(hours=2)))
    other = ReviewKey(tenant="acme", review_id="r-2", workflow_id="w-2")
    elsewhere = ReviewKey(tenant="other", review_id="r-1", workflow_id="w-3")
    for key in (other, elsewhere):
        await trail.append(key, entry(1, at=AT + timedelta(hours=1)), user_hash="p1:v", input_hash="ab")

    async def found(**asked: Any) -> list[tuple[str, int]]:
        return [(row.workflow_id, row.sequence) for row in await trail.find("acme", **asked)]

    decided, read, second = (KEY.workflow_id, 2), (KEY.workflow_id, 1), ("w-2", 1)
    assert await found() == [decided, second, read]
    assert await found(limit=1) == [decided]
    assert await found(review_id="r-2") == [second]
    assert await found(event="decided") == [decided]
    assert await found(person=PSEUDONYMS.of("user", "Ann")[:11]) == [decided]
    assert await found(person="p1:v") == [second]
    assert await found(since=AT + timedelta(hours=1)) == [decided, second]
    assert await found(event="decided", review_id="r-2") == []


async def test_other_content_gaps_and_foreign_rows_are_refused(db: Database) -> None:
    trail = AuditTrail(db, PSEUDONYMS, retention_days=1)
    with pytest.raises(TrailConflict, match="row 2 comes before row 1"):
        await append(trail, entry(2))
    await append(trail, entry(1))
    for other in (entry(1, "screened"), entry(1, facts={"n": 1}), entry(1, at=AT + timedelta(seconds=1))):
        with pytest.raises(TrailConflict, match="row 1 is already there"):
            await append(trail, other)
    with pytest.raises(TrailConflict, match="row 0 comes before row -1"):
        await append(trail, entry(0))
    with pytest.raises(InvalidRequest, match="time zone"):
        await append(trail, entry(2, at=AT.replace(tzinfo=None)))
    assert (await trail.verify(KEY.workflow_id)).rows == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trails SET event = 'x'",
        "DELETE FROM audit_trails",
        "TRUNCATE audit_trails",
        "UPDATE ledger SET cost_microusd = 0",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
    ],
)
async def test_the_database_refuses_to_change_records(db: Database, statement: str) -> None:
    await append(AuditTrail(db, PSEUDONYMS, retention_days=100_000), entry(1))
    await Ledger(db).record(KEY, AgentMetrics(call_id="1", agent="a", model="m"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await db.execute(statement)
    async with db.connection() as connection:
        await connection.execute("SET countersign.purge_before = 'infinity'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        ("UPDATE audit_trails SET facts = '{\"risk\": 0}' WHERE sequence = 2", "row 2 was changed"),
        ("UPDATE audit_trails SET row_hash = repeat('0', 64) WHERE sequence = 3", "row 3 was changed"),
        ("DELETE FROM audit_trails WHERE sequence = 2", "row 2 is missing"),
        ("DELETE FROM audit_trails WHERE sequence = 1", "row 1 is missing"),
        ("UPDATE audit_trails SET created_at = created_at - interval '1 day' WHERE sequence = 1", "row 1 was changed"),
    ],
)
async def test_a_superuser_who_tampers_is_found_out(db: Database, tampering: str, problem: str) -> None:
    trail = AuditTrail(db, PSEUDONYMS, retention_days=1)
    await append(trail, *(entry(number, facts={"risk": 0.9}) for number in (1, 2, 3, 4)))
    await db.execute("ALTER TABLE audit_trails DISABLE TRIGGER USER")
    await db.execute(tampering)
    check = await trail.verify(KEY.workflow_id)
    assert not check.ok
    assert check.problem is not None
    assert check.problem.startswith(problem)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40), max_size=5))
def test_any_number_among_the_facts_verifies_after_a_stay_in_the_database(url: str, numbers: list[float]) -> None:
    async def there_and_back() -> bool:
        db = await Database.open(url, max_size=1)
        trail = AuditTrail(db, PSEUDONYMS, retention_days=1)
        key = KEY.model_copy(update={"workflow_id": os.urandom(8).hex()})
        await trail.append(key, entry(1, facts={"numbers": numbers}), user_hash="u", input_hash="i")
        check = await trail.verify(key.workflow_id)
        await db.close()
        return check.ok and check.rows == 1

    assert asyncio.run(there_and_back())


async def test_only_trails_that_expired_as_a_whole_are_purged(db: Database) -> None:
    trail = AuditTrail(db, PSEUDONYMS, retention_days=1)
    now = datetime.now(UTC)
    for name, ages in {"old": (9, 8), "straddling": (9, 0), "new": (0, 0)}.items():
        key = KEY.model_copy(update={"workflow_id": name})
        for sequence, days in enumerate(ages, 1):
            aged = entry(sequence, at=now - timedelta(days=days))
            await trail.append(key, aged, user_hash="u", input_hash="i")
    assert await trail.purge_expired(now - timedelta(days=30)) == 0
    assert await trail.purge_expired(now + timedelta(days=30)) == 2, "the database's clock counts, too"
    assert await trail.purge_expired(now) == 0
    assert await trail.rows("old") == ()
    for name in ("straddling", "new"):
        assert await trail.verify(name) == (await trail.verify(name)).model_copy(update={"ok": True, "rows": 2})


async def test_a_call_is_entered_once_and_summed(db: Database) -> None:
    ledger = Ledger(db)
    assert await ledger.settle(KEY) == Usage()
    call = AgentMetrics(
        call_id="liability:1",
        agent="liability",
        model="m",
        requests=2,
        input_tokens=100,
        output_tokens=10,
        cost_microusd=7,
    )
    other = call.model_copy(update={"call_id": "parties:1", "agent": "parties", "priced": False, "cost_microusd": 0})
    for _ in range(2):
        await ledger.record(KEY, call)
    await ledger.record(KEY, call.model_copy(update={"execution_time_ms": 9}))
    await ledger.record(KEY, other)
    await ledger.record(KEY.model_copy(update={"tenant": "other", "workflow_id": "w2"}), call)
    assert await ledger.settle(KEY) == Usage(
        requests=4, input_tokens=200, output_tokens=20, cost_microusd=7, unpriced_calls=1
    )
    assert [(row.tenant, row.agent, row.calls, row.cost_microusd) for row in await ledger.costs()] == [
        ("acme", "liability", 1, 7),
        ("acme", "parties", 1, 0),
        ("other", "liability", 1, 7),
    ]
    assert [row.tenant for row in await ledger.costs(tenant="other")] == ["other"]
    assert await ledger.costs(since=datetime.now(UTC) + timedelta(minutes=1)) == ()
