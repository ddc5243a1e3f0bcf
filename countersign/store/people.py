"""Who signs, as a tenant's data: groups, absences with their delegates, keys, and whether decisions must be signed.

Every change says who made it. A running review hears of it by the signal `reconsider_signing`, and in any case before a
decision takes effect.
"""

import base64
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from countersign.access.principal import check_person
from countersign.errors import InvalidRequest, NotFound
from countersign.review.payloads import Absence, SigningPolicy, SigningTerms, VerifyingKey
from countersign.review.proof import key_id_of
from countersign.review.same import same_person
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.trail.pseudonym import Pseudonyms

MAX_MEMBERS = 1000
"""People in all groups of a tenant together, so that the terms of a review stay small."""
_JUDGED = "30 days"
"""For so long after its end an absence is still known: longer than reviews wait."""


@dataclass(frozen=True)
class KeyRow:
    """A registered key. `person` is None for the gateway's."""

    key_id: str
    person: str | None
    added_at: datetime
    retired_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class PeopleChange:
    """One change: of which group, key or time (`subject`), about whom, and who made it; people as pseudonyms."""

    change: str
    subject: str
    person_hash: str | None
    other_hash: str | None
    by_hash: str
    changed_at: datetime


class PeopleBook:
    """Tables `group_members`, `absences`, `signing_keys` and `signing_rules`, with their history."""

    def __init__(self, db: Database, vault: Vault, pseudonyms: Pseudonyms) -> None:
        self._db = db
        self._vault = vault
        self._key = vault.derive("people")
        self._pseudonyms = pseudonyms

    # --- what a review needs ---

    async def terms(self, tenant: str, policy: SigningPolicy) -> SigningTerms:
        """Who may sign under this policy, at this moment and as one moment shows it."""
        async with self._db.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            members = await connection.fetch(
                "SELECT name, person_hash, person_sealed FROM group_members WHERE tenant = $1 AND name = ANY($2) "
                "ORDER BY name, added_at, person_hash",
                tenant,
                sorted({*policy.groups, *policy.leads}),
            )
            absences = await connection.fetch(
                f"SELECT * FROM absences WHERE tenant = $1 AND until > now() - interval '{_JUDGED}' "  # noqa: S608
                "ORDER BY set_at, person_hash",
                tenant,
            )
            keys = await connection.fetch(
                "SELECT * FROM signing_keys WHERE tenant IN ('', $1) AND revoked_at IS NULL ORDER BY added_at, key_id",
                tenant,
            )
            required = await connection.fetchval("SELECT require_signed FROM signing_rules WHERE tenant = $1", tenant)
        by_group: dict[str, list[str]] = defaultdict(list)
        for row in members:
            by_group[row["name"]].append(self._name(tenant, row["person_hash"], row["person_sealed"]))
        return SigningTerms(
            policy=policy,
            members={group: tuple(names) for group, names in by_group.items()},
            absences=tuple(self._absence(tenant, row) for row in absences),
            keys=tuple(
                VerifyingKey(
                    key_id=row["key_id"],
                    public_key=base64.b64encode(row["public_key"]).decode(),
                    person=self._optional(tenant, row["person_hash"], row["person_sealed"]),
                    until=row["retired_at"],
                )
                for row in keys
            ),
            require_signed=bool(required),
        )

    async def governs(self, tenant: str) -> bool:
        """Whether the tenant's data bear on reviews whose playbook asks for none of it."""
        row = await self._db.fetchrow(
            "SELECT EXISTS (SELECT FROM absences WHERE tenant = $1 AND until > now()) OR "
            "EXISTS (SELECT FROM signing_rules WHERE tenant = $1 AND require_signed) AS governs",
            tenant,
        )
        return bool(row and row["governs"])

    # --- groups ---

    async def groups(self, tenant: str) -> dict[str, tuple[str, ...]]:
        """Names by group."""
        rows = await self._db.fetch(
            "SELECT name, person_hash, person_sealed FROM group_members WHERE tenant = $1 ORDER BY name, added_at",
            tenant,
        )
        found: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            found[row["name"]].append(self._name(tenant, row["person_hash"], row["person_sealed"]))
        return {group: tuple(names) for group, names in found.items()}

    async def groups_of(self, tenant: str, groups: tuple[str, ...]) -> dict[str, frozenset[str]]:
        """Pseudonyms by group, of these groups."""
        rows = await self._db.fetch(
            "SELECT name, person_hash FROM group_members WHERE tenant = $1 AND name = ANY($2)", tenant, list(groups)
        )
        return {group: frozenset(r["person_hash"] for r in rows if r["name"] == group) for group in groups}

    async def add_member(self, tenant: str, group: str, person: str, *, by_hash: str) -> bool:
        """Put a person into a group; False when they are in it already. Raises `InvalidRequest`."""
        name = check_person(tenant, person)
        person_hash = self._pseudonyms.of("user", name)
        async with self._db.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"people {tenant}")
            count = await connection.fetchval("SELECT count(*) FROM group_members WHERE tenant = $1", tenant)
            if count >= MAX_MEMBERS:
                raise InvalidRequest(
                    f"group: the tenant has {MAX_MEMBERS} members in its groups already", remedy="Remove some"
                )
            added = await connection.fetchval(
                "INSERT INTO group_members (tenant, name, person_hash, person_sealed) VALUES ($1, $2, $3, $4) "
                "ON CONFLICT DO NOTHING RETURNING true",
                tenant,
                group,
                person_hash,
                self._seal(tenant, person_hash, name),
            )
            if added:
                await self._note(connection, tenant, "member added", group, person_hash, None, by_hash)
        return bool(added)

    async def remove_member(self, tenant: str, group: str, person: str, *, by_hash: str) -> None:
        """Take a person out of a group. Raises `NotFound` when they are not in it."""
        person_hash = self._pseudonyms.of("user", person)
        async with self._db.transaction() as connection:
            gone = await connection.fetchval(
                "DELETE FROM group_members WHERE (tenant, name, person_hash) = ($1, $2, $3) RETURNING true",
                tenant,
                group,
                person_hash,
            )
            if not gone:
                raise NotFound(
                    f"group {group}: this person is not in it", remedy="See who is with `countersign groups show`"
                )
            await self._note(connection, tenant, "member removed", group, person_hash, None, by_hash)

    # --- absences ---

    async def absences(self, tenant: str) -> tuple[Absence, ...]:
        """Those who are away now."""
        rows = await self._db.fetch(
            "SELECT * FROM absences WHERE tenant = $1 AND until > now() ORDER BY until, person_hash", tenant
        )
        return tuple(self._absence(tenant, row) for row in rows)

    async def set_absence(
        self, tenant: str, person: str, until: datetime, delegate: str | None, *, by_hash: str
    ) -> None:
        """Say that a person is away, and who signs for them. Replaces what was said before. Raises `InvalidRequest`."""
        name = check_person(tenant, person)
        other = None if delegate is None else check_person(tenant, delegate)
        if other is not None and same_person(name, other):
            raise InvalidRequest(
                "delegate: the delegate is the absent person", remedy="Name somebody else as delegate, or nobody"
            )
        person_hash = self._pseudonyms.of("user", name)
        other_hash = None if other is None else self._pseudonyms.of("user", other)
        async with self._db.transaction() as connection:
            if until <= await connection.fetchval("SELECT now()"):
                raise InvalidRequest(
                    f"until: {until:%Y-%m-%d %H:%M} UTC has passed", remedy="Give a time to come, for example 5d"
                )
            await connection.execute(
                "INSERT INTO absences (tenant, person_hash, person_sealed, delegate_hash, delegate_sealed, until) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, person_hash) DO UPDATE SET "
                "person_sealed = excluded.person_sealed, delegate_hash = excluded.delegate_hash, "
                "delegate_sealed = excluded.delegate_sealed, until = excluded.until, set_at = now()",
                tenant,
                person_hash,
                self._seal(tenant, person_hash, name),
                other_hash,
                None if other is None or other_hash is None else self._seal(tenant, other_hash, other),
                until,
            )
            await self._note(
                connection, tenant, "absence set", f"{until.isoformat()}", person_hash, other_hash, by_hash
            )

    async def end_absence(self, tenant: str, person: str, *, by_hash: str) -> None:
        """The person is back: what their delegate has signed and has not taken effect counts no more.

        Raises `NotFound` when they are not away.
        """
        person_hash = self._pseudonyms.of("user", person)
        async with self._db.transaction() as connection:
            gone = await connection.fetchval(
                "DELETE FROM absences WHERE (tenant, person_hash) = ($1, $2) RETURNING true", tenant, person_hash
            )
            if not gone:
                raise NotFound("absence: this person is not away", remedy="See `countersign absence list`")
            await self._note(connection, tenant, "absence ended", "", person_hash, None, by_hash)

    # --- keys ---

    async def keys(self, tenant: str) -> tuple[KeyRow, ...]:
        """Every key that is or was registered: the tenant's people's, and the gateway's."""
        rows = await self._db.fetch(
            "SELECT * FROM signing_keys WHERE tenant IN ('', $1) ORDER BY added_at, key_id", tenant
        )
        return tuple(
            KeyRow(
                key_id=row["key_id"],
                person=self._optional(tenant, row["person_hash"], row["person_sealed"]),
                added_at=row["added_at"],
                retired_at=row["retired_at"],
                revoked_at=row["revoked_at"],
            )
            for row in rows
        )

    async def add_key(self, tenant: str, person: str, public: bytes, *, by_hash: str) -> str:
        """Register a person's public key; its id. Raises `InvalidRequest` when it is registered already, or was."""
        name = check_person(tenant, person)
        key_id, person_hash = key_id_of(public), self._pseudonyms.of("user", name)
        async with self._db.transaction() as connection:
            added = await connection.fetchval(
                "INSERT INTO signing_keys (key_id, tenant, person_hash, person_sealed, public_key) "
                "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING true",
                key_id,
                tenant,
                person_hash,
                self._seal(tenant, person_hash, name),
                public,
            )
            if not added:
                raise InvalidRequest(f"key {key_id}: was registered before", remedy="Make a new key")
            await self._note(connection, tenant, "key added", key_id, person_hash, None, by_hash)
        return key_id

    async def add_gateway_key(self, public: bytes) -> str:
        """Register the gateway's public key; its id. Without effect when it is there."""
        key_id = key_id_of(public)
        await self._db.execute(
            "INSERT INTO signing_keys (key_id, tenant, public_key) VALUES ($1, '', $2) ON CONFLICT DO NOTHING",
            key_id,
            public,
        )
        return key_id

    async def end_key(self, tenant: str, key_id: str, *, revoke: bool, by_hash: str) -> None:
        """Retire a key (what it has signed counts), or revoke it (it does not). Raises `NotFound`."""
        column = "revoked_at" if revoke else "retired_at"
        async with self._db.transaction() as connection:
            ended = await connection.fetchval(
                f"UPDATE signing_keys SET {column} = coalesce({column}, now()) "  # noqa: S608
                "WHERE key_id = $1 AND tenant IN ('', $2) RETURNING true",
                key_id,
                tenant,
            )
            if not ended:
                raise NotFound(f"key {key_id}: there is none", remedy="See `countersign keys signing list`")
            change = "key revoked" if revoke else "key retired"
            await self._note(connection, tenant, change, key_id, None, None, by_hash)

    async def require_signed(self, tenant: str, required: bool, *, by_hash: str) -> bool:
        """Set whether the tenant's decisions count only when signed; False when it was so."""
        async with self._db.transaction() as connection:
            changed = await connection.fetchval(
                "INSERT INTO signing_rules AS r (tenant, require_signed) VALUES ($1, $2) ON CONFLICT (tenant) "
                "DO UPDATE SET require_signed = excluded.require_signed, changed_at = now() "
                "WHERE r.require_signed <> excluded.require_signed RETURNING true",
                tenant,
                required,
            )
            if changed:
                await self._note(connection, tenant, "require signed", str(required).lower(), None, None, by_hash)
        return bool(changed)

    async def changes(self, tenant: str, limit: int) -> tuple[PeopleChange, ...]:
        """What was changed, newest first."""
        rows = await self._db.fetch(
            "SELECT change, subject, person_hash, other_hash, by_hash, changed_at FROM people_changes "
            "WHERE tenant = $1 ORDER BY change_id DESC LIMIT $2",
            tenant,
            limit,
        )
        return tuple(PeopleChange(**dict(row)) for row in rows)

    # --- names ---

    async def _note(self, connection: asyncpg.Connection, tenant: str, *change: str | None) -> None:
        """What was changed, of which group or key, whom it is about (two of them) and who changed it."""
        await connection.execute(
            "INSERT INTO people_changes (tenant, change, subject, person_hash, other_hash, by_hash) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            tenant,
            *change,
        )

    def _absence(self, tenant: str, row: asyncpg.Record) -> Absence:
        return Absence(
            person=self._name(tenant, row["person_hash"], row["person_sealed"]),
            until=row["until"],
            delegate=self._optional(tenant, row["delegate_hash"], row["delegate_sealed"]),
        )

    def _seal(self, tenant: str, person_hash: str, name: str) -> bytes:
        return self._vault.seal(self._key, name.encode(), context("person", tenant, person_hash))

    def _name(self, tenant: str, person_hash: str, sealed: bytes) -> str:
        return self._vault.open(self._key, sealed, context("person", tenant, person_hash)).decode()

    def _optional(self, tenant: str, person_hash: str | None, sealed: bytes | None) -> str | None:
        return None if person_hash is None or sealed is None else self._name(tenant, person_hash, sealed)
