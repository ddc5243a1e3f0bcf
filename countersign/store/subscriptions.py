"""Who is told of what, and what was: tables `subscriptions` and `outbox` (its rows with a subscription).

What is told is queued by the activity that writes the trail, once a row of it and subscription; a worker delivers it.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import asyncpg

from countersign.errors import InvalidRequest, NotFound
from countersign.notify.channels import CHANNELS, Channel, check
from countersign.notify.events import SUBSCRIBED, Event, Message, audience_of, event_of, message_of
from countersign.review.payloads import Admission, ReviewStatus, TrailEntry
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.effects import RETRY_S
from countersign.store.people import PeopleBook
from countersign.store.vault import Vault, context
from countersign.trail.pseudonym import Pseudonyms

LEASE_S = 60.0
"""A notification that a worker took and said nothing more of is due again after this."""
ATTEMPTS = 14
"""Then it is dead: after five hours and more."""
MAX_SUBSCRIPTIONS = 200
_PLACE = re.compile(r"^(?:https?://)?([^/?#]+)")


@dataclass(frozen=True)
class Subscription:
    """Who is told of what. `address` and `secret` are for sending, not for showing."""

    subscription_id: str
    tenant: str
    target: str
    channel: Channel
    events: tuple[Event, ...]
    address: str = field(repr=False)
    secret: str = field(repr=False)
    added_at: datetime

    @property
    def where(self) -> str:
        """Where it goes, without what is secret in it: a Slack URL is a key, and an address names a person."""
        if self.channel == "email":
            return f"…@{self.address.rpartition('@')[2]}"
        host = _PLACE.match(self.address)
        return f"{host[1]}/…" if host else "…"


@dataclass(frozen=True)
class Standing:
    """How a subscription does."""

    subscription_id: str
    delivered: int
    waiting: int
    dead: int
    last_error: str | None


@dataclass(frozen=True)
class Delivery:
    """One notification that is due; `attempt` counts from 1."""

    tenant: str
    review_id: str
    item: str
    attempt: int
    message: Message
    subscription: Subscription

    @property
    def key(self) -> str:
        """What the receiver can tell a repeated delivery by."""
        return f"{self.tenant}-{self.review_id}-{self.item}"


class Subscriptions:
    """Both tables, as far as notifications go."""

    def __init__(self, db: Database, vault: Vault, pseudonyms: Pseudonyms, people: PeopleBook) -> None:
        self._db = db
        self._vault = vault
        self._key = vault.derive("subscriptions")
        self._data_keys = DataKeys(db, vault)
        self._pseudonyms = pseudonyms
        self._people = people

    # --- who is told ---

    async def add(  # noqa: PLR0913 - a subscription is all of this
        self,
        tenant: str,
        target: str,
        channel: Channel,
        address: str,
        *,
        events: Collection[Event] = SUBSCRIBED,
        private: bool = False,
        once: str = "",
    ) -> Subscription:
        """Subscribe. `target` is "all", "group:NAME" or "person:NAME". Raises `InvalidRequest`.

        The secret of a webhook is in what is returned; it is not shown again. Asked for again under the same `once`,
        there is one subscription.
        """
        if channel not in CHANNELS:
            raise InvalidRequest("channel: is none", remedy=f"It is one of {', '.join(CHANNELS)}")
        if not events:
            raise InvalidRequest("events: are none", remedy=f"Name some of {', '.join(SUBSCRIBED)}")
        made = hashlib.sha256(f"{tenant} {once}".encode()).hexdigest()[:10] if once else secrets.token_hex(5)
        subscription_id = f"n{made}"
        given = {"address": check(channel, address, private=private), "secret": f"whsec_{secrets.token_urlsafe(32)}"}
        async with self._db.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"subscriptions {tenant}")
            if once and (
                row := await connection.fetchrow(
                    "SELECT * FROM subscriptions WHERE subscription_id = $1 AND tenant = $2 AND removed_at IS NULL",
                    subscription_id,
                    tenant,
                )
            ):
                return self._subscription(row)
            count = await connection.fetchval(
                "SELECT count(*) FROM subscriptions WHERE tenant = $1 AND removed_at IS NULL", tenant
            )
            if count >= MAX_SUBSCRIPTIONS:
                raise InvalidRequest(f"the tenant has {MAX_SUBSCRIPTIONS} subscriptions", remedy="Remove some")
            row = await connection.fetchrow(
                "INSERT INTO subscriptions (subscription_id, tenant, target, channel, events, sealed) "
                "VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
                subscription_id,
                tenant,
                self._target(target),
                channel,
                sorted(events),
                self._vault.seal(self._key, json.dumps(given).encode(), context("subscription", subscription_id)),
            )
        return self._subscription(row)

    async def remove(self, tenant: str, subscription_id: str) -> None:
        """Tell them no more; what still waits is not sent. Raises `NotFound`."""
        async with self._db.transaction() as connection:
            gone = await connection.fetchval(
                "UPDATE subscriptions SET removed_at = now() WHERE subscription_id = $1 AND tenant = $2 "
                "AND removed_at IS NULL RETURNING true",
                subscription_id,
                tenant,
            )
            if not gone:
                raise _no_such(subscription_id)
            await connection.execute(
                "DELETE FROM outbox WHERE subscription_id = $1 AND delivered_at IS NULL", subscription_id
            )

    async def of(self, tenant: str) -> tuple[Subscription, ...]:
        """The tenant's subscriptions, the oldest first."""
        return tuple(self._subscription(row) for row in await self._rows(tenant))

    async def get(self, tenant: str, subscription_id: str) -> Subscription:
        """One of them. Raises `NotFound`."""
        found = [one for one in await self.of(tenant) if one.subscription_id == subscription_id]
        if not found:
            raise _no_such(subscription_id)
        return found[0]

    async def standings(self, tenant: str) -> dict[str, Standing]:
        """How each subscription does, by its id; one that was never told anything is missing."""
        rows = await self._db.fetch(
            "SELECT subscription_id, count(*) FILTER (WHERE delivered_at IS NOT NULL) AS delivered, "
            "count(*) FILTER (WHERE delivered_at IS NULL AND dead_at IS NULL) AS waiting, "
            "count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead, "
            "(array_agg(last_error ORDER BY next_at DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error "
            "FROM outbox WHERE tenant = $1 AND subscription_id IS NOT NULL GROUP BY subscription_id",
            tenant,
        )
        return {row["subscription_id"]: Standing(**dict(row)) for row in rows}

    # --- what they are told ---

    async def queue(
        self, admission: Admission, entries: Sequence[TrailEntry], status: ReviewStatus, console_url: str | None
    ) -> int:
        """Queue what subscribers are to hear of these rows of the trail; how many. Repeated, it queues nothing more."""
        events = [(entry, event) for entry in entries if (event := event_of(entry)) is not None]
        tenant, review_id = admission.key.tenant, admission.key.review_id
        if not events or not (rows := await self._rows(tenant)):
            return 0
        policy = admission.signing
        members = await self._people.groups_of(tenant, (*policy.groups, *policy.leads))
        reviewers = [self._pseudonyms.of("user", name) for name in policy.reviewers]
        data_key = await self._data_keys.obtain(tenant, review_id)
        queued = 0
        for entry, event in events:
            audience = audience_of(event, policy, members=members, reviewers=reviewers, requester=admission.user_hash)
            content = message_of(event, entry, status, console_url).model_dump_json().encode()
            for row in rows:
                if event not in row["events"] or not audience.includes(row["target"]):
                    continue
                # Of several proposed effects there is one notification.
                number = "e" if event is Event.EFFECTS_WAITING else str(entry.sequence)
                item = f"n{number}-{row['subscription_id']}"
                queued += await self._db.execute(
                    "INSERT INTO outbox (tenant, review_id, item, kind, recipient, sealed, subscription_id) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                    tenant,
                    review_id,
                    item,
                    event,
                    row["target"],
                    self._vault.seal(data_key, content, context("notification", tenant, review_id, item)),
                    row["subscription_id"],
                )
        return queued

    async def take(self, limit: int) -> tuple[Delivery, ...]:
        """Take what is due, for `LEASE_S`: nobody else is given it meanwhile."""
        rows = await self._db.fetch(
            "UPDATE outbox o SET attempts = attempts + 1, next_at = now() + $2::interval "
            "FROM (SELECT d.tenant, d.review_id, d.item, k.wrapped FROM outbox d JOIN data_keys k USING (tenant, "
            "review_id) WHERE d.subscription_id IS NOT NULL AND d.delivered_at IS NULL AND d.dead_at IS NULL AND "
            "d.next_at <= now() AND k.wrapped IS NOT NULL ORDER BY d.next_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED) "
            "due, subscriptions s WHERE (o.tenant, o.review_id, o.item) = (due.tenant, due.review_id, due.item) "
            "AND s.subscription_id = o.subscription_id "
            "RETURNING o.tenant, o.review_id, o.item, o.attempts, o.sealed AS content, due.wrapped, s.subscription_id, "
            "s.target, s.channel, s.events, s.sealed, s.added_at",
            limit,
            timedelta(seconds=LEASE_S),
        )
        return tuple(self._delivery(row) for row in rows)

    async def finish(self, delivery: Delivery, problem: str | None) -> None:
        """Say what came of it: delivered, to be tried again later and later, or after `ATTEMPTS` dead."""
        first, last = RETRY_S
        await self._db.execute(
            "UPDATE outbox SET last_error = $4, delivered_at = CASE WHEN $4::text IS NULL THEN now() END, "
            "dead_at = CASE WHEN $4::text IS NOT NULL AND attempts >= $6 THEN now() END, "
            "next_at = now() + $5::interval WHERE (tenant, review_id, item) = ($1, $2, $3) AND delivered_at IS NULL",
            delivery.tenant,
            delivery.review_id,
            delivery.item,
            problem,
            timedelta(seconds=min(first * 2.0 ** (delivery.attempt - 1), last)),
            ATTEMPTS,
        )

    async def revive(self, tenant: str, subscription_id: str) -> int:
        """Try dead notifications again, from the beginning; how many."""
        return await self._db.execute(
            "UPDATE outbox SET dead_at = NULL, attempts = 0, next_at = now() "
            "WHERE tenant = $1 AND subscription_id = $2 AND dead_at IS NOT NULL",
            tenant,
            subscription_id,
        )

    async def _rows(self, tenant: str) -> list[asyncpg.Record]:
        return await self._db.fetch(
            "SELECT * FROM subscriptions WHERE tenant = $1 AND removed_at IS NULL ORDER BY added_at, subscription_id",
            tenant,
        )

    def _target(self, target: str) -> str:
        kind, _, name = target.partition(":")
        if kind == "person" and name.strip():
            return f"person:{self._pseudonyms.of('user', name)}"
        if target == "all" or (kind == "group" and name.strip()):
            return target
        raise InvalidRequest("to: is nobody", remedy="Write all, group:NAME or person:NAME")

    def _subscription(self, row: asyncpg.Record) -> Subscription:
        place = context("subscription", row["subscription_id"])
        given = json.loads(self._vault.open(self._key, row["sealed"], place))
        return Subscription(
            subscription_id=row["subscription_id"],
            tenant=row["tenant"],
            target=row["target"],
            channel=cast(Channel, row["channel"]),
            events=tuple(Event(event) for event in row["events"] if event in SUBSCRIBED),
            address=given["address"],
            secret=given["secret"],
            added_at=row["added_at"],
        )

    def _delivery(self, row: asyncpg.Record) -> Delivery:
        data_key = self._data_keys.unwrap(row["review_id"], row["wrapped"])
        place = context("notification", row["tenant"], row["review_id"], row["item"])
        return Delivery(
            tenant=row["tenant"],
            review_id=row["review_id"],
            item=row["item"],
            attempt=row["attempts"],
            message=Message.model_validate_json(self._vault.open(data_key, row["content"], place)),
            subscription=self._subscription(row),
        )


def _no_such(subscription_id: str) -> NotFound:
    return NotFound(f"subscription {subscription_id}: there is none", remedy="See `countersign notify list`")
