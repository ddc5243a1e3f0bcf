"""What people decide of one review: taken by its desk, answered, shown and written down. Pure but for the record."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from countersign.errors import CountersignError
    from countersign.review.desk import Desk, content_of
    from countersign.review.parse import parse
    from countersign.review.payloads import Answer, Decision, Receipt, View
    from countersign.vigilance.watch import Watch, also
    from countersign.words import Outcome, Verdict

from workflows.effects import Effects
from workflows.record import Record

MAX_REFUSED_ON_TRAIL = 100
"""Refused signals beyond this many leave no row, so that a flood of them cannot fill the history."""


class Decisions:
    """The desk with its surroundings: record, vigilance probe, and the effects that rest on what is shown.

    `desk` is put in its place by admission, which fixes who may sign.
    """

    def __init__(self, record: Record, desk: Desk, watch: Watch, effects: Effects) -> None:
        self.desk = desk
        self._record = record
        self._watch = watch
        self._effects = effects
        self._refused = 0

    def take(self, decision: Decision) -> Receipt:
        """Take a decision that counts, or answer a repeated one as the first time."""
        receipts = self._record.status.receipts
        if self.desk.already_counted(decision):
            return self._watch.told(decision.decision_id, receipts[decision.decision_id or ""])
        signed_with = self.desk.signed_with(decision, workflow.now())
        probed = self._watch.take(self.desk, decision, workflow.now())
        if probed is not None:
            caught: dict[str, Any] = {} if probed.caught is None else {"caught": probed.caught}
            self._record.note("probed", actor=decision.reviewer, verdict=decision.verdict, **caught)
            if probed.decision is None:
                self.show()
                receipt = self._keep(decision, counted=False)
                self._record.write()
                return receipt.model_copy(update={"notice": probed.notice})
            decision = probed.decision
        self.desk.decide(decision, workflow.now(), signed_with=signed_with)
        if decision.verdict in {Verdict.AMEND, Verdict.WITHDRAW} and self.desk.analysis is not None:
            self._effects.corrected(self.desk.analysis.key_findings)
        events = {Verdict.ASK: "asked", Verdict.WITHDRAW: "withdrawn"}
        facts: dict[str, Any] = {"verdict": decision.verdict, "edits": len(decision.edits), "digest": self.desk.digest}
        if signed_with:
            facts["signed_with"] = signed_with
        taken = self.desk.decisions[-1]
        if taken.view is not None:
            facts |= {"view": taken.view, "changed": taken.view is not taken.verdict}
        if self.desk.pending is not None:
            facts["pending"] = self.desk.pending.outcome
        self.show()
        receipt = self._keep(decision, notice=self._left_out())
        event = events.get(decision.verdict, "decided")
        self._record.done(event, actor=decision.reviewer, concerns=taken.on_behalf_of, **facts)
        return receipt if probed is None else also(receipt, probed.notice)

    def _left_out(self) -> str:
        """What a signature leaves undone: the effects that nobody has approved."""
        outcome = self.desk.outcome or (self.desk.pending.outcome if self.desk.pending else None)
        items = self._effects.unapproved() if outcome in {Outcome.APPROVED, Outcome.AMENDED} else ()
        return f"nobody approved {', '.join(items)}: what is not approved is declined" if items else ""

    def _keep(self, decision: Decision, *, counted: bool = True, notice: str = "") -> Receipt:
        """The receipt of a decision just taken, kept for when it comes again."""
        receipt = self.receipt().model_copy(
            update={"verdict": decision.verdict, "content": content_of(decision), "counted": counted, "notice": notice}
        )
        if decision.decision_id is not None:
            receipts = self._record.status.receipts
            self._record.progress.update(receipts={**receipts, decision.decision_id: receipt})
        return receipt

    def by_signal(self, verdict: Verdict, given: object) -> None:
        """The same decision by signal, judged by the same rules; a refusal is written to the trail."""
        try:
            fields = {**given, "verdict": verdict} if isinstance(given, dict) else given
            self.take(parse(Decision, fields, 'Give at least {"reviewer": "…"}'))
        except CountersignError as error:
            self.refuse(error, verdict, given)

    def view(self, view: View) -> Receipt:
        """Keep what a reviewer would do, and let them see the rest."""
        if self.desk.view(view, workflow.now()):
            self.show()
            self._record.done("viewed", actor=view.reviewer, verdict=view.verdict, digest=self.desk.digest)
        return self.receipt()

    def answer(self, answer: Answer) -> None:
        self.desk.answer(answer, workflow.now())
        self.show()
        self._record.done("answered", actor=answer.user, digest=self.desk.digest)

    def refuse(self, error: CountersignError, what: str, given: object) -> None:
        """A row for a signal that did not count: what was tried, in whose name, and which rule it broke."""
        self._refused += 1
        if self._record.admission is None or self._refused > MAX_REFUSED_ON_TRAIL:
            return
        name = (given.get("reviewer") or given.get("user")) if isinstance(given, dict) else None
        actor = name if isinstance(name, str) and name.strip() else None
        self._record.done("refused", actor=actor, tried=what, reason=error.type, rule=getattr(error, "rule", ""))

    def receipt(self) -> Receipt:
        findings = self.desk.analysis.key_findings if self.desk.analysis else ()
        return Receipt(
            review_id=self._record.status.review_id,
            **self.standing(),
            findings=len(findings),
            worst=max((finding.severity for finding in findings), key=lambda s: s.rank, default=None),
            digest=self.desk.digest or "",
        )

    def standing(self) -> dict[str, Any]:
        """What of a receipt is about the review, and may have changed since."""
        pending = self.desk.pending
        return {
            "stage": self._record.status.stage,
            "outcome": self.desk.outcome,
            "signatures_missing": self.desk.signatures_missing,
            "pending": pending.outcome if pending else None,
            "pending_until": pending.due if pending else None,
        }

    def changed(self) -> None:
        """Other people may sign now, or an amendment has fallen with who made it."""
        analysis = self._watch.clean(self.desk.analysis)
        if analysis is not None:
            self._effects.corrected(analysis.key_findings)
            self.show()

    def show(self) -> None:
        """The desk's state as the status shows it."""
        desk = self.desk
        waiting = None if desk.outcome or desk.pending else ("requester" if desk.question else "reviewer")
        self._record.progress.update(
            analysis=self._watch.clean(desk.analysis),
            digest=desk.digest,
            waiting_for=waiting,
            question=desk.question,
            answers=tuple(desk.answers),
            decisions=tuple(desk.decisions),
            views=tuple(desk.views.stated),
            decision=desk.counted[-1] if desk.counted else None,
            signatures_missing=desk.signatures_missing,
            claimed_by=desk.held.reviewer if desk.held else None,
            claimed_until=desk.held.until if desk.held else None,
            pending=desk.pending.outcome if desk.pending else None,
            pending_until=desk.pending.due if desk.pending else None,
            signed_only=desk.authority.signed_only,
            claim_token=desk.held.token if desk.held else None,
        )
