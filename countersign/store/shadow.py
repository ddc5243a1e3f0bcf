"""Shadow runs and their labelled cases. Labels wait here, sealed, until their review has been compared with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from countersign.errors import InvalidRequest, NotFound
from countersign.evidence.observation import Frozen
from countersign.shadow.judging import Label
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.words import Verdict


class CaseLabels(Frozen):
    """What people said of a case beforehand: each person's labels by clause, or a decision, or both; and its name."""

    name: str = ""
    people: tuple[dict[str, Label], ...] = ()
    decision: Verdict | None = None
    counts: bool = True
    """False where the pair is for the report alone: the agents know these very texts, so it is no evidence."""


@dataclass(frozen=True)
class LabelledCase:
    """The labels of one shadow review."""

    run_id: str
    labels: CaseLabels


class RunFigures(Frozen):
    """What a list says of a run. Figures are (value, low, high), None where they are not defined."""

    pairs: int
    clauses: int
    agreement: tuple[float | None, float | None, float | None]
    kappa: tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class RunRow:
    """A run: what it was made of, how many cases it has and how many gave a pair; `failures` counts the others.

    `figures` are those of the report as it was last made, None before that; they may be of fewer pairs than there are.
    """

    tenant: str
    run_id: str
    facts: dict[str, Any]  # JSON
    cases: int
    pairs: int
    failures: dict[str, int]
    created_at: datetime
    figures: RunFigures | None = None


class ShadowStore:
    """Tables `shadow_runs` and `shadow_cases`."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault

    async def open_run(self, tenant: str, run_id: str, facts: Mapping[str, Any]) -> None:
        """Begin a run, or take up one that was begun. Raises InvalidRequest when it is another run's id."""
        await self._db.execute(
            "INSERT INTO shadow_runs (tenant, run_id, facts) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            tenant,
            run_id,
            dict(facts),
        )
        row = await self._db.fetchrow("SELECT facts FROM shadow_runs WHERE tenant = $1 AND run_id = $2", tenant, run_id)
        if row is None or row["facts"].get("digest") != facts.get("digest"):
            raise InvalidRequest(
                f"run {run_id}: was begun with other cases", remedy="Take another name, or the cases it was begun with"
            )

    async def add(self, tenant: str, run_id: str, review_id: str, position: int, labels: CaseLabels) -> None:
        """Keep a case's labels until its review is compared with them. Adding it again changes nothing."""
        sealed = self._vault.seal(
            self._key(tenant), labels.model_dump_json().encode(), context(tenant, "shadow", review_id)
        )
        await self._db.execute(
            "INSERT INTO shadow_cases (tenant, review_id, run_id, position, sealed) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT DO NOTHING",
            tenant,
            review_id,
            run_id,
            position,
            sealed,
        )

    async def labels(self, tenant: str, review_id: str) -> LabelledCase | None:
        """The labels that were given with a review; None when there were none, or they are used up."""
        row = await self._db.fetchrow(
            "SELECT run_id, sealed FROM shadow_cases WHERE tenant = $1 AND review_id = $2", tenant, review_id
        )
        if row is None or row["sealed"] is None:
            return None
        opened = self._vault.open(self._key(tenant), row["sealed"], context(tenant, "shadow", review_id))
        return LabelledCase(row["run_id"], CaseLabels.model_validate(json.loads(opened)))

    async def used(self, tenant: str, review_id: str) -> None:
        """The labels stand in the pair now, sealed with the review's own key; here they are erased."""
        await self._db.execute(
            "UPDATE shadow_cases SET sealed = NULL, failure = NULL WHERE tenant = $1 AND review_id = $2",
            tenant,
            review_id,
        )

    async def failed(self, tenant: str, review_id: str, failure: str) -> None:
        """The case gave no pair; `failure` is an outcome or an error's type."""
        await self._db.execute(
            "UPDATE shadow_cases SET failure = $3 WHERE tenant = $1 AND review_id = $2 AND sealed IS NOT NULL",
            tenant,
            review_id,
            failure,
        )

    async def run(self, tenant: str, run_id: str | None = None) -> RunRow:
        """A run, the latest by default. Raises NotFound."""
        row = await self._db.fetchrow(
            "SELECT run_id, facts, created_at FROM shadow_runs WHERE tenant = $1 AND ($2::text IS NULL OR run_id = $2) "
            "ORDER BY created_at DESC LIMIT 1",
            tenant,
            run_id,
        )
        if row is None:
            what = f"run {run_id!r}" if run_id else "a shadow run"
            raise NotFound(f"there is no {what} of {tenant}", remedy="Begin one with `countersign shadow run CASES`")
        return (await self._with_counts(tenant, [row]))[0]

    async def runs(self, tenant: str) -> tuple[RunRow, ...]:
        """All runs of a tenant, newest first."""
        rows = await self._db.fetch(
            "SELECT run_id, facts, created_at FROM shadow_runs WHERE tenant = $1 ORDER BY created_at DESC", tenant
        )
        return tuple(await self._with_counts(tenant, rows))

    async def note(self, tenant: str, run_id: str, figures: RunFigures) -> None:
        """Keep the figures of a report for lists of runs; nothing of what was said is in them."""
        await self._db.execute(
            "UPDATE shadow_runs SET facts = facts || jsonb_build_object('figures', $3::jsonb) "
            "WHERE tenant = $1 AND run_id = $2",
            tenant,
            run_id,
            figures.model_dump(mode="json"),
        )

    async def _with_counts(self, tenant: str, rows: Sequence[Mapping[str, Any]]) -> list[RunRow]:
        counts = await self._db.fetch(
            "SELECT run_id, coalesce(failure, CASE WHEN sealed IS NULL THEN 'pair' ELSE 'open' END) AS ended, "
            "count(*) AS cases FROM shadow_cases WHERE tenant = $1 AND run_id = ANY($2) GROUP BY 1, 2",
            tenant,
            [row["run_id"] for row in rows],
        )
        found = []
        for row in rows:
            own = {one["ended"]: one["cases"] for one in counts if one["run_id"] == row["run_id"]}
            failures = {ended: cases for ended, cases in own.items() if ended != "pair"}
            facts = dict(row["facts"])
            figures = facts.pop("figures", None)
            found.append(
                RunRow(
                    tenant=tenant,
                    run_id=row["run_id"],
                    facts=facts,
                    cases=sum(own.values()),
                    pairs=own.get("pair", 0),
                    failures=failures,
                    created_at=row["created_at"],
                    figures=RunFigures.model_validate(figures) if figures else None,
                )
            )
        return found

    def _key(self, tenant: str) -> bytes:
        return self._vault.derive(f"shadow/{tenant}")
