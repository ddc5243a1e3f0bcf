"""The desk: what people may do with an analysis that waits for them. A pure state machine, driven by the workflow.

The workflow owns one `Desk` per review and asks it everything; unit tests drive it without a server. A decision is
bound to a digest of exactly what was shown: when an amendment or an answer changes that, earlier signatures fall.

Who may sign is `signing.Authority`'s to say, who has the review to themselves `claims.Claims`'. Where the authority is
governed by data, a decision that ends the review is pending first: it may be withdrawn for as long as the playbook
says, and takes effect (`settle`) only if it still counts under the terms of that moment (`reconsider`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from countersign.errors import DecisionRefused
from countersign.review.blind import FORMED, Views
from countersign.review.claims import Claims, Held
from countersign.review.editing import apply_edits, check_content
from countersign.review.payloads import (
    AnalysisResult,
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    DecisionRecord,
    Edit,
    EffectDecision,
    SigningPolicy,
    SigningTerms,
    View,
)
from countersign.review.same import same_person
from countersign.review.signing import Authority, stand_for
from countersign.words import Outcome, Route, Severity, Verdict

__all__ = ["Desk", "Pending", "apply_edits", "digest_of", "same_person"]

SIGNING_VERDICTS = (Verdict.APPROVE, Verdict.AMEND)


def digest_of(analysis: AnalysisResult, playbook_version: str, answers: Sequence[Answer]) -> str:
    """SHA-256 (hex) of what a reviewer is shown: findings with evidence, playbook version, answers so far.

    Proposed effects count where there are any, as does the way an answer came: an analysis without them has the digest
    it always had, which decisions in running reviews are bound to.
    """
    shown = {
        "analysis": analysis.model_dump(mode="json", exclude=None if analysis.effects else {"effects"}),
        "playbook_version": playbook_version,
        "answers": [answer.model_dump(mode="json", include={"user", "text"}) for answer in answers],
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def content_of(decision: Decision) -> str:
    """SHA-256 (hex) of what a person decided, to tell a decision that is repeated from another one of the same id."""
    exclude = {"decision_id", "content", "proof", *(() if decision.on_behalf_of else ("on_behalf_of",))}
    given = decision.model_dump(mode="json", exclude=exclude)
    return decision.content or hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Pending:
    """An outcome that takes effect at `due`, unless the decision that gave it is withdrawn or falls before."""

    outcome: Outcome
    due: datetime
    number: int
    """Of that decision, in `Desk.decisions`."""


@dataclass(frozen=True)
class _Unamended:
    """What the latest amendment that counts can be taken back to."""

    number: int
    analysis: AnalysisResult
    amended: bool


class Desk:
    """One review on the desk.

    Life: `closed` until `open()`, then it takes decisions until one of them (or `expire()`) gives the outcome.
    All times are passed in; nothing here reads a clock.
    """

    def __init__(
        self, requester: str, policy: SigningPolicy, playbook_version: str, place: tuple[str, str] = ("", "")
    ) -> None:
        self.authority = Authority(requester, policy, place=place)
        self.claims = Claims()
        self.views = Views()
        self._playbook_version = playbook_version
        self._analysis: AnalysisResult | None = None
        self._required = 1
        self._amended = False
        self._unamended: _Unamended | None = None
        self._escalated = False
        self._seen: dict[str, str] = {}
        """Content of each decision that counted and had an id, by that id."""
        self._counted: list[int] = []
        """Numbers of the decisions that are signatures in force."""
        self.decisions: list[DecisionRecord] = []
        self.answers: list[Answer] = []
        self.question: str | None = None
        self.pending: Pending | None = None
        self.outcome: Outcome | None = None

    def open(self, analysis: AnalysisResult, route: Route) -> None:
        """Put an analysis on the desk; `four_eyes` asks for two different people, the quorum for more perhaps."""
        self._analysis = analysis
        self._required = 2 if route is Route.FOUR_EYES else 1
        self._require()

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
    def held(self) -> Held | None:
        """The latest claim, lapsed or not."""
        return self.claims.held

    @property
    def signatures(self) -> list[DecisionRecord]:
        """Those that count: given since what is shown last changed, each by (and for) other people."""
        return [self.decisions[number] for number in self._counted]

    @property
    def signatures_missing(self) -> int:
        """How many more people must sign."""
        if self._analysis is None or self.outcome is not None or self.pending is not None:
            return 0
        return max(0, self._required - len(self._counted))

    @property
    def counted(self) -> tuple[DecisionRecord, ...]:
        """The decisions that were neither withdrawn nor have fallen, in order."""
        return tuple(d for d in self.decisions if not d.void and d.verdict is not Verdict.WITHDRAW)

    @property
    def corrections(self) -> tuple[Edit, ...]:
        """Every edit that counted, in order."""
        return tuple(edit for decision in self.decisions if not decision.void for edit in decision.edits)

    # --- decisions ---

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
        if not self.already_counted(decision):
            self._check(decision, at)
            self.signed_with(decision, at)

    def _check(self, decision: Decision, at: datetime) -> None:
        """All but the proof."""
        if self.already_counted(decision):
            return
        if decision.verdict is Verdict.WITHDRAW:
            self._check_withdrawal(decision)
        else:
            self._check_waiting()
            self.authority.check_person(decision.reviewer, decision.on_behalf_of, at, escalated=self._escalated)
            self.claims.check_decision(decision, at)
            self._check_other_people(decision)
            self._check_view_stated(decision)
        if decision.digest is not None and decision.digest != self.digest:
            raise DecisionRefused(
                "the decision is for an earlier version of the analysis",
                rule="stale",
                remedy="Look at its status again, then decide",
            )
        check_content(decision, self._analysis, is_question_open=self.question is not None)

    def signed_with(self, decision: Decision, at: datetime) -> str:
        """The id of the key that proves who decided; "" where none is asked for. Raises `DecisionRefused`."""
        return self.authority.check_proof(decision, decision.reviewer, at)

    def decide(self, decision: Decision, at: datetime, *, signed_with: str | None = None) -> Outcome | None:
        """Take a decision; the outcome if it ends the review. Raises `DecisionRefused` as `check` does.

        Where it takes effect only later, there is `pending` instead of an outcome. `signed_with` is what the method of
        this name said, where the decision has been worked on since, so that its proof is no longer of what it says.
        """
        self._check(decision, at)
        if self.already_counted(decision):
            return self.outcome
        if signed_with is None:
            signed_with = self.signed_with(decision, at)
        if decision.decision_id is not None:
            self._seen[decision.decision_id] = content_of(decision)
        on_behalf_of = decision.on_behalf_of
        if decision.verdict is Verdict.WITHDRAW:
            on_behalf_of = self._withdraw(decision.reviewer)
        else:
            self.claims.give_back()
        number = len(self.decisions)
        if decision.verdict is Verdict.AMEND and self._analysis is not None:
            self._unamended = _Unamended(number, self._analysis, self._amended)
            self._analysis = apply_edits(self._analysis, decision.edits)
            self._amended = True
            self._counted.clear()
            self._require()
        self.decisions.append(
            DecisionRecord(
                verdict=decision.verdict,
                reviewer=decision.reviewer,
                note=decision.note,
                edits=decision.edits,
                question=decision.question,
                digest=self.digest or "",
                at=at,
                on_behalf_of=on_behalf_of,
                signed_with=signed_with,
                view=self.views.of(decision.reviewer) if decision.verdict in FORMED else None,
            )
        )
        if decision.verdict is Verdict.WITHDRAW:
            return None
        if decision.verdict in SIGNING_VERDICTS:
            self._counted.append(number)
        self.question = decision.question if decision.verdict is Verdict.ASK else None
        if decision.verdict is Verdict.REJECT:
            self._reach(Outcome.REJECTED, at)
        elif decision.verdict in SIGNING_VERDICTS and self.signatures_missing == 0:
            self._reach(Outcome.AMENDED if self._amended else Outcome.APPROVED, at)
        return self.outcome

    def settle(self, at: datetime) -> Outcome | None:
        """Let a pending outcome that is due take effect. Call `reconsider` with the terms in force before."""
        if self.pending is not None and at >= self.pending.due:
            self.outcome, self.pending = self.pending.outcome, None
        return self.outcome

    def reconsider(self, terms: SigningTerms) -> tuple[DecisionRecord, ...]:
        """Hear who may sign now. Decisions that count no more, with the rule they break; they have fallen."""
        self.authority = replace(self.authority, terms=terms)
        if self.outcome is not None or self._analysis is None:
            return ()
        self._require()
        standing = {*self._counted, *([self.pending.number] if self.pending is not None else [])}
        fallen = []
        for number in sorted(standing):
            rule = self.authority.objection(self.decisions[number], escalated=self._escalated)
            if rule:
                fallen.append(self._void(number, rule))
        self._recheck()
        return tuple(fallen)

    def _reach(self, outcome: Outcome, at: datetime) -> None:
        if self.authority.is_governed:
            due = at + timedelta(seconds=self.authority.policy.undo_s)
            self.pending = Pending(outcome, due, len(self.decisions) - 1)
        else:
            self.outcome = outcome

    def _require(self) -> None:
        """How many must sign can grow while the review waits, and never shrinks."""
        findings = self._analysis.key_findings if self._analysis is not None else ()
        worst = max((finding.gravest for finding in findings), key=lambda s: s.rank, default=Severity.INFO)
        self._required = max(self._required, self.authority.people_needed(worst))

    def _void(self, number: int, why: str) -> DecisionRecord:
        """Have a decision count no more. An amendment takes what it changed with it, and all that was signed since."""
        record = self.decisions[number] = self.decisions[number].model_copy(update={"void": why})
        if self._unamended is not None and self._unamended.number == number:
            self._analysis, self._amended = self._unamended.analysis, self._unamended.amended
            self._unamended = None
            self._counted.clear()
        if number in self._counted:
            self._counted.remove(number)
        self._recheck(number)
        return record

    def _recheck(self, fallen: int | None = None) -> None:
        """A pending outcome falls with the decision that gave it, and when signatures have come to be missing."""
        pending = self.pending
        if pending is None:
            return
        rests_on_signatures = pending.outcome is not Outcome.REJECTED
        if pending.number == fallen or (rests_on_signatures and len(self._counted) < self._required):
            self.pending = None

    # --- taking back ---

    def _check_withdrawal(self, decision: Decision) -> None:
        if self.outcome is not None:
            self._check_waiting()
        if self.pending is None:
            raise DecisionRefused(
                "no decision can be withdrawn: none that ends the review is pending",
                rule="not_pending",
                remedy="Decide, or wait for its outcome",
            )
        if self._own(decision.reviewer) is None:
            raise DecisionRefused(
                "none of the decisions in force is this person's",
                rule="not_own",
                remedy="Ask who made it to withdraw it",
            )

    def _withdraw(self, person: str) -> str | None:
        """Void the person's decision; in whose name it was made, if in another's."""
        own = self._own(person)
        if own is None:
            return None
        behalf = self._void(own, "withdrawn").on_behalf_of
        return None if behalf is None or same_person(behalf, person) else behalf

    def _own(self, person: str) -> int | None:
        """The decision in force that this person made, or that was made in their name; the one that is pending first.

        None when there is none.
        """
        numbers = [*([self.pending.number] if self.pending is not None else []), *reversed(self._counted)]
        own = (n for n in numbers if any(same_person(person, name) for name in stand_for(self.decisions[n])))
        return next(own, None)

    # --- questions, time ---

    def check_answer(self, answer: Answer, at: datetime) -> None:
        """Raise `DecisionRefused` unless a question is open and its requester answers."""
        if self.question is None or self.outcome is not None or self.pending is not None:
            raise DecisionRefused("no question is open on this review", rule="no_question", remedy="See its status")
        if not same_person(answer.user, self.authority.requester):
            raise DecisionRefused(
                "only the requester may answer",
                rule="not_requester",
                remedy="Answer as the user who submitted the review",
            )
        if answer.digest is not None and answer.digest != self.digest:
            raise DecisionRefused(
                "the answer is to an earlier version of the analysis", rule="stale", remedy="Look at its status again"
            )
        self.authority.check_proof(answer, answer.user, at)

    def answer(self, answer: Answer, at: datetime) -> None:
        """Take the requester's answer and give the review back to the reviewers. Raises as `check_answer` does."""
        self.check_answer(answer, at)
        self.answers.append(answer)
        self._counted.clear()
        self.question = None

    def escalate(self) -> None:
        """From now on leads may sign as well."""
        self._escalated = True

    def expire(self) -> None:
        """Nobody decided in time: the safe default, never a release. Without effect once there is an outcome."""
        if self.outcome is None and self.pending is None:
            self.outcome = Outcome.EXPIRED
            self.question = None

    # --- views ---

    def check_view(self, view: View, at: datetime) -> str:
        """The id of the key that proves who states it ("": none is asked for).

        Raises `DecisionRefused` unless views are captured, and the person may sign and has stated no other one.
        """
        if not self.authority.fixed.blind:
            raise DecisionRefused(
                "no views are captured on this review",
                rule="not_blind",
                remedy="Decide on it; the playbook's [signing] blind_capture would ask for a view first",
            )
        self._check_waiting()
        self.authority.check_person(view.reviewer, None, at, escalated=self._escalated, claims=True)
        if view.digest is not None and view.digest != self.digest:
            raise DecisionRefused(
                "the view is of an earlier version of the analysis", rule="stale", remedy="Look at its status again"
            )
        self.views.check(view)
        return self.authority.check_proof(view, view.reviewer, at)

    def view(self, view: View, at: datetime) -> bool:
        """Keep what a reviewer would do; False when it was kept before. Raises as `check_view` does."""
        signed_with = self.check_view(view, at)
        return self.views.take(view, at, digest=self.digest or "", signed_with=signed_with)

    # --- claims ---

    def check_claim(self, claim: Claim, at: datetime) -> None:
        """Raise `DecisionRefused` unless the claim, its release or its assignment would be granted at this time."""
        self._check_waiting()
        lead = self.authority.is_lead(claim.reviewer)
        if lead:
            self.authority.check_requester(claim.reviewer)
        if claim.assign_to is not None or not (lead and claim.release):
            self.authority.check_person(
                claim.assign_to or claim.reviewer, None, at, escalated=self._escalated, claims=True
            )
        self.claims.check(claim, at, lead=lead)

    def claim(self, claim: Claim, at: datetime, review_id: str) -> ClaimReceipt:
        """Grant, renew, give back or assign a claim. A renewed one keeps its token; raises as `check_claim` does."""
        self.check_claim(claim, at)
        return self.claims.take(claim, at, review_id)

    def check_effect(self, decision: EffectDecision, at: datetime, *, approve: bool) -> str:
        """The id of the key that proves who decides on an effect ("": none is asked for).

        Raises `DecisionRefused` unless they may sign this review.
        """
        self.authority.check_person(decision.reviewer, None, at, escalated=self._escalated)
        return self.authority.check_proof(decision, decision.reviewer, at, approve=approve)

    # --- what is checked ---

    def _check_waiting(self) -> None:
        if self.outcome is not None:
            raise DecisionRefused(
                f"the review is already decided: {self.outcome}", rule="decided", remedy="See its trail"
            )
        if self.pending is not None:
            raise DecisionRefused(
                f"the review is decided: {self.pending.outcome}, from {self.pending.due:%Y-%m-%d %H:%M} UTC",
                rule="pending",
                remedy="Until then whoever decided may withdraw it",
            )
        if self._analysis is None:
            raise DecisionRefused(
                "the review does not wait for a person (yet)",
                rule="not_waiting",
                remedy="Watch it until its stage is 'sign'",
            )

    def _check_view_stated(self, decision: Decision) -> None:
        if not self.authority.fixed.blind or decision.verdict not in FORMED:
            return
        if self.views.of(decision.reviewer) is None:
            raise DecisionRefused(
                "this reviewer has not stated a view yet",
                rule="no_view",
                remedy="State what you would do first (`countersign view`); then you are told how sure the machine is",
            )

    def _check_other_people(self, decision: Decision) -> None:
        """Whoever signs, and whoever is signed for, must not stand behind a signature already."""
        if decision.verdict is not Verdict.APPROVE:
            return
        signed = [name for signature in self.signatures for name in stand_for(signature)]
        if any(same_person(one, other) for one in stand_for(decision) for other in signed):
            raise DecisionRefused(
                "this reviewer has already signed; a second pair of eyes is needed",
                rule="signed_twice",
                remedy="Ask another person",
            )
