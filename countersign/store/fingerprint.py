"""Which master key a database was set up with: checked before anything is sealed or opened with another one."""

import hmac

import asyncpg

from countersign.errors import InvalidRequest
from countersign.store.database import Database
from countersign.store.vault import Vault, VaultError

_NAME = "COUNTERSIGN_MASTER_KEY"
_NOTED = "SELECT fingerprint FROM key_fingerprints WHERE name = $1"
_NOTE = "INSERT INTO key_fingerprints (name, fingerprint) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_SEALED = "SELECT wrapped FROM data_keys WHERE wrapped IS NOT NULL LIMIT 1"


async def check_master_key(db: Database, vault: Vault, *, note: bool = True) -> None:
    """Raise `InvalidRequest` unless the vault's master key is this database's.

    The first to ask sets it, if it opens what is there; with `note` False nothing is written. A database that has not
    been migrated yet has none.
    """
    try:
        noted = await db.fetchrow(_NOTED, _NAME)
        if noted is None:
            if (sealed := await db.fetchrow(_SEALED)) is not None:
                vault.unwrap(sealed["wrapped"])
            if not note:
                return
            await db.execute(_NOTE, _NAME, vault.fingerprint)
            noted = await db.fetchrow(_NOTED, _NAME)
    except asyncpg.UndefinedTableError:
        return
    except VaultError:
        raise _another_key() from None
    if noted is None or not hmac.compare_digest(noted["fingerprint"], vault.fingerprint):
        raise _another_key()


def _another_key() -> InvalidRequest:
    return InvalidRequest(
        f"{_NAME}: is another key than the one that this database was set up with",
        remedy="Give every process the same key; where none is set it is the one in master.key of COUNTERSIGN_HOME",
    )
