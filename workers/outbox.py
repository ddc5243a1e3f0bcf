"""Delivery from the outbox: notices that people approved to a folder, notifications to their subscribers.

Of a notice delivered means: the file is there, whole and on disk. Who picks it up and sends it (a mail system, a
script) is outside of Countersign, and so are addresses: a notice names a role. A notice may be written again after a
crash, under the same name and with the same content, so that a folder holds each once. A notification may be sent
again, too, under the same delivery id.
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from countersign.errors import CountersignError
from countersign.notify.channels import send
from countersign.notify.webhook import Undeliverable
from countersign.services import Services
from countersign.store.effects import Notice
from countersign.store.subscriptions import Delivery

AT_ONCE = 8
"""Notifications sent at the same time, so that a slow receiver does not hold up the others."""
IDLE_S = 1.0
REST_S = 10.0
"""Pause after the database was away."""
_log = logging.getLogger(__name__)


def put(folder: Path, notice: Notice) -> str | None:
    """Write a notice into the folder, all of it or nothing; what went wrong, or None."""
    target = folder / f"{notice.key}.json"
    content = {
        "key": notice.key,
        "tenant": notice.tenant,
        "review": notice.review_id,
        "item": notice.item,
        "approved_at": notice.queued_at.isoformat(),
        **notice.content,
    }
    draft = target.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        return type(error).__name__
    return None


async def deliver_all(services: Services, folder: Path) -> int:
    """Deliver every notice that is due; how many were tried."""
    tried = 0
    while await services.effects.deliver_next(lambda notice: put(folder, notice)):
        tried += 1
    return tried


async def notify_all(services: Services) -> int:
    """Send every notification that is due, some at once; how many were tried."""
    tried = 0
    while taken := await services.subscriptions.take(AT_ONCE):
        tried += len(taken)
        await asyncio.gather(*(_notify(services, delivery) for delivery in taken))
    return tried


async def _notify(services: Services, delivery: Delivery) -> None:
    to = delivery.subscription
    try:
        await asyncio.to_thread(
            send, services.settings, to.channel, to.address, to.secret, delivery.message, delivery=delivery.key
        )
    except Undeliverable as error:
        await services.subscriptions.finish(delivery, str(error))
    else:
        await services.subscriptions.finish(delivery, None)


async def _keep_delivering(services: Services, folder: Path | None) -> None:
    while True:
        try:
            if folder is not None:
                await deliver_all(services, folder)
            await notify_all(services)
            pause = IDLE_S
        except (CountersignError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("notices cannot be delivered (%s)", type(error).__name__)
            pause = REST_S
        await asyncio.sleep(pause)


@asynccontextmanager
async def delivering(services: Services) -> AsyncIterator[None]:
    """Deliver for as long as the block lasts: notices if there is a folder for them, notifications in any case."""
    folder = services.settings.notice_folder
    task = asyncio.create_task(_keep_delivering(services, folder.expanduser().resolve() if folder else None))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
