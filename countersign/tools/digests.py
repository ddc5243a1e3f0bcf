"""Digests that approvals are bound to: of a tool call's arguments, and of the evidence an effect rests on. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from countersign.review.payloads import Effect, Finding


def canonical(value: object) -> str:
    """`value` as JSON that is equal exactly when the value is. Raises ValueError for what JSON cannot say."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def args_digest(tool: str, args: Mapping[str, Any]) -> str:  # any JSON
    """SHA-256 (hex) of a tool's name and arguments."""
    return hashlib.sha256(canonical([tool, dict(args)]).encode()).hexdigest()


def evidence_digest(effect: Effect, document_sha256: str, findings: Sequence[Finding]) -> str:
    """SHA-256 (hex) of what an effect rests on: the document, its quotations there, and the findings on its clause.

    It changes when a person corrects one of those findings.
    """
    rests_on = {
        "document": document_sha256,
        "evidence": [evidence.model_dump(mode="json") for evidence in effect.evidence],
        "findings": [finding.model_dump(mode="json") for finding in findings if finding.clause == effect.clause],
    }
    return hashlib.sha256(canonical(rests_on).encode()).hexdigest()


def binding_digest(effect: Effect, *, version: int, evidence: str, policy: str) -> str:
    """SHA-256 (hex) of all that an approver is shown of an item: what an approval may name instead of each part."""
    return hashlib.sha256(canonical([effect.id, version, effect.args_digest, evidence, policy]).encode()).hexdigest()
