"""What may come in: limits as data, with defaults, per tenant and per user, changed while everything runs."""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import asyncpg
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countersign.errors import CountersignError, InvalidRequest
from countersign.store.database import Database

_log = logging.getLogger(__name__)

Scope = Literal["default", "everyone", "tenant", "user"]
_SCOPES: tuple[Scope, ...] = ("everyone", "tenant", "user")
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
"""As a request's tenant is written."""

KNOWN_S = 2.0
"""A change is in force in every process after about this long."""
PATIENCE_S = 0.5
"""No question waits longer for the table; the limits last known serve it."""


class Limits(BaseModel):
    """The limits in force for one user of one tenant, or (with `everyone`) for the whole house.

    `None` nowhere: a limit always holds. Rates are by GCRA: the whole allowance may be used at once, and comes back
    evenly over the hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_per_hour: int = Field(default=100, ge=1, le=1_000_000)
    """Reviews one user may submit an hour."""
    tenant_per_hour: int = Field(default=2_000, ge=1, le=10_000_000)
    abuse_strikes: int = Field(default=20, ge=1, le=100_000)
    """Strikes within an hour that begin a cooldown. A refusal for rate is one strike, a blocked review several."""
    blocked_strikes: int = Field(default=5, ge=0, le=100_000)
    """Strikes that a review blocked by the sentinel counts for."""
    cooldown_s: float = Field(default=3600, gt=0, le=604_800)
    """Length of the first cooldown; each further one is twice as long, up to `cooldown_cap_s`."""
    cooldown_cap_s: float = Field(default=86_400, gt=0, le=2_592_000)
    """Longest cooldown. After as long without a new one the doubling begins anew."""
    in_flight: int = Field(default=12, ge=1, le=100_000)
    """Reviews of one tenant that the machine works on at once."""
    attention: int = Field(default=200, ge=0, le=1_000_000)
    """Reviews of one tenant that may wait for its reviewers; beyond, what would need a person waits at the door."""
    weight: float = Field(default=1.0, ge=0.01, le=100)
    """The tenant's share against the others', here and as Temporal's fairness weight."""
    probe_share: float = Field(default=0.02, ge=0, le=1)
    """Share of the reviews asked for that carry a vigilance probe: a finding known to be wrong, for the reviewer."""

    batch_per_hour: int = Field(default=10_000, ge=1, le=10_000_000)
    """Reviews of a tenant's batches that are let in an hour. A batch waits for it; its user's own allowance is left."""

    # Of the whole house: only the scope of everyone may set these.
    in_flight_all: int = Field(default=16, ge=1, le=100_000)
    room: int = Field(default=1_000, ge=1, le=1_000_000)
    """Reviews that may wait for their turn, of all tenants together."""
    batch_share: float = Field(default=0.5, gt=0, le=1)
    """Share of `in_flight_all` that batches may hold: the rest is kept for those who wait for an answer."""
    local_fraction: float = Field(default=0.2, gt=0, le=1)
    """Share of every limit that each process grants by itself while Redis is away."""


OF_THE_HOUSE = frozenset({"in_flight_all", "room", "batch_share", "local_fraction"})
"""Fields that only the scope of everyone may set."""
OF_THE_TENANT = frozenset({"tenant_per_hour", "batch_per_hour", "in_flight", "attention", "weight"})
"""Fields that a user's scope may not set."""

Fields = dict[str, Any]
"""Fields of `Limits` that differ from what would hold anyway, by name."""


class LimitInForce(BaseModel):
    """One limit, and who set it."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: int | float
    set_for: Scope


class LimitChange(BaseModel):
    """One change of a scope's fields, by whom (a pseudonym) and why. None: the scope has no fields of its own."""

    model_config = ConfigDict(frozen=True)

    scope: str
    before: Fields | None
    after: Fields | None
    by_hash: str
    reason: str
    changed_at: datetime


def scope_of(tenant: str | None = None, user_hash: str | None = None) -> str:
    """The scope's name in the table."""
    return "/".join(part for part in (tenant, user_hash) if part is not None)


def scopes_of(tenant: str | None = None, user_hash: str | None = None) -> tuple[str, ...]:
    """Everyone's scope, then the tenant's, then the user's: the later one decides."""
    names = [scope_of()]
    if tenant is not None:
        names.append(scope_of(tenant))
    if user_hash is not None:
        names.append(scope_of(tenant, user_hash))
    return tuple(names)


class LimitBook:
    """Table `limits`, known to this process for about two seconds at a time. Safe to use from concurrent tasks.

    While Postgres is away, the limits last known hold, or the defaults.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rows: dict[str, Fields] = {}
        self._merged: dict[tuple[str, ...], Limits] = {}
        self._fresh_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._patient_until = 0.0
        self._is_away = False

    async def everyone(self) -> Limits:
        """What holds for whom nothing else is said, and the limits of the house."""
        return await self._of(scopes_of())

    async def tenant(self, tenant: str) -> Limits:
        """What holds for a tenant, and for its users of whom nothing else is said."""
        return await self._of(scopes_of(tenant))

    async def of(self, tenant: str, user_hash: str) -> Limits:
        """What holds for one user of a tenant."""
        return await self._of(scopes_of(tenant, user_hash))

    async def explain(self, tenant: str | None = None, user_hash: str | None = None) -> tuple[LimitInForce, ...]:
        """What holds for everyone, a tenant or one of its users, read now, and who set it."""
        _check_scope(tenant, user_hash)
        rows = await self._read()
        layers = [rows.get(scope, {}) for scope in scopes_of(tenant, user_hash)]
        set_for: dict[str, Scope] = {}
        for scope, fields in zip(_SCOPES, layers, strict=False):
            set_for.update(dict.fromkeys(fields, scope))
        return tuple(
            LimitInForce(name=name, value=value, set_for=set_for.get(name, "default")) for name, value in _merge(layers)
        )

    async def change(
        self,
        tenant: str | None,
        user_hash: str | None,
        fields: Mapping[str, object] | None,
        *,
        by_hash: str,
        reason: str,
    ) -> Limits:
        """Change fields of a scope, and write who did it and why; returns what holds for the scope now.

        A field given as None is no longer set here; `fields` None means all of them. What changes nothing is not
        written. Raises `InvalidRequest`, naming the field, for one that is unknown, out of range, or not this scope's.
        """
        _check_scope(tenant, user_hash)
        scope = scope_of(tenant, user_hash)
        for name in fields or ():
            _check_name(name, tenant, user_hash)
        if not reason.strip():
            raise InvalidRequest("reason: is empty", remedy="A change of limits says why, for the record")
        async with self._db.transaction() as connection:
            # Changes are rare: one at a time, so that each starts from what the one before it left.
            await connection.execute("LOCK TABLE limits IN SHARE ROW EXCLUSIVE MODE")
            rows: dict[str, Fields] = {
                row["scope"]: row["fields"] for row in await connection.fetch("SELECT scope, fields FROM limits")
            }
            before = rows.pop(scope, {})
            kept = {} if fields is None else {**before, **fields}
            after = {name: value for name, value in kept.items() if value is not None}
            limits = _merge([*(rows.get(other, {}) for other in scopes_of(tenant, user_hash)), after])
            after = {name: getattr(limits, name) for name in after}
            if after != before:
                if after:
                    await connection.execute(
                        "INSERT INTO limits (scope, fields) VALUES ($1, $2) "
                        "ON CONFLICT (scope) DO UPDATE SET fields = excluded.fields, changed_at = now()",
                        scope,
                        after,
                    )
                else:
                    await connection.execute("DELETE FROM limits WHERE scope = $1", scope)
                await connection.execute(
                    "INSERT INTO limit_changes (scope, before, after, by_hash, reason) VALUES ($1, $2, $3, $4, $5)",
                    scope,
                    before or None,
                    after or None,
                    by_hash,
                    reason.strip(),
                )
        self._fresh_until = float("-inf")
        return limits

    async def history(
        self, tenant: str | None = None, user_hash: str | None = None, limit: int = 100
    ) -> tuple[LimitChange, ...]:
        """The last changes, newest first: of one scope, or of all when no tenant is given."""
        _check_scope(tenant, user_hash)
        scope = None if tenant is None else scope_of(tenant, user_hash)
        rows = await self._db.fetch(
            "SELECT scope, before, after, by_hash, reason, changed_at FROM limit_changes "
            "WHERE $1::text IS NULL OR scope = $1 ORDER BY change_id DESC LIMIT $2",
            scope,
            limit,
        )
        return tuple(LimitChange.model_validate(dict(row)) for row in rows)

    async def close(self) -> None:
        """Stop reading. To be called before the database is closed."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _of(self, scopes: tuple[str, ...]) -> Limits:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._fresh_until:
            if self._reading is None or self._reading.done():
                self._reading = loop.create_task(self._refresh())
                self._patient_until = loop.time() + PATIENCE_S
            # Everybody waits for the one who reads, but nobody for a server that hangs.
            if (patience := self._patient_until - loop.time()) > 0:
                await asyncio.wait((self._reading,), timeout=patience)
        known = tuple(scope for scope in scopes if scope in self._rows)
        if known not in self._merged:
            self._merged[known] = _merge([self._rows[scope] for scope in known])
        return self._merged[known]

    async def _refresh(self) -> None:
        try:
            rows = await self._read()
        except (CountersignError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not self._is_away:
                _log.warning("Limits cannot be read (%s): those last known hold", type(error).__name__)
            self._is_away = True
        else:
            if self._is_away:
                _log.warning("Limits are read again")
            self._is_away = False
            if rows != self._rows:
                self._rows, self._merged = rows, {}
        self._fresh_until = asyncio.get_running_loop().time() + KNOWN_S

    async def _read(self) -> dict[str, Fields]:
        """Every scope's fields. Those of a newer version are left out, so that it may be introduced bit by bit."""
        rows = {
            row["scope"]: {name: value for name, value in row["fields"].items() if name in Limits.model_fields}
            for row in await self._db.fetch("SELECT scope, fields FROM limits")
        }
        for fields in rows.values():
            _merge([fields])
        return rows


def _merge(layers: Sequence[Fields]) -> Limits:
    try:
        return Limits.model_validate({name: value for fields in layers for name, value in fields.items()})
    except ValidationError as error:
        [problem, *_] = error.errors(include_url=False, include_context=False)
        name = str(problem["loc"][0])
        if name not in Limits.model_fields:
            raise InvalidRequest(f"{name}: is no limit", remedy="Reset it") from None
        raise InvalidRequest(
            f"{name}: {_shown(problem['input'])} is not {_accepted(name)}", remedy="Set it within that, or reset it"
        ) from None


def _shown(given: object) -> str:
    """The rejected value, if it is a number; anything else is the writer's own word and is not repeated."""
    try:
        return f"{float(str(given)):.10g}"
    except ValueError:
        return "what was given"


def _accepted(name: str) -> str:
    """What a limit may be, in words: "a whole number from 1 to 1,000,000"."""
    field = Limits.model_fields[name]
    kind = "a whole number" if field.annotation is int else "a number"
    bounds = {type(bound): bound for bound in field.metadata}
    low = f"above {bounds[Gt].gt:,g} and" if Gt in bounds else f"from {bounds[Ge].ge:,g}"
    return f"{kind} {low} {'up to' if Gt in bounds else 'to'} {bounds[Le].le:,.10g}"


def _check_scope(tenant: str | None, user_hash: str | None) -> None:
    if user_hash is not None and tenant is None:
        raise InvalidRequest("user: has limits only within a tenant", remedy="Name the tenant too")
    if tenant is not None and not _TENANT.fullmatch(tenant):
        raise InvalidRequest("tenant: is no tenant's name", remedy="Write it as its reviews do, for example acme")


def _check_name(name: str, tenant: str | None, user_hash: str | None) -> None:
    if name not in Limits.model_fields:
        raise InvalidRequest(
            "limits: one of the names is no limit's", remedy=f"The limits are {', '.join(Limits.model_fields)}"
        )
    if name in OF_THE_HOUSE and tenant is not None:
        raise InvalidRequest(f"{name}: is a limit of the whole house", remedy="Set it for everyone, without a tenant")
    if name in OF_THE_TENANT and user_hash is not None:
        raise InvalidRequest(f"{name}: is a limit of a tenant", remedy="Set it for the tenant, without a user")
