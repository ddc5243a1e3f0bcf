"""One Lua script in a Redis that all processes share, and how a process notices that Redis is away and is back.

Redis away is an ordinary state: `run` then answers None at once, and whoever asked serves by itself.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

ANSWER_S = 0.25
"""So long Redis may be silent, connecting included. It answers in well under a millisecond when it is there."""
ROUNDS = 4
"""A question is given this many times as long while others are answered: then this process is busy, not Redis."""
PROBE_S = 1.0
"""How long nobody asks Redis after it failed to answer; then one question tries."""
TURNS = 3
"""Turns of the event loop in which an answer that has arrived reaches who asked."""
CONNECTIONS = 8
"""Questions that one process has out at once. More would not be answered sooner, and connecting costs time."""


def connect(url: str) -> "Redis":
    """A client as a script needs it: it gives up a hung server at once, and a restarted one gets one new connection."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # No time-out of its own: the script has one for all that a question takes.
    return Redis.from_url(url, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 1))


class SharedScript:
    """A script, run in Redis while Redis is there. Safe to use from concurrent tasks.

    `redis` must not decode its responses; `close` closes it. `away` and `back` tell `log` what goes on in this process
    meanwhile and afterwards, once each time.
    """

    def __init__(self, redis: "Redis", script: Path, log: logging.Logger, *, away: str, back: str) -> None:
        self._redis = redis
        self._script = redis.register_script(script.read_text(encoding="utf-8"))
        self._log = log
        self._words = (away, back)
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._away = False
        self._probe_at = 0.0
        self._heard_at = 0.0

    @property
    def away(self) -> bool:
        """Whether Redis did not answer last time."""
        return self._away

    @property
    def asks(self) -> bool:
        """Whether a question put now would be sent."""
        return not self._away or asyncio.get_running_loop().time() >= self._probe_at

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def run(self, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """The script's answer as a list ([] where it has none); None while Redis is away."""
        loop = asyncio.get_running_loop()
        if not self.asks:
            return None
        probing = self._away
        if probing:
            self._probe_at = loop.time() + PROBE_S
        async with self._slots:
            if self._away and not probing:  # while this one stood in line, another waited in vain
                return None
            try:
                reply = await self._in_time(self._script(keys=keys, args=args))
            except (RedisError, OSError, TimeoutError) as error:
                self._lost(error)
                return None
        self._found(loop.time())
        return reply if isinstance(reply, list) else [] if reply is None else [reply]

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or `TimeoutError`. What arrived while this process was too busy to look is in time."""
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(work)
        try:
            for _ in range(ROUNDS):
                asked = loop.time()
                await asyncio.wait((task,), timeout=ANSWER_S)
                for _ in range(TURNS):
                    if task.done():
                        return task.result()
                    await asyncio.sleep(0)
                if self._heard_at < asked:
                    break
            raise TimeoutError
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))

    def _lost(self, error: Exception) -> None:
        self._probe_at = asyncio.get_running_loop().time() + PROBE_S
        if not self._away:
            self._away = True
            # What a server answers quotes no argument; what a connection says may quote its URL.
            what = f"{type(error).__name__}: {error}" if isinstance(error, ResponseError) else type(error).__name__
            self._log.warning("Redis does not answer (%s): %s", what, self._words[0])

    def _found(self, at: float) -> None:
        self._heard_at = at
        if self._away:
            self._away = False
            self._log.warning("Redis answers again: %s", self._words[1])
