"""Delivery of notices: what people approved goes from the outbox to a folder, one JSON file each.

Delivered means: the file is there, whole and on disk. Who picks it up and sends it (a mail system, a script) is outside
of Countersign, and so are addresses: a notice names a role. A notice may be written again after a crash, under the same
name and with the same content, so that a folder holds each once.
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
from countersign.services import Services
from countersign.store.effects import Notice

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


async def _keep_delivering(services: Services, folder: Path) -> None:
    while True:
        try:
            await deliver_all(services, folder)
            pause = IDLE_S
        except (CountersignError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("notices cannot be delivered (%s)", type(error).__name__)
            pause = REST_S
        await asyncio.sleep(pause)


@asynccontextmanager
async def delivering(services: Services) -> AsyncIterator[None]:
    """Deliver notices for as long as the block lasts, if there is a folder for them."""
    folder = services.settings.notice_folder
    if folder is None:
        yield
        return
    task = asyncio.create_task(_keep_delivering(services, folder.expanduser().resolve()))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
