"""The front gate on real servers: services over one database and one Valkey, and limits as a test needs them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from countersign.services import Services
from countersign.settings import ROOT, Settings

if TYPE_CHECKING:
    from countersign.admission.limits import LimitBook


@dataclass(frozen=True)
class Servers:
    """Where the two databases of a test are."""

    database_url: str
    redis_url: str


@contextmanager
def patient_door() -> Iterator[None]:
    """The door waits for Redis for as long as a busy machine may need: a slow answer is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("countersign.store.script.ANSWER_S", 10.0)
        yield


@asynccontextmanager
async def services_on(url: str, valkey: Path, home: Path, **settings: object) -> AsyncIterator[Services]:
    """Services as a process has them, for as long as the block lasts. `valkey` is the server's socket."""
    given = {"home": home, "playbooks": ROOT / "tests" / "playbooks", **settings}
    with patient_door():
        async with Services.open(Settings.model_validate(given), Servers(url, f"unix://{valkey}")) as services:
            yield services


async def limit(book: "LimitBook", tenant: str | None = None, **fields: object) -> None:
    """Change limits of everyone or of one tenant, as `countersign limits` does."""
    await book.change(tenant, None, fields, by_hash="p1:test", reason="test")
