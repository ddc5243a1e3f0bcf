"""Counterparties of a tenant: what is known of them, found by name, with the name itself sealed."""

import re
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from countersign.errors import InvalidRequest, NotFound
from countersign.sentinel.normalise import fold
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.tools.model import Counterparty
from countersign.trail.pseudonym import Pseudonyms

STANDINGS = ("approved", "watch", "barred")
MAX_NAME, MAX_NOTE = 200, 300
_FORMS = re.compile(
    r"(?:\s+(?:inc|incorporated|llc|llp|lp|ltd|limited|corp|corporation|co|company|plc|gmbh|ag|sa|sas|sarl|srl|bv|nv|kg|oy|"
    r"ab|as|spa|pty|cooperative))+$"
)


class NamedCounterparty(BaseModel):
    """A row with its name, for people."""

    model_config = ConfigDict(frozen=True)

    name: str
    standing: str
    note: str
    contracts: int
    changed_at: datetime


def plain_name(name: str) -> str:
    """A company's name without case, marks and legal form: "Halden Labs B.V." is "halden labs"."""
    words = " ".join(re.sub(r"[^\w\s]", "", fold(name).text.casefold()).split())
    return _FORMS.sub("", words) or words


class CounterpartyBook:
    """Table `counterparties`. Names are looked up by a keyed digest, so no index holds one."""

    def __init__(self, db: Database, vault: Vault, pseudonyms: Pseudonyms) -> None:
        self._db = db
        self._vault = vault
        self._key = vault.derive("counterparties")
        self._pseudonyms = pseudonyms

    async def put(self, tenant: str, name: str, *, standing: str, note: str = "", contracts: int = 0) -> bool:
        """Enter a counterparty or replace what is known of it; True when it is new. Raises `InvalidRequest`."""
        if not plain_name(name) or len(name) > MAX_NAME:
            raise InvalidRequest("name: is empty or too long", remedy=f"Give a name of up to {MAX_NAME} characters")
        if standing not in STANDINGS:
            raise InvalidRequest("standing: is none", remedy=f"It is one of {', '.join(STANDINGS)}")
        if len(note) > MAX_NOTE or contracts < 0:
            raise InvalidRequest(
                "note or contracts: is out of bounds", remedy=f"Up to {MAX_NOTE} characters; 0 or more"
            )
        name_hash = self._hash(tenant, name)
        row = await self._db.fetchrow(
            "INSERT INTO counterparties (tenant, name_hash, name_sealed, standing, note, contracts) "
            "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, name_hash) DO UPDATE SET name_sealed = "
            "excluded.name_sealed, standing = excluded.standing, note = excluded.note, contracts = excluded.contracts, "
            "changed_at = now() RETURNING xmax = 0 AS is_new",
            tenant,
            name_hash,
            self._vault.seal(self._key, name.strip().encode(), context("counterparty", tenant, name_hash)),
            standing,
            note,
            contracts,
        )
        return bool(row and row["is_new"])

    async def remove(self, tenant: str, name: str) -> None:
        """Forget a counterparty. Raises `NotFound` when the tenant has none of this name."""
        gone = await self._db.execute(
            "DELETE FROM counterparties WHERE tenant = $1 AND name_hash = $2", tenant, self._hash(tenant, name)
        )
        if not gone:
            raise NotFound(
                "counterparty: the tenant has none of this name", remedy="See `countersign counterparties list`"
            )

    async def find(self, tenant: str, name: str) -> Counterparty | None:
        """What the tenant knows of the counterparty of this name, whatever its spelling of case and legal form."""
        row = await self._db.fetchrow(
            "SELECT standing, note, contracts FROM counterparties WHERE tenant = $1 AND name_hash = $2",
            tenant,
            self._hash(tenant, name),
        )
        return None if row is None else Counterparty.model_validate(dict(row))

    async def list(self, tenant: str, limit: int = 100) -> tuple[NamedCounterparty, ...]:
        """The tenant's counterparties with their names, those changed last first."""
        rows = await self._db.fetch(
            "SELECT * FROM counterparties WHERE tenant = $1 ORDER BY changed_at DESC, name_hash LIMIT $2", tenant, limit
        )
        return tuple(
            NamedCounterparty(
                name=self._vault.open(
                    self._key, row["name_sealed"], context("counterparty", tenant, row["name_hash"])
                ).decode(),
                standing=row["standing"],
                note=row["note"],
                contracts=row["contracts"],
                changed_at=row["changed_at"],
            )
            for row in rows
        )

    def _hash(self, tenant: str, name: str) -> str:
        return self._pseudonyms.of("counterparty", f"{tenant}\0{plain_name(name)}")
