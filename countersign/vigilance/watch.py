"""The vigilance probe of one running review: shown to the reviewer, taken out by the first decision. Pure.

The workflow owns one and asks it; what the workflow keeps, projects and records is always the analysis without it.
"""

from dataclasses import dataclass
from datetime import datetime

from countersign.review.desk import Desk
from countersign.review.payloads import AnalysisResult, Decision, Probe, Receipt, ReviewStatus
from countersign.vigilance.probe import Planted, planted


@dataclass(frozen=True)
class Noticed:
    """What became of the probe. `decision` is what counts of the reviewer's, None when it must be given again."""

    decision: Decision | None
    caught: bool | None
    notice: str


class Watch:
    """Holds a probe from `open` until it is taken out, by a decision or because nobody decided."""

    def __init__(self) -> None:
        self._planted: Planted | None = None
        self._notices: dict[str, str] = {}
        """By decision id what its reviewer was told, for when the decision comes again."""

    def open(self, analysis: AnalysisResult, probe: Probe | None) -> AnalysisResult:
        """What to put on the desk."""
        self._planted = planted(analysis, probe) if probe is not None else None
        return analysis if self._planted is None else self._planted.shown

    def clean(self, analysis: AnalysisResult | None) -> AnalysisResult | None:
        """What is on the desk, as everybody but its reviewers may know it."""
        return analysis if self._planted is None else self._planted.clean

    def shown(self, status: ReviewStatus) -> ReviewStatus:
        """The status as its reviewers see it, which is what their decision is bound to."""
        if self._planted is not None:
            return status.model_copy(update={"analysis": self._planted.shown})
        if not self._notices:
            return status
        receipts = {key: self.told(key, receipt) for key, receipt in status.receipts.items()}
        return status.model_copy(update={"receipts": receipts})

    def told(self, decision_id: str | None, receipt: Receipt) -> Receipt:
        """A kept receipt with what its reviewer was told; nobody else is, so it is not kept with it."""
        notice = self._notices.get(decision_id or "")
        return also(receipt, notice) if notice else receipt

    def take(self, desk: Desk, decision: Decision, at: datetime) -> Noticed | None:
        """Take the probe out, by a decision that would count; None when there is none. Raises as `Desk.check` does."""
        found = self._planted
        if found is None:
            return None
        desk.check(decision, at)
        taken = found.without(decision)
        self._planted = None
        desk.unveil(found.clean, decision if taken.decision is None else None)
        notice = _notice(found.probe_id, taken.caught, counts=taken.decision is not None)
        if decision.decision_id is not None:
            self._notices[decision.decision_id] = notice
        return Noticed(taken.decision, taken.caught, notice)

    def close(self, desk: Desk) -> None:
        """Take the probe out because nobody decided."""
        if self._planted is not None:
            desk.unveil(self._planted.clean)
            self._planted = None


def also(receipt: Receipt, notice: str) -> Receipt:
    """The receipt with one notice more."""
    return receipt.model_copy(update={"notice": ". ".join(filter(None, (receipt.notice, notice)))})


def _notice(probe_id: str, caught: bool | None, *, counts: bool) -> str:
    what = f"{probe_id} was a vigilance probe, a finding known to be wrong"
    if not counts:
        return f"{what}. It is gone, and this decision does not count, since it may be owed to it: look, decide again"
    return f"{what}, and you caught it" if caught else f"{what}, and you let it pass. It is gone; the rest counts"
