"""Blind capture: a reviewer says what they would do before they see how sure the machine is. Pure.

A live review captures views where its playbook says so (`[signing] blind_capture`): who decides has stated a view
before, which stands beside the decision for good, so that it can be told how often the machine's confidence changed a
mind. Of a shadow review nobody is shown anything, and the decision itself is the view.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from countersign.errors import DecisionRefused
from countersign.review.payloads import ReviewStatus, View, ViewRecord
from countersign.review.same import same_person
from countersign.words import Mode, Verdict

FORMED = (Verdict.APPROVE, Verdict.AMEND, Verdict.REJECT)
"""What a view can be, and which decisions need one. Asking, and taking back, need none."""
CONCEALED: dict[str, Any] = {
    "route_reasons": True,
    "evidence": True,
    "views": True,
    "analysis": {"confidence": True, "requires_human_review": True, "key_findings": {"__all__": {"confidence"}}},
}
"""What is left out of a status (as `model_dump(exclude=…)` has it) for who has no view yet."""


class Views:
    """The views stated on one review: one of each person, never changed."""

    def __init__(self) -> None:
        self.stated: list[ViewRecord] = []

    def of(self, person: str) -> Verdict | None:
        """What this person said that they would do; None when they have not."""
        return view_of(self.stated, person)

    def check(self, view: View) -> None:
        """Raise `DecisionRefused` when the person has stated another one before."""
        before = self.of(view.reviewer)
        if before is not None and before is not view.verdict:
            raise DecisionRefused(
                "this reviewer has stated another view before",
                rule="viewed",
                remedy="Decide as you see it now; that the view has changed is what is recorded",
            )

    def take(self, view: View, at: datetime, *, digest: str, signed_with: str) -> bool:
        """Keep a view; False when it was kept before. Raises as `check` does."""
        self.check(view)
        if self.of(view.reviewer) is not None:
            return False
        self.stated.append(
            ViewRecord(verdict=view.verdict, reviewer=view.reviewer, digest=digest, at=at, signed_with=signed_with)
        )
        return True


def view_of(stated: Iterable[ViewRecord], person: str) -> Verdict | None:
    """What this person said among `stated`."""
    return next((one.verdict for one in stated if same_person(one.reviewer, person)), None)


def is_blind(status: ReviewStatus) -> bool:
    """Whether anybody may still have to judge it without being told how sure the machine is."""
    return status.outcome is None and (status.blind or status.mode is Mode.SHADOW)


def conceals(status: ReviewStatus, person: str, *, decides: bool) -> bool:
    """Whether the machine's confidence is to be kept from this person now; `decides`: they could sign the review."""
    if not is_blind(status):
        return False
    return status.mode is Mode.SHADOW or (decides and view_of(status.views, person) is None)


def listed_confidence(status: ReviewStatus) -> float | None:
    """The confidence as lists and queues have it: of a review that is judged blind none, until it has ended."""
    return None if status.analysis is None or is_blind(status) else status.analysis.confidence
