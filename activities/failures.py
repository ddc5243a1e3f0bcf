"""From the domain's typed errors to Temporal's: which are worth a retry, and when."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from countersign.errors import CountersignError, ServiceUnavailable
from countersign.store.runs import Superseded

_log = logging.getLogger(__name__)

RETRYABLE = (ServiceUnavailable, Superseded)
MAX_MESSAGE = 500
"""Characters of an error text that may enter a history: texts can be huge, and drivers put values into them."""


@contextmanager
def typed_errors() -> Iterator[None]:
    """Raise the domain's errors as `ApplicationError` of the same type.

    Final unless a server was away or another attempt has taken over. The remedy travels as the error's only detail.
    Expected refusals are benign: they are answers, not alarms.
    """
    try:
        yield
    except CountersignError as error:
        retryable = isinstance(error, RETRYABLE)
        raise ApplicationError(
            error.message[:MAX_MESSAGE],
            error.remedy,
            type=error.type,
            non_retryable=not retryable,
            category=ApplicationErrorCategory.UNSPECIFIED if retryable else ApplicationErrorCategory.BENIGN,
        ) from None


@contextmanager
def telling_the_door() -> Iterator[None]:
    """Go on when the door cannot be told something: leases run out by themselves, and no review fails for one."""
    from redis.exceptions import RedisError

    try:
        yield
    except (CountersignError, RedisError) as error:
        _log.warning("the door was not told: %s", type(error).__name__)


@asynccontextmanager
async def beating(every_s: float = 10) -> AsyncIterator[None]:
    """Heartbeat from beside a thread that computes. Only for work of our own: a provider's silence must stay silent."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(every_s)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
