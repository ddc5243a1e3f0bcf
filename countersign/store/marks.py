"""What each person has looked at, so that a queue can say what is new to them. In Redis: losing it costs nothing else.

A mark is the digest of what was shown: a review that was amended or answered since is unread again.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from countersign.store.vault import Vault, context

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEEP_S = 30 * 86_400
_MARK_CHARS = 16


class ReadMarks:
    """One mark for each person and review, for `KEEP_S`. Names of keys are keyed hashes. Never raises for Redis."""

    def __init__(self, redis: "Redis", vault: Vault) -> None:
        self._redis = redis
        self._key = vault.derive("read marks")

    async def put(self, tenant: str, user_hash: str, review_id: str, digest: str) -> None:
        """The person has looked at this version of the review."""
        from redis.exceptions import RedisError

        try:
            await self._redis.set(self._name(tenant, user_hash, review_id), digest[:_MARK_CHARS], ex=KEEP_S)
        except RedisError:
            return

    async def seen(self, tenant: str, user_hash: str, shown: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Of reviews with the digests of what they show now, the ids of those the person has looked at as they are.

        While Redis is away, all of them: nobody is helped by a queue in which everything is new.
        """
        from redis.exceptions import RedisError

        if not shown:
            return frozenset()
        try:
            names = [self._name(tenant, user_hash, review_id) for review_id, _ in shown]
            marks = cast("list[bytes | None]", await self._redis.mget(names))
        except RedisError:
            return frozenset(review_id for review_id, _ in shown)
        return frozenset(
            review_id
            for (review_id, digest), mark in zip(shown, marks, strict=True)
            if mark is not None and mark.decode() == digest[:_MARK_CHARS]
        )

    def _name(self, tenant: str, user_hash: str, review_id: str) -> str:
        digest = hmac.new(self._key, context(tenant, user_hash, review_id), hashlib.sha256).hexdigest()
        return f"countersign:seen:{digest[:32]}"
