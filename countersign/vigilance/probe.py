"""Vigilance probes: a finding known to be wrong, in what a reviewer is shown, and out again with their decision. Pure.

A probe says that a clause stands at the playbook's walk-away position and quotes, word for word, a passage about
something else. Whoever reads the quotation sees it. The gate has routed the review before there is a probe; the first
decision takes it out, whatever it is: no outcome, correction, evidence or effect ever knows of it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from countersign.playbook.model import Playbook
from countersign.review.desk import content_of
from countersign.review.payloads import AnalysisResult, Decision, Edit, Finding, Probe, ProbeSeed
from countersign.review.verify import numbered
from countersign.words import Position, Severity, Verdict

MOST_SEEDS = 6
GRAVEST = Severity.HIGH
"""A probe is never critical: it must not look as if two people had to sign."""
CONFIDENCE = (0.55, 0.85)
"""A probe is as sure as the finding whose quotation it borrows, within these bounds."""
_ID = re.compile(r"\bF\d+\b")


def drawn(pseudonym: str, share: float) -> bool:
    """Whether a review carries a probe: the same answer for the same pseudonym, and for `share` of them yes.

    `pseudonym` ends in hexadecimal digits of a keyed hash of the review's id, so nobody without the key can tell.
    """
    digits = pseudonym.rpartition(":")[2]
    return int(digits, 16) / 16.0 ** len(digits) < share


def seeds(playbook: Playbook, rank: Callable[[str], str]) -> tuple[ProbeSeed, ...]:
    """Wrong findings that the playbook makes plausible, at most six, by `rank` (a keyed hash) of their family."""
    families = sorted((family for family in playbook.families if not family.required), key=lambda f: rank(f.key))
    return tuple(
        ProbeSeed(
            clause=family.key,
            specialist=family.specialist,
            severity=min(family.severity, GRAVEST, key=lambda severity: severity.rank),
            statement=f"{family.title}: the clause reads like the playbook's walk-away position: "
            f"{family.walk_away.text.strip().rstrip('.')}.",
            suggestion=family.preferred.text,
        )
        for family in families[:MOST_SEEDS]
    )


@dataclass(frozen=True)
class Planted:
    """An analysis as a reviewer is shown it, with a probe in it, and the way back."""

    shown: AnalysisResult
    clean: AnalysisResult
    probe_id: str
    """Id of the probe among what is shown."""
    real_ids: dict[str, str]
    """By the id a finding is shown with, the one it has."""

    def without(self, decision: Decision) -> "Taken":
        """The decision as it counts, and whether the probe was noticed.

        Edits of the probe are left out; an amendment of nothing else is an approval. A rejection or a question may be
        owed to the probe, so it does not count: the reviewer is told, and decides again on what is real.
        """
        # What is added has an id of its own, whatever its edit names.
        on_probe = [edit for edit in decision.edits if edit.finding_id == self.probe_id and edit.action != "add"]
        if decision.verdict in (Verdict.REJECT, Verdict.ASK):
            return Taken(None, True if decision.verdict is Verdict.REJECT else None)
        edits = tuple(self._real(edit) for edit in decision.edits if edit not in on_probe)
        amends = decision.verdict is Verdict.AMEND and bool(edits)
        counted = decision.model_copy(
            update={
                "verdict": Verdict.AMEND if amends else Verdict.APPROVE,
                "edits": edits,
                "note": _renamed(decision.note, self.real_ids),
                # It was bound to what was shown, and has been checked against that.
                "digest": None,
                "claim": None,
                "content": content_of(decision),
            }
        )
        return Taken(counted, bool(on_probe))

    def _real(self, edit: Edit) -> Edit:
        known = self.real_ids.get(edit.finding_id or "", edit.finding_id)
        return edit.model_copy(update={"finding_id": known})


@dataclass(frozen=True)
class Taken:
    """What is left of a decision on a probed review: None when it must be given again. `caught` None: not to tell."""

    decision: Decision | None
    caught: bool | None


def planted(analysis: AnalysisResult, probe: Probe) -> Planted | None:
    """The analysis with the first probe that fits it, or None when none does.

    A probe is about a family that has no finding, and quotes a passage that another specialist quoted.
    """
    found = {finding.clause for finding in analysis.key_findings}
    for seed in probe.seeds:
        lender = _lender(analysis.key_findings, seed)
        if seed.clause not in found and lender is not None:
            return _inserted(analysis, seed, lender)
    return None


def _lender(findings: Sequence[Finding], seed: ProbeSeed) -> Finding | None:
    """The first finding of another specialist that quotes the document."""
    return next((one for one in findings if one.evidence and one.specialist not in ("", seed.specialist)), None)


def _inserted(analysis: AnalysisResult, seed: ProbeSeed, lender: Finding) -> Planted:
    low, high = CONFIDENCE
    wrong = Finding(
        id="",
        clause=seed.clause,
        severity=seed.severity,
        statement=seed.statement,
        position=Position.WALK_AWAY,
        evidence=lender.evidence[:1],
        confidence=min(max(lender.confidence, low), high),
        specialist=seed.specialist,
        suggestion=seed.suggestion,
    )
    real = {_content(finding): finding.id for finding in analysis.key_findings}
    shown = numbered((*analysis.key_findings, wrong))
    probe_id = next(finding.id for finding in shown if _content(finding) == _content(wrong))
    real_ids = {finding.id: real[_content(finding)] for finding in shown if finding.id != probe_id}
    return Planted(
        shown=analysis.model_copy(
            update={
                "key_findings": shown,
                "summary": _renamed(analysis.summary, {was: now for now, was in real_ids.items()}),
            }
        ),
        clean=analysis,
        probe_id=probe_id,
        real_ids=real_ids,
    )


def _content(finding: Finding) -> str:
    return finding.model_dump_json(exclude={"id"})


def _renamed(text: str, names: dict[str, str]) -> str:
    """The text with every finding called by its other id."""
    return _ID.sub(lambda match: names.get(match.group(), match.group()), text)
