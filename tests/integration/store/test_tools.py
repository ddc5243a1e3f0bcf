"""Tools on real PostgreSQL: rules with their history, shared counts, rows, counterparties, effects done once."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from chaos.approvals import Crash, Memory, Schedule, proposed
from helpers.store import KEY, MARK, PSEUDONYMS, VAULT, admitted, dump

from countersign.errors import InvalidRequest, NotFound
from countersign.playbook.load import load_playbook
from countersign.review.payloads import EffectApproval, ReviewKey
from countersign.review.steps import EffectOrder, EffectResult
from countersign.settings import ROOT
from countersign.store.counterparties import CounterpartyBook, plain_name
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.effects import EffectStore, Notice
from countersign.store.tool_calls import ToolCalls, ToolCounts
from countersign.store.tool_rules import ToolRules
from countersign.tools.approval import InForce, objection
from countersign.tools.digests import args_digest
from countersign.tools.names import CHECK_DATE, RECORD_OBLIGATION, SEND_NOTICE
from countersign.tools.policy import ToolPolicy
from countersign.tools.ports import CallRow
from countersign.words import EffectState, ToolVerdict
from workers.outbox import put

BY: dict[str, Any] = {"by_hash": "p1:by", "reason": "because"}
NDA = load_playbook(ROOT / "playbooks", "nda")
AT = datetime(2026, 3, 4, tzinfo=UTC)


def store(db: Database) -> EffectStore:
    return EffectStore(db, VAULT, ToolRules(db))


def order(number: int = 1, *, approval: str | None = None, **args: Any) -> EffectOrder:
    effect = proposed()[number - 1]
    if args:
        changed = {**effect.args, **args}
        effect = effect.model_copy(update={"args": changed, "args_digest": args_digest(effect.tool, changed)})
    given = None
    if approval is not None:
        given = EffectApproval(
            approval_id=approval,
            review_id="r-1",
            item=effect.id,
            version=1,
            args_digest=effect.args_digest,
            evidence_digest="",
            policy_version="",
            approver="bob",
            at=AT,
            expires_at=AT + timedelta(days=1),
        )
    return EffectOrder(effect=effect, version=1, approval=given)


async def execute(effects: EffectStore, given: EffectOrder, against: tuple[str, str] | None = None) -> EffectResult:
    return await effects.execute(KEY, given, playbook=NDA, approver_hash="p1:bob", objection=lambda policy, at: against)


# --- rules ---


async def test_rules_are_data_with_a_history(db: Database) -> None:
    rules = ToolRules(db)
    assert await rules.change(None, SEND_NOTICE, ToolVerdict.DENY, **BY)
    assert await rules.change("acme", SEND_NOTICE, ToolVerdict.NEEDS_APPROVAL, role="risk", **BY)
    assert not await rules.change("acme", SEND_NOTICE, ToolVerdict.NEEDS_APPROVAL, role="risk", **BY)
    assert len((await rules.policy("acme")).rules) == 2
    assert len((await rules.policy("other")).rules) == 1
    assert await rules.change(None, SEND_NOTICE, None, **BY)
    changes = [(row.tenant, row.before, row.after) for row in await rules.history()]
    assert changes == [
        ("", ToolVerdict.DENY, None),
        ("acme", None, ToolVerdict.NEEDS_APPROVAL),
        ("", None, ToolVerdict.DENY),
    ]
    for statement in ("UPDATE tool_rule_changes SET reason = 'x'", "DELETE FROM tool_rule_changes"):
        with pytest.raises(asyncpg.PostgresError):
            await db.execute(statement)


async def test_what_cannot_be_a_rule_is_refused(db: Database) -> None:
    rules = ToolRules(db)
    with pytest.raises(InvalidRequest, match=r"^tool: "):
        await rules.change(None, "wire_money", ToolVerdict.ALLOW, **BY)
    with pytest.raises(InvalidRequest, match="only reads"):
        await rules.change(None, CHECK_DATE, ToolVerdict.NEEDS_APPROVAL, **BY)
    with pytest.raises(InvalidRequest, match=r"^reason: "):
        await rules.change(None, CHECK_DATE, ToolVerdict.DENY, by_hash="p1:by", reason=" ")
    assert await rules.history() == ()


# --- counts and rows ---


async def test_counts_are_exact_however_many_ask_at_once(db: Database) -> None:
    counts = ToolCounts(db)
    granted = await asyncio.gather(*(counts.review("w-1", 7) for _ in range(30)))
    assert sum(granted) == 7
    rated = await asyncio.gather(*(counts.rate("acme", CHECK_DATE, 5) for _ in range(20)))
    assert sum(rated) in {5, 10}  # 10 where a minute ended in between
    assert await counts.review("w-2", 1)
    assert not await counts.review("w-3", 0)


async def test_a_row_holds_no_argument_and_cannot_be_changed(db: Database) -> None:
    calls = ToolCalls(db, PSEUDONYMS, KEY)
    digest = calls.digest("look_up_counterparty", {"name": MARK})
    await calls.write("analyse:risk", CallRow("look_up_counterparty", "c-1", digest, "ran", 3, 40))
    (row,) = await calls.rows()
    assert (row.tool, row.verdict, row.args_digest) == ("look_up_counterparty", "ran", digest)
    assert MARK not in await dump(db)
    with pytest.raises(asyncpg.PostgresError):
        await db.execute("DELETE FROM tool_calls")


# --- counterparties ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Halden Labs B.V.", "halden labs"),
        ("Nimbus Ridge Systems, Inc.", "NIMBUS RIDGE SYSTEMS"),
        ("ACME Co., Ltd.", "Acme"),
        ("Limited", "limited"),
    ],
)
def test_legal_form_and_case_do_not_matter(one: str, other: str) -> None:
    assert plain_name(one) == plain_name(other)


async def test_a_counterparty_is_found_by_its_name_and_its_name_stands_nowhere(db: Database) -> None:
    book = CounterpartyBook(db, VAULT, PSEUDONYMS)
    assert await book.put("acme", "Zanzibarquux Trading Ltd", standing="watch", note="late payer", contracts=2)
    assert not await book.put("acme", "ZANZIBARQUUX TRADING", standing="barred")
    found = await book.find("acme", "Zanzibarquux Trading Limited")
    assert found is not None
    assert found.standing == "barred"
    assert await book.find("other", "Zanzibarquux Trading") is None
    assert [row.name for row in await book.list("acme")] == ["ZANZIBARQUUX TRADING"]
    assert "zanzibar" not in (await dump(db)).lower()
    with pytest.raises(InvalidRequest):
        await book.put("acme", "Other", standing="friend")
    await book.remove("acme", "zanzibarquux trading inc")
    with pytest.raises(NotFound):
        await book.remove("acme", "zanzibarquux trading inc")


# --- effects ---


async def test_an_effect_happens_once_however_often_and_by_however_many(db: Database) -> None:
    await admitted(db)
    effects = store(db)
    results = await asyncio.gather(*(execute(effects, order(approval="a1")) for _ in range(8)))
    assert {result.state for result in results} == {EffectState.DONE}
    assert [(row.item, row.duty) for row in await effects.obligations("acme")] == [("E1", "Duty number 1")]
    assert await effects.obligations("other") == ()


async def test_other_arguments_and_used_approvals_are_refused(db: Database) -> None:
    await admitted(db)
    effects = store(db)
    assert (await execute(effects, order(approval="a1"))).state is EffectState.DONE
    for other in (order(approval="a1", duty="Something else"), order(approval="a2"), order()):
        assert (await execute(effects, other)).rule == "used"
    assert (await execute(effects, order(3, approval="a1"))).rule == "used"
    assert (await execute(effects, order(3, approval="a3"), ("expired", "x"))).rule == "expired"
    assert [row.item for row in await effects.obligations("acme")] == ["E1"]
    with pytest.raises(asyncpg.PostgresError):
        await db.execute("DELETE FROM effects")


async def test_the_policy_cannot_change_between_its_check_and_the_effect(db: Database, url: str) -> None:
    await admitted(db)
    other = await Database.open(url, max_size=2)
    changing: list[asyncio.Task[bool]] = []
    seen: list[ToolVerdict] = []

    def check(policy: ToolPolicy, at: datetime) -> tuple[str, str] | None:
        from countersign.review.capability import Capability

        seen.append(policy.judge(RECORD_OBLIGATION, left=Capability()).verdict)
        changing.append(
            asyncio.get_running_loop().create_task(
                ToolRules(other).change("acme", RECORD_OBLIGATION, ToolVerdict.DENY, **BY)
            )
        )
        return None

    result = await store(db).execute(KEY, order(approval="a1"), playbook=NDA, approver_hash=None, objection=check)
    assert await changing[0]
    done, changed = await db.fetchrow("SELECT done_at FROM effects"), (await ToolRules(db).history())[0].changed_at
    assert result.state is EffectState.DONE
    assert seen == [ToolVerdict.NEEDS_APPROVAL]
    assert done is not None
    assert done["done_at"] <= changed
    await other.close()


async def test_what_a_review_obliges_to_is_sealed_and_goes_with_its_key(db: Database) -> None:
    await admitted(db)
    effects = store(db)
    await execute(effects, order(approval="a1", duty=f"{MARK} something"))
    await execute(effects, order(2, approval="a2", body=f"{MARK} and what is more to say."))
    assert MARK not in await dump(db)
    assert MARK in (await effects.obligations("acme"))[0].duty
    await DataKeys(db, VAULT).destroy(KEY.tenant, KEY.review_id)
    assert await effects.obligations("acme") == ()
    assert await effects.notices("acme") == ()


async def test_a_notice_is_delivered_whole_and_once_and_tried_again_when_it_was_not(
    db: Database, tmp_path: Path
) -> None:
    await admitted(db)
    effects = store(db)
    await execute(effects, order(2, approval="a2"))
    (waiting,) = await effects.notices("acme")
    assert (waiting.delivered_at, waiting.attempts) == (None, 0)
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert await effects.deliver_next(lambda notice: put(blocked, notice))
    (failed,) = await effects.notices("acme")
    assert (failed.delivered_at, failed.attempts, failed.last_error) == (None, 1, "FileExistsError")
    assert not await effects.deliver_next(lambda notice: put(tmp_path, notice)), "it rests first"
    await db.execute("UPDATE outbox SET next_at = now()")
    assert await effects.deliver_next(lambda notice: put(tmp_path, notice))
    assert not await effects.deliver_next(lambda notice: put(tmp_path, notice))
    assert [file.name for file in tmp_path.iterdir() if file.is_file() and file != blocked] == ["acme-r-1-E2.json"]  # noqa: ASYNC240
    content = json.loads((tmp_path / "acme-r-1-E2.json").read_text())
    assert (content["to"], content["subject"]) == ("legal", "Notice 2")
    (delivered,) = await effects.notices("acme")
    assert delivered.delivered_at is not None


async def test_two_deliverers_never_hold_the_same_notice(db: Database, url: str) -> None:
    await admitted(db)
    effects = store(db)
    for number in (2, 4):
        await execute(effects, order(number, approval=f"a{number}"))
    taken: list[str] = []

    def take(notice: Notice) -> str | None:
        taken.append(notice.key)
        return None

    async with db.transaction() as connection:
        await connection.fetch("SELECT FROM outbox WHERE item = 'E2' FOR UPDATE")
        while await effects.deliver_next(take):
            pass
    assert taken == ["acme-r-1-E4"]


# --- the schedules of tests/chaos, on the real tables ---


class InPostgres:
    """Where effects happen: the real store, one review a schedule."""

    def __init__(self, db: Database, key: ReviewKey) -> None:
        self._effects = store(db)
        self._db = db
        self._key = key

    async def execute(self, given: EffectOrder, now: InForce, policy: ToolPolicy, *, crash: str) -> EffectResult:
        def check(_: ToolPolicy, __: datetime) -> tuple[str, str] | None:
            against = objection(given, now)
            if against is None and crash == "before":
                raise Crash
            return against

        result = await self._effects.execute(self._key, given, playbook=NDA, approver_hash=None, objection=check)
        if crash == "after":
            raise Crash
        return result

    async def done(self) -> dict[str, tuple[str, str | None]]:
        rows = await self._db.fetch(
            "SELECT item, args_digest, approval_id, (SELECT count(*) FROM obligations o WHERE (o.tenant, o.review_id, "
            "o.item) = (e.tenant, e.review_id, e.item)) + (SELECT count(*) FROM outbox o WHERE (o.tenant, o.review_id, "
            "o.item) = (e.tenant, e.review_id, e.item)) AS happened FROM effects e "
            "WHERE tenant = $1 AND review_id = $2",
            self._key.tenant,
            self._key.review_id,
        )
        assert all(row["happened"] == 1 for row in rows)
        return {row["item"]: (row["args_digest"], row["approval_id"]) for row in rows}


async def test_adversarial_schedules_end_alike_in_memory_and_in_postgres(db: Database) -> None:
    done = 0
    for seed in range(60):
        tenant = f"t{seed}"
        key = ReviewKey(tenant=tenant, review_id="r-1", workflow_id=f"review-{tenant}-r-1")
        await db.execute("DELETE FROM tool_counts")
        place = InPostgres(db, key)
        verdicts = await Schedule(seed, _renamed(place, seed)).run()
        assert (verdicts.doubled, verdicts.substituted, verdicts.lost) == (0, 0, 0), verdicts.notes
        memory = Memory()
        await Schedule(seed, memory).run()
        assert {item: digest for item, (digest, _) in (await place.done()).items()} == {
            item: digest for item, (digest, _) in memory.rows.items()
        }
        done += verdicts.done
    assert done > 15


def _renamed(place: InPostgres, seed: int) -> Any:
    """The place with approval ids of its own: all schedules are of one review id, and an approval is good for one."""

    class Renamed:
        async def execute(self, given: EffectOrder, now: InForce, policy: ToolPolicy, *, crash: str) -> EffectResult:
            if given.approval is not None:
                own = given.approval.model_copy(update={"approval_id": f"{seed}/{given.approval.approval_id}"})
                given = given.model_copy(update={"approval": own})
            return await place.execute(given, now, policy, crash=crash)

        async def done(self) -> dict[str, tuple[str, str | None]]:
            return await place.done()

    return Renamed()
