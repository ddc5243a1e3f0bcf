"""The desk: what people may do with an analysis that waits for them. A pure state machine, driven by the workflow.

The workflow owns one `Desk` per review and asks it everything; unit tests drive it without a server. A decision is
bound to a digest of exactly what was shown: when an amendment or an answer changes that, earlier signatures fall.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from countersign.errors import DecisionRefused
from countersign.review.payloads import (
    AnalysisResult,
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    DecisionRecord,
    Edit,
    Finding,
    SigningPolicy,
)
from countersign.sentinel.normalise import fold
from countersign.words import Outcome, Route, Verdict

SIGNING_VERDICTS = (Verdict.APPROVE, Verdict.AMEND)


def digest_of(analysis: AnalysisResult, playbook_version: str, answers: Sequence[Answer]) -> str:
    """SHA-256 (hex) of what a reviewer is shown: findings with evidence, playbook version, answers so far.

    Proposed effects count where there are any: an analysis without them has the digest it always had, which decisions
    in running reviews are bound to.
    """
    shown = {
        "analysis": analysis.model_dump(mode="json", exclude=None if analysis.effects else {"effects"}),
        "playbook_version": playbook_version,
        "answers": [answer.model_dump(mode="json") for answer in answers],
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def content_of(decision: Decision) -> str:
    """SHA-256 (hex) of what a person decided, to tell a decision that is repeated from another one of the same id."""
    given = decision.model_dump(mode="json", exclude={"decision_id", "content"})
    return decision.content or hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def apply_edits(analysis: AnalysisResult, edits: Sequence[Edit]) -> AnalysisResult:
    """The analysis with the edits made, in order. Raises `DecisionRefused` that names the edit that cannot be made."""
    findings = {finding.id: finding for finding in analysis.key_findings}
    added = 0
    for number, edit in enumerate(edits, start=1):
        if edit.action == "add":
            if not (edit.clause and edit.severity and edit.statement):
                raise DecisionRefused(
                    f"edit {number} adds a finding without clause, severity and statement",
                    rule="edit",
                    remedy="Give all three, for example add:governing_law:high:The law named is not ours",
                )
            added += 1
            while f"H{added}" in findings:
                added += 1
            findings[f"H{added}"] = Finding(
                id=f"H{added}",
                clause=edit.clause,
                severity=edit.severity,
                statement=edit.statement,
                specialist="reviewer",
            )
            continue
        finding = findings.get(edit.finding_id or "")
        if finding is None:
            raise DecisionRefused(
                f"edit {number} names a finding that is not there",
                rule="edit",
                remedy=f"The findings are {', '.join(findings) or 'none'}",
            )
        if edit.action == "remove":
            del findings[finding.id]
            continue
        changes = edit.model_dump(include={"clause", "severity", "statement"}, exclude_none=True)
        if not changes:
            raise DecisionRefused(
                f"edit {number} of {finding.id} changes nothing",
                rule="edit",
                remedy="Give severity, statement or clause",
            )
        findings[finding.id] = finding.model_copy(update=changes)
    return analysis.model_copy(update={"key_findings": tuple(findings.values())})


def same_person(one: str, other: str) -> bool:
    """Whether two names mean the same person, whatever their case, blanks, look-alike letters or hidden characters.

    Names are not authenticated here (a gateway does that); this only keeps a spelling from passing for somebody else.
    """
    return _person(one) == _person(other)


def _person(name: str) -> str:
    return "".join(fold(name).text.casefold().split())


@dataclass(frozen=True)
class Held:
    """A claim that was given: a lease with a fencing token."""

    reviewer: str
    token: int
    until: datetime


class Desk:
    """One review on the desk.

    Life: `closed` until `open()`, then it takes decisions until one of them (or `expire()`) gives the outcome.
    All times are passed in; nothing here reads a clock.
    """

    def __init__(self, requester: str, policy: SigningPolicy, playbook_version: str) -> None:
        self._requester = requester
        self._policy = policy
        self._playbook_version = playbook_version
        self._analysis: AnalysisResult | None = None
        self._required = 1
        self._amended = False
        self._seen: dict[str, str] = {}
        """Content of each decision that counted and had an id, by that id."""
        self.decisions: list[DecisionRecord] = []
        self.signatures: list[DecisionRecord] = []
        """Those that count: given since what is shown last changed, each by another person."""
        self.answers: list[Answer] = []
        self.question: str | None = None
        self.outcome: Outcome | None = None
        self.held: Held | None = None
        """The latest claim, lapsed or not; None when it was given back or its holder has decided."""
        self._tokens = 0

    def open(self, analysis: AnalysisResult, route: Route) -> None:
        """Put an analysis on the desk; `four_eyes` asks for two different people."""
        self._analysis = analysis
        self._required = 2 if route is Route.FOUR_EYES else 1

    def unveil(self, analysis: AnalysisResult, uncounted: Decision | None = None) -> None:
        """Show this from now on, without the probe; `uncounted` is a decision that must be given again."""
        self._analysis = analysis
        if uncounted is not None and uncounted.decision_id is not None:
            self._seen[uncounted.decision_id] = content_of(uncounted)

    @property
    def analysis(self) -> AnalysisResult | None:
        """The analysis as it stands, amendments made."""
        return self._analysis

    @property
    def digest(self) -> str | None:
        """Digest of what is shown now, or None while nothing is."""
        return digest_of(self._analysis, self._playbook_version, self.answers) if self._analysis else None

    @property
    def signatures_missing(self) -> int:
        """How many more people must sign."""
        if self._analysis is None or self.outcome is not None:
            return 0
        return max(0, self._required - len(self.signatures))

    @property
    def corrections(self) -> tuple[Edit, ...]:
        """Every edit that counted, in order."""
        return tuple(edit for decision in self.decisions for edit in decision.edits)

    def already_counted(self, decision: Decision) -> bool:
        """Whether this very decision (by `decision_id`) has counted before: a retry, answered like the first time.

        Raises `DecisionRefused` when the id is another decision's.
        """
        seen = self._seen.get(decision.decision_id or "")
        if seen is not None and seen != content_of(decision):
            raise DecisionRefused(
                "another decision was given under this id before", rule="key_reused", remedy="Use a new id for it"
            )
        return seen is not None

    def check(self, decision: Decision, at: datetime) -> None:
        """Raise `DecisionRefused` unless the decision would count at this time. Changes nothing."""
        if self.already_counted(decision):
            return
        self._check_waiting()
        self._check_person(decision.reviewer)
        self._check_claim(decision, at)
        if decision.verdict is Verdict.APPROVE and any(
            same_person(decision.reviewer, signature.reviewer) for signature in self.signatures
        ):
            raise DecisionRefused(
                "this reviewer has already signed; a second pair of eyes is needed",
                rule="signed_twice",
                remedy="Ask another person",
            )
        if decision.digest is not None and decision.digest != self.digest:
            raise DecisionRefused(
                "the decision is for an earlier version of the analysis",
                rule="stale",
                remedy="Look at its status again, then decide",
            )
        self._check_content(decision)

    def decide(self, decision: Decision, at: datetime) -> Outcome | None:
        """Take a decision; the outcome if it ends the review. Raises `DecisionRefused` as `check` does."""
        self.check(decision, at)
        if self.already_counted(decision):
            return self.outcome
        self.held = None
        if decision.decision_id is not None:
            self._seen[decision.decision_id] = content_of(decision)
        if decision.verdict is Verdict.AMEND and self._analysis is not None:
            self._analysis = apply_edits(self._analysis, decision.edits)
            self._amended = True
            self.signatures.clear()
        record = DecisionRecord(
            verdict=decision.verdict,
            reviewer=decision.reviewer,
            note=decision.note,
            edits=decision.edits,
            question=decision.question,
            digest=self.digest or "",
            at=at,
        )
        self.decisions.append(record)
        if decision.verdict in SIGNING_VERDICTS:
            self.signatures.append(record)
        self.question = decision.question if decision.verdict is Verdict.ASK else None
        if decision.verdict is Verdict.REJECT:
            self.outcome = Outcome.REJECTED
        elif decision.verdict in SIGNING_VERDICTS and self.signatures_missing == 0:
            self.outcome = Outcome.AMENDED if self._amended else Outcome.APPROVED
        return self.outcome

    def check_answer(self, answer: Answer) -> None:
        """Raise `DecisionRefused` unless a question is open and its requester answers."""
        if self.question is None or self.outcome is not None:
            raise DecisionRefused("no question is open on this review", rule="no_question", remedy="See its status")
        if not same_person(answer.user, self._requester):
            raise DecisionRefused(
                "only the requester may answer",
                rule="not_requester",
                remedy="Answer as the user who submitted the review",
            )

    def answer(self, answer: Answer) -> None:
        """Take the requester's answer and give the review back to the reviewers. Raises as `check_answer` does."""
        self.check_answer(answer)
        self.answers.append(answer)
        self.signatures.clear()
        self.question = None

    def expire(self) -> None:
        """Nobody decided in time: the safe default, never a release. Without effect once there is an outcome."""
        if self.outcome is None:
            self.outcome = Outcome.EXPIRED
            self.question = None

    def check_claim(self, claim: Claim, at: datetime) -> None:
        """Raise `DecisionRefused` unless the claim (or its release) would be granted at this time."""
        self._check_waiting()
        self._check_person(claim.reviewer)
        held = self._live(at)
        if held is not None and not same_person(held.reviewer, claim.reviewer):
            raise _claimed(held)
        if claim.release and held is None:
            raise DecisionRefused(
                "there is no claim of this reviewer to give back", rule="not_claimed", remedy="See its status"
            )

    def claim(self, claim: Claim, at: datetime, review_id: str) -> ClaimReceipt:
        """Grant, renew or give back a claim. A renewed one keeps its token; raises as `check_claim` does."""
        self.check_claim(claim, at)
        if claim.release:
            self.held = None
            return ClaimReceipt(review_id=review_id, token=self._tokens)
        if self._live(at) is None:
            self._tokens += 1
        self.held = Held(claim.reviewer, self._tokens, at + timedelta(seconds=claim.lease_s))
        return ClaimReceipt(review_id=review_id, token=self._tokens, until=self.held.until)

    def _live(self, at: datetime) -> Held | None:
        return self.held if self.held is not None and at < self.held.until else None

    def _check_claim(self, decision: Decision, at: datetime) -> None:
        """Another's live claim bars the way, and a fencing token must be that of the claim in force."""
        held = self._live(at)
        if held is not None and not same_person(held.reviewer, decision.reviewer):
            raise _claimed(held)
        if decision.claim is not None and (held is None or held.token != decision.claim):
            raise DecisionRefused(
                f"claim {decision.claim} has lapsed or was given back",
                rule="claim_lapsed",
                remedy="Claim the review again, look at it, then decide",
            )

    def _check_waiting(self) -> None:
        if self.outcome is not None:
            raise DecisionRefused(
                f"the review is already decided: {self.outcome}", rule="decided", remedy="See its trail"
            )
        if self._analysis is None:
            raise DecisionRefused(
                "the review does not wait for a person (yet)",
                rule="not_waiting",
                remedy="Watch it until its stage is 'sign'",
            )

    def _check_person(self, reviewer: str) -> None:
        if same_person(reviewer, self._requester):
            raise DecisionRefused(
                "the requester may not decide on their own review", rule="requester", remedy="Ask another person"
            )
        allowed = self._policy.reviewers
        if allowed and not any(same_person(reviewer, name) for name in allowed):
            raise DecisionRefused(
                "this reviewer may not sign under the playbook",
                rule="not_allowed",
                remedy="See [signing] reviewers in the playbook",
            )

    def _check_content(self, decision: Decision) -> None:
        nothing = self._analysis is not None and not self._analysis.key_findings and self._analysis.confidence == 0
        if decision.verdict is Verdict.APPROVE and nothing:
            raise DecisionRefused(
                "no agent has analysed this contract, so there is nothing to approve",
                rule="nothing_analysed",
                remedy="Add your own findings with amend, or reject it",
            )
        if decision.verdict is Verdict.AMEND:
            if not decision.edits or self._analysis is None:
                raise DecisionRefused(
                    "an amendment needs at least one edit", rule="no_edits", remedy="Name a finding and its change"
                )
            apply_edits(self._analysis, decision.edits)
        elif decision.edits:
            raise DecisionRefused(
                f"{decision.verdict} takes no edits", rule="edits", remedy="Use amend to change findings"
            )
        if decision.verdict is Verdict.ASK:
            if not decision.question.strip():
                raise DecisionRefused("ask needs a question", rule="no_text", remedy="Give the question's text")
            if self.question is not None:
                raise DecisionRefused(
                    "a question is already open",
                    rule="question_open",
                    remedy="Wait for the answer, or decide without it",
                )


def _claimed(held: Held) -> DecisionRefused:
    return DecisionRefused(
        f"another reviewer has claimed it until {held.until:%Y-%m-%d %H:%M} UTC",
        rule="claimed",
        remedy="Wait until the claim is given back or lapses",
    )
