"""Groups, absences, keys and notifications against a real PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.receivers import webhook_receiver
from helpers.store import KEY, PSEUDONYMS, VAULT, admitted, dump, entry, status

from countersign.errors import InvalidRequest, NotFound
from countersign.notify.events import Event
from countersign.review.payloads import Admission, DocumentRef, SigningPolicy
from countersign.review.proof import SigningKey
from countersign.settings import Settings
from countersign.store.database import Database
from countersign.store.people import PeopleBook
from countersign.store.subscriptions import ATTEMPTS, Subscriptions
from workers.outbox import notify_all

BY: dict[str, Any] = {"by_hash": "p1:by"}
LATER = datetime(2100, 1, 1, tzinfo=UTC)
POLICY = SigningPolicy(groups=("legal",), leads=("leads",), governed=True)


@pytest.fixture
def people(db: Database) -> PeopleBook:
    return PeopleBook(db, VAULT, PSEUDONYMS)


@pytest.fixture
def subscriptions(db: Database, people: PeopleBook) -> Subscriptions:
    return Subscriptions(db, VAULT, PSEUDONYMS, people)


def admission(policy: SigningPolicy = POLICY) -> Admission:
    return Admission(
        key=KEY,
        document=DocumentRef(document_id="d", sha256="ab", media_type="text/plain", size=1),
        playbook="nda",
        playbook_version="1",
        playbook_digest="d",
        user_hash=PSEUDONYMS.of("user", "ana"),
        tenant_hash="p1:t",
        signing=policy,
    )


async def test_terms_say_who_may_sign_and_names_are_nowhere_readable(db: Database, people: PeopleBook) -> None:
    assert await people.add_member("acme", "legal", "Zebedee Quill", **BY)
    assert not await people.add_member("acme", "legal", " zebedee quill ", **BY)
    await people.add_member("acme", "other", "eve", **BY)
    await people.add_member("globex", "legal", "mallory", **BY)
    await people.set_absence("acme", "Zebedee Quill", LATER, "Dan Dare", **BY)
    key = SigningKey(b"k" * 32)
    assert await people.add_key("acme", "Zebedee Quill", key.public, **BY) == key.key_id
    assert not await people.governs("globex")
    assert await people.governs("acme")
    terms = await people.terms("acme", POLICY)
    assert terms.members == {"legal": ("Zebedee Quill",)}
    assert [(one.person, one.delegate, one.until) for one in terms.absences] == [("Zebedee Quill", "Dan Dare", LATER)]
    assert [(one.key_id, one.person) for one in terms.keys] == [(key.key_id, "Zebedee Quill")]
    assert not terms.require_signed
    assert (await people.terms("globex", POLICY)).keys == ()
    everything = (await dump(db)).lower()
    assert "zebedee" not in everything
    assert b"Zebedee".hex() not in everything


async def test_changes_are_undone_and_each_is_on_record(db: Database, people: PeopleBook) -> None:
    await people.add_member("acme", "legal", "bob", **BY)
    await people.remove_member("acme", "legal", "BOB", **BY)
    with pytest.raises(NotFound):
        await people.remove_member("acme", "legal", "bob", **BY)
    await people.set_absence("acme", "bob", LATER, None, **BY)
    await people.end_absence("acme", "bob", **BY)
    with pytest.raises(NotFound):
        await people.end_absence("acme", "bob", **BY)
    assert await people.require_signed("acme", True, **BY)
    assert not await people.require_signed("acme", True, **BY)
    with pytest.raises(InvalidRequest, match="delegate"):
        await people.set_absence("acme", "bob", LATER, " BOB ", **BY)
    with pytest.raises(InvalidRequest, match="passed"):
        await people.set_absence("acme", "bob", datetime(2020, 1, 1, tzinfo=UTC), None, **BY)
    rows = await db.fetch("SELECT change, by_hash FROM people_changes ORDER BY change_id")
    assert [row["change"] for row in rows] == [
        *("member added", "member removed", "absence set", "absence ended", "require signed")
    ]


async def test_a_key_is_retired_or_revoked_and_never_registered_twice(people: PeopleBook) -> None:
    old, new = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
    await people.add_gateway_key(old.public)
    await people.add_gateway_key(old.public)
    await people.add_key("acme", "bob", new.public, **BY)
    with pytest.raises(InvalidRequest):
        await people.add_key("globex", "mallory", new.public, **BY)
    with pytest.raises(NotFound):
        await people.end_key("globex", new.key_id, revoke=True, **BY)
    await people.end_key("acme", old.key_id, revoke=False, **BY)
    keys = (await people.terms("acme", POLICY)).keys
    assert [(key.key_id, key.until is None) for key in keys] == [(old.key_id, False), (new.key_id, True)]
    await people.end_key("acme", new.key_id, revoke=True, **BY)
    assert [key.key_id for key in (await people.terms("acme", POLICY)).keys] == [old.key_id]
    assert [row.revoked_at is None for row in await people.keys("acme")] == [True, False]


def services(db: Database, subscriptions: Subscriptions) -> Any:
    return SimpleNamespace(subscriptions=subscriptions, settings=Settings(private_webhooks=True), db=db)


async def test_subscribers_are_told_once_whatever_is_repeated(
    db: Database, people: PeopleBook, subscriptions: Subscriptions
) -> None:
    await admitted(db)
    await people.add_member("acme", "legal", "bob", **BY)
    with webhook_receiver() as hook:
        mine = await subscriptions.add("acme", "person:Bob", "webhook", hook.url, private=True)
        await subscriptions.add("acme", "person:joe", "webhook", hook.url, private=True)
        await subscriptions.add("globex", "all", "webhook", hook.url, private=True)
        await subscriptions.add("acme", "all", "slack", hook.url, private=True, events=[Event.ESCALATED])
        rows = [entry(1, "read"), entry(2, "waiting"), entry(3, "claimed")]
        for queued in (1, 0):
            assert await subscriptions.queue(admission(), rows, status(), "https://c.example") == queued
        stood_by = services(db, subscriptions)
        await asyncio.gather(notify_all(stood_by), notify_all(stood_by))
        assert await notify_all(stood_by) == 0
    [(_, headers, _)] = hook.got
    assert headers["countersign-delivery"] == f"acme-r-1-n2-{mine.subscription_id}"
    assert (await subscriptions.standings("acme"))[mine.subscription_id].delivered == 1
    everything = await dump(db)
    assert hook.url not in everything
    assert mine.secret not in everything


async def test_what_cannot_be_delivered_is_tried_later_and_later_and_then_given_up(
    db: Database, subscriptions: Subscriptions
) -> None:
    await admitted(db)
    with webhook_receiver() as hook:
        hook.status = 500
        to = await subscriptions.add("acme", "all", "webhook", hook.url, private=True)
        await subscriptions.queue(admission(), [entry(1, "waiting")], status(), None)
        stood_by = services(db, subscriptions)
        for attempt in range(ATTEMPTS):
            assert await notify_all(stood_by) == 1
            assert await notify_all(stood_by) == 0, "not at once"
            row = await db.fetchrow("SELECT next_at - now() AS later, last_error FROM outbox")
            assert row is not None
            assert row["last_error"] == "answered with 500"
            assert row["later"] > timedelta(seconds=min(5 * 2**attempt, 3600) - 3)
            await db.execute("UPDATE outbox SET next_at = now()")
        standing = (await subscriptions.standings("acme"))[to.subscription_id]
        assert (standing.dead, standing.waiting, standing.last_error) == (1, 0, "answered with 500")
        assert await notify_all(stood_by) == 0
        hook.status = 200
        assert await subscriptions.revive("acme", to.subscription_id) == 1
        assert await notify_all(stood_by) == 1
    assert (await subscriptions.standings("acme"))[to.subscription_id].delivered == 1


async def test_a_worker_that_dies_with_a_notification_leaves_it_to_another(
    db: Database, subscriptions: Subscriptions
) -> None:
    await admitted(db)
    with webhook_receiver() as hook:
        await subscriptions.add("acme", "all", "webhook", hook.url, private=True)
        await subscriptions.queue(admission(), [entry(1, "waiting")], status(), None)
        assert len(await subscriptions.take(8)) == 1
        assert await subscriptions.take(8) == ()
        await db.execute("UPDATE outbox SET next_at = now()")
        assert await notify_all(services(db, subscriptions)) == 1
        assert len(hook.got) == 1


async def test_who_is_removed_is_told_no_more(db: Database, subscriptions: Subscriptions) -> None:
    await admitted(db)
    with webhook_receiver() as hook:
        to = await subscriptions.add("acme", "all", "webhook", hook.url, private=True)
        await subscriptions.queue(admission(), [entry(1, "waiting")], status(), None)
        with pytest.raises(NotFound):
            await subscriptions.remove("globex", to.subscription_id)
        await subscriptions.remove("acme", to.subscription_id)
        assert await subscriptions.queue(admission(), [entry(2, "reminded")], status(), None) == 0
        assert await notify_all(services(db, subscriptions)) == 0
    assert hook.got == []


@pytest.mark.parametrize(
    ("target", "address", "named"),
    [
        ("nobody", "https://a.example", "to"),
        ("group:", "https://a.example", "to"),
        ("all", "http://a.example", "https"),
    ],
)
async def test_bad_subscriptions_are_refused(
    subscriptions: Subscriptions, target: str, address: str, named: str
) -> None:
    with pytest.raises(InvalidRequest, match=named):
        await subscriptions.add("acme", target, "webhook", address)
    with pytest.raises(InvalidRequest, match="events"):
        await subscriptions.add("acme", "all", "webhook", "https://a.example", events=())


async def test_a_form_sent_twice_is_one_subscription_with_one_secret(subscriptions: Subscriptions) -> None:
    async def add(tenant: str, once: str) -> tuple[str, str]:
        made = await subscriptions.add(tenant, "all", "webhook", "https://93.184.216.34/", once=once)
        return made.subscription_id, made.secret

    first = await add("acme", "k1")
    assert await add("acme", "k1") == first
    others = [await add("acme", "k2"), await add("globex", "k1")]
    assert len({first, *others}) == 3
    assert len(await subscriptions.of("acme")) == 2


async def test_what_was_changed_is_told_newest_first_and_to_its_tenant_alone(people: PeopleBook) -> None:
    await people.add_member("acme", "legal", "Rita", by_hash="p1:boss")
    await people.remove_member("acme", "legal", "Rita", by_hash="p1:lead")
    await people.add_member("globex", "legal", "Rita", by_hash="p1:boss")
    changes = await people.changes("acme", 10)
    assert [(one.change, one.subject, one.by_hash) for one in changes] == [
        ("member removed", "legal", "p1:lead"),
        ("member added", "legal", "p1:boss"),
    ]
    assert len(await people.changes("acme", 1)) == 1
