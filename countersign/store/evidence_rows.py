"""Rows of the evidence as people and reports read them."""

from collections.abc import Mapping
from datetime import datetime
from math import exp
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from countersign.evidence.audit_sample import AuditPolicy, share_looked_at
from countersign.evidence.level import LADDER, CellState, EvidencePolicy, propose
from countersign.words import Autonomy


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CellRow(_Row):
    """A cell and where its present arm stands on the way to the next level.

    `pairs` and `agreed` count reviews that people decided with any arm; `items` are those that count as evidence about
    this one, shadow runs included. `capital` is the e-value against "agreement is at most the bar" of the next level;
    it takes `takes`. `proposed`: the evidence is enough, a signature is missing. `granted`: an override that waits for
    its first review. `still_open`: reviews that wait for people although later ones have counted; while they
    could turn out to be disagreements that the evidence does not bear, nothing is proposed. `audited` is the share of
    what would be released that a person looks at all the same. `suspicion` is how far the watch is towards taking the
    level back, in [0, 1).
    """

    tenant: str
    playbook: str
    contract_type: str
    autonomy: Autonomy
    pairs: int = 0
    agreed: int = 0
    arm: str = ""
    items: int = 0
    criticals: int = 0
    agreement: float | None = None
    since: int = 0
    next_level: Autonomy | None = None
    bar: float | None = None
    capital: float | None = None
    takes: float | None = None
    still_needed: int | None = None
    proposed: bool = False
    still_open: int = 0
    audited: float = 1.0
    reasons: tuple[str, ...] = ()
    suspicion: float = 0.0
    overridden: bool = False
    granted: Autonomy | None = None
    threshold: float | None = None
    threshold_pairs: int = 0

    @classmethod
    def of(cls, row: Mapping[str, Any], policy: EvidencePolicy, audit: AuditPolicy) -> Self:
        """From a cell joined with its arm's state."""
        given = {name: row[name] for name in ("tenant", "playbook", "contract_type", "autonomy", "pairs", "agreed")}
        given |= {"arm": row["arm"] or "", "granted": row["granted"], "still_open": row["still_open"]}
        if row["confidence"]:
            given |= {name: row["confidence"][name] for name in ("threshold", "threshold_pairs")}
        if not row["state"]:
            return cls.model_validate(given)
        state = CellState.model_validate(row["state"])
        given |= {"items": state.items, "criticals": state.criticals, "suspicion": state.suspicion(policy)}
        given["audited"] = share_looked_at(state.level, state.suspicion(policy), audit)
        held = LADDER[1 : LADDER.index(state.level) + 1]
        given["overridden"] = any(state.track(level).overridden for level in held)
        if state.level is not Autonomy.AUTONOMOUS:
            after = LADDER[LADDER.index(state.level) + 1]
            growth = state.track(after).growth
            proposal = propose(state, policy, row["still_open"])
            given |= {
                "agreement": growth.agreement,
                "since": growth.items,
                "next_level": after,
                "bar": growth.bar,
                "capital": exp(min(growth.log_e, 700)),
                "takes": policy.threshold,
                "still_needed": growth.still_needed(policy.threshold),
                "proposed": proposal is not None,
                "reasons": proposal.reasons if proposal else (),
            }
        else:
            given |= {"agreement": state.autonomous.growth.agreement, "since": state.autonomous.growth.items}
        return cls.model_validate(given)


class HistoryRow(_Row):
    """One change of a cell's level. `rule`: signed, override, critical, watch, person or arm."""

    level_before: Autonomy
    level: Autonomy
    by_hash: str
    reason: str
    rule: str
    arm: str | None = None
    evidence: dict[str, Any] | None = None
    changed_at: datetime


class ItemRow(_Row):
    """One judged review. `source`: review (live), shadow (judged blind) or labels (a shadow run)."""

    workflow_id: str
    tenant: str
    review_id: str
    playbook: str
    contract_type: str
    arm: str
    source: str
    run_id: str | None
    submitted_at: datetime
    document_sha256: str
    stated: float
    agreement: float
    propensity: float
    least: float
    critical: bool
    counted: bool
    route: str | None
    verdict: str | None
    machine_s: float
    cost_microusd: int
    sealed: bytes = Field(repr=False)
