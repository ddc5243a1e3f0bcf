"""Sessions of people who came with a browser: a sealed value that the browser keeps, and what ends one early.

The value holds the credentials themselves, sealed under a key of the house, so that every request is authenticated anew
by the one authenticator: a key that was revoked, or a token that ran out, ends its sessions by itself, in every process
and without a table. Whoever gets hold of the value can use the session, and learns nothing of the key.

A value cannot be called back, so signing out is written down in Redis for as long as the value would have lived. While
Redis is away this process still knows whom it signed out; another one does not.
"""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING

from countersign.errors import InvalidRequest
from countersign.store.vault import Vault, VaultError, context

if TYPE_CHECKING:
    from redis.asyncio import Redis

LONGEST_S = 12 * 3600.0
"""A session ends after this, whatever happens."""
IDLE_S = 2 * 3600.0
"""And after this long without a page asked for."""
RENEW_S = 300.0
"""How often the browser is given a value that says it was still in use."""
MAX_CREDENTIALS = 2_600
"""Characters of credentials that fit: browsers keep at most 4,096 bytes of one cookie (RFC 6265, 6.1)."""
MAX_VALUE = 4_000
KEPT = 10_000
"""Sessions ended by this process that it remembers by itself."""
_PLACE = context("session")
_ENDED = "countersign:ended-session:"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One person's session. Times are seconds since 1970.

    Attributes:
        id: random, and nothing else.
        credentials: what they signed in with, sent again with each request.
        began: when they signed in.
        seen: when they last asked for a page, to within `RENEW_S`.
        from_issuer: whether the credentials are an ID token that the issuer gave us, and not what they typed.
    """

    id: str
    credentials: str = field(repr=False)
    began: float
    seen: float
    from_issuer: bool = False

    @property
    def ends_at(self) -> float:
        """When it ends if nothing more is asked for."""
        return min(self.began + LONGEST_S, self.seen + IDLE_S)


class Sessions:
    """Seals and opens sessions. Safe to use from concurrent tasks; `redis` need not be there."""

    def __init__(self, vault: Vault, redis: "Redis", *, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._redis = redis
        self._clock = clock
        self._key = vault.derive("console session")
        self._form_key = vault.derive("console form")
        self._ended: OrderedDict[str, None] = OrderedDict()

    def begin(self, credentials: str, *, from_issuer: bool = False) -> Session:
        """A new session. Raises `InvalidRequest` for credentials that no cookie can hold."""
        if len(credentials) > MAX_CREDENTIALS or not credentials.isascii():
            raise InvalidRequest(
                f"credentials: more than {MAX_CREDENTIALS} characters, or some that no key or token has",
                remedy="Sign in with an API key, or have the issuer put less into its tokens",
            )
        now = self._clock()
        return Session(secrets.token_hex(16), credentials, now, now, from_issuer)

    def seal(self, session: Session) -> str:
        """The value for the browser to keep."""
        plain = json.dumps(list(astuple(session)))
        return base64.urlsafe_b64encode(self._vault.seal(self._key, plain.encode(), _PLACE)).decode().rstrip("=")

    def open(self, value: str) -> Session | None:
        """The session of a value; None when it is not ours, or has run out."""
        if not value or len(value) > MAX_VALUE:
            return None
        try:
            sealed = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
            session = Session(*json.loads(self._vault.open(self._key, sealed, _PLACE)))
        except (binascii.Error, ValueError, VaultError):
            return None
        return session if self._clock() < session.ends_at else None

    def renewed(self, session: Session) -> Session | None:
        """The session as still in use; None while the value that the browser has says so well enough."""
        now = self._clock()
        return replace(session, seen=now) if now - session.seen >= RENEW_S else None

    def form_token(self, session: Session) -> str:
        """What a form of this session carries, and no other page can know."""
        return hmac.new(self._form_key, session.id.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, session: Session, given: str) -> bool:
        """Whether a form was given out to this session."""
        return hmac.compare_digest(self.form_token(session).encode(), given.encode())

    async def end(self, session: Session) -> None:
        """Sign out: the value opens no more doors, wherever it was copied to."""
        self._ended[session.id] = None
        while len(self._ended) > KEPT:
            self._ended.popitem(last=False)
        left_s = max(1, int(session.began + LONGEST_S - self._clock()) + 1)
        from redis.exceptions import RedisError

        try:
            await self._redis.set(_ENDED + session.id, b"1", ex=left_s)
        except RedisError as error:
            _log.warning("a sign-out is known to this process alone: Redis is away (%s)", type(error).__name__)

    async def has_ended(self, session: Session) -> bool:
        """Whether the person has signed out of it."""
        if session.id in self._ended:
            return True
        from redis.exceptions import RedisError

        try:
            return bool(await self._redis.exists(_ENDED + session.id))
        except RedisError:
            return False
