"""The hash chain of one workflow's trail, as pure functions: what a hash covers, what is wrong with a chain."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

GENESIS = "0" * 64
"""`prev_hash` of a chain's first row."""
FIRST_SEQUENCE = 1


class TrailRow(BaseModel):
    """One row of the trail as stored. Hashes are SHA-256 in hex; people appear as pseudonyms only."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    sequence: int
    tenant: str
    review_id: str
    stage: str
    event: str
    user_hash: str
    input_hash: str
    actor_hash: str | None
    facts: dict[str, Any]  # ids, numbers and enum words, whatever the event has to state
    created_at: datetime
    expires_at: datetime
    prev_hash: str
    row_hash: str


class TrailCheck(BaseModel):
    """The verdict on one workflow's trail; `problem` says which row is wrong and how."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    rows: int
    problem: str | None = None


def plain(value: Any) -> Any:  # any JSON value
    """`value` with whole floats as integers: `jsonb` writes 1e+16 and -0.0 that way, and a hash must not notice."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def canonical(row: TrailRow) -> bytes:
    """The bytes that `row_hash` covers: every field but itself, as JSON with sorted keys and UTC times.

    Raises `ValueError` for NaN or infinity in `facts`.
    """
    fields = row.model_dump(exclude={"row_hash", "created_at", "expires_at"})
    fields["created_at"] = row.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    fields["expires_at"] = row.expires_at.astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def hash_of(row: TrailRow) -> str:
    """What `row_hash` must be."""
    return hashlib.sha256(canonical(row)).hexdigest()


def verify_chain(rows: Sequence[TrailRow]) -> TrailCheck:
    """Check one workflow's rows, given in order: numbered without gaps from 1, each hash right and linked to the last.

    A chain alone cannot tell that its newest rows are missing, or that someone made it all anew from a changed row on:
    against that, compare it with the workflow's history or with an earlier export.
    """
    previous, expected = GENESIS, FIRST_SEQUENCE
    for row in rows:
        if row.sequence != expected:
            return _broken(rows, f"row {expected} is missing")
        if row.workflow_id != rows[0].workflow_id:
            return _broken(rows, f"row {row.sequence} belongs to another workflow")
        if row.row_hash != hash_of(row):
            return _broken(rows, f"row {row.sequence} was changed: its content does not have its hash")
        if row.prev_hash != previous:
            return _broken(rows, f"row {row.sequence} does not follow row {row.sequence - 1}: that one was replaced")
        previous, expected = row.row_hash, expected + 1
    return TrailCheck(ok=True, rows=len(rows))


def _broken(rows: Sequence[TrailRow], problem: str) -> TrailCheck:
    return TrailCheck(ok=False, rows=len(rows), problem=problem)
