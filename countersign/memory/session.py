"""Hot memory: the last lines of a session, in Redis, sealed and with an expiry. Losing it costs quality only."""

import hashlib
import hmac
from typing import TYPE_CHECKING, cast

from countersign.store.vault import Vault, context

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEEP_LINES = 20
MAX_LINE_CHARS = 2000
_TAG_BYTES = 16

# An element is a keyed tag of the line and the sealed line. The tag lets the server see that a retried write is the
# line it has last, which sealing hides: the same line sealed twice differs.
_REMEMBER = """
local last = redis.call('LINDEX', KEYS[1], -1)
if not last or string.sub(last, 1, #ARGV[1]) ~= ARGV[1] then
    redis.call('RPUSH', KEYS[1], ARGV[1] .. ARGV[2])
    redis.call('LTRIM', KEYS[1], -tonumber(ARGV[3]), -1)
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return redis.call('LLEN', KEYS[1])
"""


class SessionMemory:
    """One bounded list per (tenant, user, session). Key names carry a keyed hash of the three and nothing else.

    `ttl_s` counts from the last line. Methods raise redis-py's `RedisError` when Redis is away, and `VaultError` when
    the master key has changed: to the caller both mean that this tier remembers nothing. `redis` must not decode its
    responses.
    """

    def __init__(self, redis: "Redis", vault: Vault, ttl_s: int) -> None:
        self._redis = redis
        self._vault = vault
        self._ttl_s = ttl_s
        self._remember = redis.register_script(_REMEMBER)

    async def recall(self, tenant: str, user_hash: str, session: str) -> tuple[str, ...]:
        """The session's lines, oldest first, at most 20."""
        seal_key, name = self._place(tenant, user_hash, session)
        elements = cast("list[bytes]", await self._redis.lrange(name, 0, -1))
        return tuple(self._vault.open(seal_key, element[_TAG_BYTES:], name.encode()).decode() for element in elements)

    async def remember(self, tenant: str, user_hash: str, session: str, line: str) -> None:
        """Add `line`, cut to 2,000 characters. The same line twice running is remembered once."""
        seal_key, name = self._place(tenant, user_hash, session)
        data = line[:MAX_LINE_CHARS].encode()
        tag = hmac.new(seal_key, context(name) + data, hashlib.sha256).digest()[:_TAG_BYTES]
        sealed = self._vault.seal(seal_key, data, name.encode())
        await self._remember(keys=[name], args=[tag, sealed, KEEP_LINES, self._ttl_s])

    def _place(self, tenant: str, user_hash: str, session: str) -> tuple[bytes, str]:
        """The tenant's key, and the name of the list."""
        seal_key = self._vault.derive(f"session/{tenant}")
        digest = hmac.new(seal_key, context(tenant, user_hash, session), hashlib.sha256).hexdigest()
        return seal_key, f"countersign:session:{digest[:32]}"
