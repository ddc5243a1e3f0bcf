"""API keys: made, listed, rotated, revoked and recognised. A key is shown once; the table holds only its hash.

A key reads `cs_<key id>_<secret><check>`: 12, 43 and 6 characters (`KEY_PATTERN`, for secret scanners).

- The secret is 256 random bits, stored as its SHA-256. A slow, salted hash defends passwords, of which few are likely;
  nobody finds 256 random bits by trying, whatever a try costs, and a slow hash would let a flood of wrong keys burn the
  processor. (NIST SP 800-63B, 5.1.2.2, asks for no more from 112 bits up.)
- The check digits are an HMAC of the rest under a key derived from the master key. A mistyped or made-up key is told
  apart by arithmetic: to reach the table a caller must hold a key that once was given out.

A recognised key is remembered for `CACHE_S`: a flood of requests with one key is one query in that time, a revocation
takes effect everywhere within it, and Postgres may be away as long unnoticed. An expiry, known beforehand, takes effect
at once.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import asyncpg

from countersign.access.principal import Principal, check_person, known_roles
from countersign.errors import InvalidRequest, NotFound, ServiceUnavailable
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.trail.pseudonym import Pseudonyms
from countersign.words import Role

logger = logging.getLogger(__name__)

PREFIX = "cs_"
KEY_PATTERN = r"cs_[0-9a-z]{12}_[0-9A-Za-z]{49}"
"""What a key looks like."""
CACHE_S = 5.0
"""How long a key is recognised, or known to be none, without asking the table: so long may a revoked one work on."""
CACHE_KEYS = 10_000
"""Keys remembered; the longest unused one is forgotten first."""
LOOKUP_S = 3.0
"""Patience with the table: a request must not hang on it."""
MAX_OVERLAP = timedelta(days=30)
MAX_LABEL = 100

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARS, _SECRET_CHARS, _CHECK_CHARS = 12, 43, 6  # 62**43 > 2**256
_KEY = re.compile(r"cs_([0-9a-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


class KeyText:
    """Writes and reads the text of keys. Pure: knows the check digits' key and no table."""

    def __init__(self, check_key: bytes) -> None:
        self._check_key = check_key

    def write(self, key_id: str, secret: str) -> str:
        """The text of a key."""
        return f"{PREFIX}{key_id}_{secret}{self._check(key_id, secret)}"

    def read(self, text: str) -> tuple[str, str] | None:
        """Key id and secret; None for what was mistyped, or never was a key of this house."""
        match = _KEY.fullmatch(text)
        if match is None:
            return None
        key_id, secret, check = match.groups()
        return (key_id, secret) if hmac.compare_digest(check, self._check(key_id, secret)) else None

    def _check(self, key_id: str, secret: str) -> str:
        digest = hmac.digest(self._check_key, f"{key_id}_{secret}".encode(), "sha256")
        return _base(int.from_bytes(digest, "big"), _DIGITS, _CHECK_CHARS)


@dataclass(frozen=True)
class NewKey:
    """A key that was just made. `secret_text` is the whole key, and is nowhere else from now on."""

    key_id: str
    secret_text: str = field(repr=False)


KeyState = Literal["active", "ending", "expired", "revoked"]


@dataclass(frozen=True)
class KeyInfo:
    """What is known of a key: nothing secret, no name.

    Attributes:
        state: `ending` is a key that was rotated and still works until `revoked_at`.
        rotated_to: id of the key that replaced it.
        created_by_hash, rotated_by_hash, revoked_by_hash: who did it, as a pseudonym; None when nobody did, or it was
            not recorded yet.
        last_used_on: the last day (UTC) it was used, or None.
    """

    key_id: str
    tenant: str
    user_hash: str
    roles: tuple[Role, ...]
    label: str
    state: KeyState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_to: str | None
    last_used_on: date | None
    created_by_hash: str | None = None
    rotated_by_hash: str | None = None
    revoked_by_hash: str | None = None


@dataclass
class _Known:
    """What the cache holds of a key that the table has. Times are of the book's clock, in seconds."""

    secret_hash: bytes = field(repr=False)
    principal: Principal
    ends_at: float
    last_used_on: date | None


_INSERT = """
INSERT INTO api_keys (key_id, tenant, user_hash, user_sealed, roles, label, secret_hash, expires_at, created_by_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (key_id) DO NOTHING
"""

# Expiry and revocation by the server's clock, handed over as seconds that are left.
_LOOK_UP = """
SELECT tenant, user_sealed, roles, secret_hash, last_used_on,
       extract(epoch FROM least(expires_at, revoked_at) - now())::float8 AS left_s
FROM api_keys WHERE key_id = $1
"""

_LIST = """
SELECT key_id, tenant, user_hash, roles, label, created_at, expires_at, revoked_at, rotated_to, last_used_on,
       created_by_hash, rotated_by_hash, revoked_by_hash,
       CASE WHEN revoked_at <= now() THEN 'revoked' WHEN expires_at <= now() THEN 'expired'
            WHEN revoked_at IS NOT NULL THEN 'ending' ELSE 'active' END AS state
FROM api_keys
WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR user_hash = $2)
ORDER BY tenant, created_at, key_id
"""

_ROTATE = """
UPDATE api_keys SET rotated_to = $2, revoked_at = now() + $3, rotated_by_hash = $4 WHERE key_id = $1
"""

# Again changes nothing; a key that was to end later by rotation, or by itself, is ended by who ends it now.
_REVOKE = """
UPDATE api_keys SET revoked_by_hash = CASE WHEN revoked_at <= now() THEN revoked_by_hash ELSE $2 END,
                    revoked_at = least(revoked_at, now())
WHERE key_id = $1
"""

_REVOKE_LABEL = """
UPDATE api_keys SET revoked_at = now(), revoked_by_hash = $3
WHERE tenant = $1 AND label = $2 AND (revoked_at IS NULL OR revoked_at > now())
"""

_ANY_ACTIVE = """
SELECT EXISTS (SELECT FROM api_keys WHERE (revoked_at IS NULL OR revoked_at > now())
                                      AND (expires_at IS NULL OR expires_at > now())) AS found
"""


class KeyBook:
    """Table `api_keys`. Safe to use from concurrent tasks of one event loop; close it before the database."""

    def __init__(
        self, db: Database, vault: Vault, pseudonyms: Pseudonyms, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._vault = vault
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._text = KeyText(vault.derive("api key check"))
        self._known: OrderedDict[str, tuple[float, _Known | None]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Known | None]] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until every first use of the day is noted."""
        if self._noting:
            await asyncio.wait(self._noting)

    # --- keeping the book ---

    async def create(  # noqa: PLR0913 - a key is made of this
        self,
        tenant: str,
        user: str,
        roles: Collection[Role],
        label: str = "",
        expires_at: datetime | None = None,
        *,
        by: str,
    ) -> NewKey:
        """Make a key; `by` says who does, and is kept as a pseudonym.

        Raises `InvalidRequest` for a tenant, user, role, label or expiry that cannot be, and for an empty `by`.
        """
        user = check_person(tenant, user)
        if not roles:
            raise InvalidRequest("roles: there is none", remedy=f"Give at least one of {', '.join(Role)}")
        if len(label) > MAX_LABEL or not label.isprintable():
            raise InvalidRequest(f"label: is not one line of at most {MAX_LABEL} characters")
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidRequest("expires_at: has passed already")
        new, row = self._make(
            tenant, user, [role for role in Role if role in roles], label, expires_at, created_by_hash=self._actor(by)
        )
        await self._db.execute(_INSERT, *row)
        return new

    async def list(self, tenant: str | None = None, user: str | None = None) -> tuple[KeyInfo, ...]:
        """All keys, of this tenant, of this person. A name goes in to find a person's keys; none comes out."""
        user_hash = None if user is None else self._pseudonyms.of("user", user)
        rows = await self._db.fetch(_LIST, tenant, user_hash)
        return tuple(
            KeyInfo(**{**row, "roles": tuple(role for role in Role if role in known_roles(row["roles"]))})
            for row in rows
        )

    async def rotate(self, key_id: str, overlap_s: float, *, by: str) -> NewKey:
        """Replace a key by a new one of the same person, roles, label and lifetime; the old one ends after `overlap_s`.

        Raises `NotFound` for no such key, `InvalidRequest` for one that has ended or was rotated already.
        """
        actor = self._actor(by)
        if not 0 <= overlap_s <= MAX_OVERLAP.total_seconds():
            raise InvalidRequest(f"overlap: is not between 0 and {MAX_OVERLAP.days} days")
        async with self._db.transaction() as connection:
            old = await connection.fetchrow("SELECT *, now() AS now FROM api_keys WHERE key_id = $1 FOR UPDATE", key_id)
            if old is None:
                raise _no_such_key()
            now, expires_at = old["now"], old["expires_at"]
            if old["rotated_to"] is not None:
                raise InvalidRequest(
                    f"key {key_id}: was rotated already", remedy=f"Rotate {old['rotated_to']}, which replaced it"
                )
            if old["revoked_at"] is not None or (expires_at is not None and expires_at <= now):
                raise InvalidRequest(f"key {key_id}: has ended", remedy="Create a new one")
            lifetime = None if expires_at is None else now + (expires_at - old["created_at"])
            user = self._user_of(key_id, old)
            new, row = self._make(old["tenant"], user, old["roles"], old["label"], lifetime, created_by_hash=actor)
            await connection.execute(_INSERT, *row)
            await connection.execute(_ROTATE, key_id, new.key_id, timedelta(seconds=overlap_s), actor)
        self._known.pop(key_id, None)
        return new

    async def revoke(self, key_id: str, *, by: str) -> None:
        """End a key now: here at once, in other processes within `CACHE_S`. Again changes nothing.

        Raises `NotFound` for no such key.
        """
        found = await self._db.execute(_REVOKE, key_id, self._actor(by))
        self._known.pop(key_id, None)
        if not found:
            raise _no_such_key()

    async def revoke_label(self, tenant: str, label: str, *, by: str) -> int:
        """End all keys of this tenant with this label now; returns how many there were."""
        ended = await self._db.execute(_REVOKE_LABEL, tenant, label, self._actor(by))
        self._known.clear()
        return ended

    async def any_active(self) -> bool:
        """Whether there is any key that works."""
        row = await self._db.fetchrow(_ANY_ACTIVE)
        return row is not None and bool(row["found"])

    # --- recognising ---

    async def authenticate(self, text: str) -> Principal | None:
        """Whose key this is; None when it is nobody's, or no more.

        One made under another master key is nobody's: its check digits do not hold, as the name beside it would not
        open. Raises `ServiceUnavailable` when the table must be asked and Postgres does not answer.
        """
        parts = self._text.read(text)
        if parts is None:
            return None
        key_id, secret = parts
        known = await self._look_up(key_id)
        if known is None or not hmac.compare_digest(known.secret_hash, _hash(secret)):
            return None
        if known.ends_at <= self._clock():
            return None
        self._note_use(key_id, known)
        return known.principal

    async def _look_up(self, key_id: str) -> _Known | None:
        """The key as the cache or else the table has it. However many ask at once, the table is asked once."""
        cached = self._known.get(key_id)
        if cached is not None and self._clock() < cached[0]:
            self._known.move_to_end(key_id)
            return cached[1]
        asking = self._asking.get(key_id)
        if asking is None:
            asking = self._asking[key_id] = asyncio.create_task(self._ask(key_id))
            asking.add_done_callback(lambda _: self._asking.pop(key_id, None))
        # A request that is given up must not take the answer from the others who wait for it.
        return await asyncio.shield(asking)

    async def _ask(self, key_id: str) -> _Known | None:
        began = self._clock()
        try:
            async with asyncio.timeout(LOOKUP_S):
                row = await self._db.fetchrow(_LOOK_UP, key_id)
        except TimeoutError:
            raise ServiceUnavailable("PostgreSQL does not answer in time", remedy="Ask again in a moment") from None
        known = None if row is None else self._read(key_id, row, began)
        # From when the question was put, so that a slow answer does not prolong a revoked key's life.
        self._known[key_id] = (began + CACHE_S, known)
        self._known.move_to_end(key_id)
        while len(self._known) > CACHE_KEYS:
            self._known.popitem(last=False)
        return known

    def _read(self, key_id: str, row: asyncpg.Record, began: float) -> _Known | None:
        roles = known_roles(row["roles"])
        if not roles:
            return None
        user = self._user_of(key_id, row)
        return _Known(
            secret_hash=row["secret_hash"],
            principal=Principal(row["tenant"], user, self._pseudonyms.of("user", user), roles, key_id),
            ends_at=float("inf") if row["left_s"] is None else began + row["left_s"],
            last_used_on=row["last_used_on"],
        )

    def _note_use(self, key_id: str, known: _Known) -> None:
        """Write down the first use of a day, while the request goes on."""
        today = datetime.now(UTC).date()
        if known.last_used_on is None or known.last_used_on < today:
            known.last_used_on = today
            noting = asyncio.create_task(self._write_use(key_id, today))
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)

    async def _write_use(self, key_id: str, today: date) -> None:
        try:
            await self._db.execute(
                "UPDATE api_keys SET last_used_on = $2 WHERE key_id = $1 AND last_used_on IS DISTINCT FROM $2",
                key_id,
                today,
            )
        except ServiceUnavailable as error:
            # Not worth a refused request: the next look-up finds the day unwritten and tries again.
            logger.warning("use of key %s not noted: %s", key_id, error.message)

    # --- making ---

    def _actor(self, by: str) -> str:
        if not by.strip():
            raise InvalidRequest("by: is empty", remedy="A change of keys says who makes it")
        return self._pseudonyms.of("user", by.strip())

    def _make(  # noqa: PLR0913 - a row's columns
        self,
        tenant: str,
        user: str,
        roles: Collection[str],
        label: str,
        expires_at: datetime | None,
        *,
        created_by_hash: str,
    ) -> tuple[NewKey, tuple[object, ...]]:
        """A key and its row."""
        key_id = "".join(secrets.choice(_ID_DIGITS) for _ in range(_ID_CHARS))
        secret = _base(secrets.randbits(256), _DIGITS, _SECRET_CHARS)
        sealed = self._vault.seal(self._vault.derive(f"keys/{tenant}"), user.encode(), context(tenant, key_id, "user"))
        user_hash = self._pseudonyms.of("user", user)
        row = (key_id, tenant, user_hash, sealed, list(roles), label, _hash(secret), expires_at, created_by_hash)
        return NewKey(key_id, self._text.write(key_id, secret)), row

    def _user_of(self, key_id: str, row: asyncpg.Record) -> str:
        tenant = row["tenant"]
        data_key = self._vault.derive(f"keys/{tenant}")
        return self._vault.open(data_key, row["user_sealed"], context(tenant, key_id, "user")).decode()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _base(value: int, digits: str, length: int) -> str:
    """The last `length` digits of `value`, most significant first."""
    text = ""
    for _ in range(length):
        value, digit = divmod(value, len(digits))
        text = digits[digit] + text
    return text


def _no_such_key() -> NotFound:
    # The id is not repeated: someone may have pasted a whole key.
    return NotFound("there is no such key", remedy="See 'countersign keys list'")
