"""Claims: who has a review to themselves just now. Leases with fencing tokens. Pure; times are passed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from countersign.errors import DecisionRefused
from countersign.review.payloads import Claim, ClaimReceipt, Decision
from countersign.review.same import same_person


@dataclass(frozen=True)
class Held:
    """A claim that was given: a lease with a fencing token. `since` is when its holder first had it."""

    reviewer: str
    token: int
    until: datetime
    since: datetime


class Claims:
    """The claim on one review, and the tokens given so far."""

    def __init__(self) -> None:
        self.held: Held | None = None
        """The latest claim, lapsed or not; None when it was given back or its holder has decided."""
        self._tokens = 0

    def live(self, at: datetime) -> Held | None:
        """The claim in force."""
        return self.held if self.held is not None and at < self.held.until else None

    def check(self, claim: Claim, at: datetime, *, lead: bool) -> None:
        """Raise `DecisionRefused` unless the claim, its release or its assignment would be granted at this time."""
        held = self.live(at)
        if claim.assign_to is not None:
            if not lead:
                raise _not_lead("assign a review")
            if claim.release:
                raise DecisionRefused(
                    "a claim is given back or assigned, not both", rule="assign", remedy="Leave one of them out"
                )
            return
        if held is not None and not same_person(held.reviewer, claim.reviewer) and not (claim.release and lead):
            raise _claimed(held)
        if claim.release and held is None:
            raise DecisionRefused(
                "there is no claim of this reviewer to give back", rule="not_claimed", remedy="See its status"
            )

    def take(self, claim: Claim, at: datetime, review_id: str) -> ClaimReceipt:
        """Grant, renew, give back or assign. A renewed claim keeps its token."""
        if claim.release:
            self.held = None
            return ClaimReceipt(review_id=review_id, token=self._tokens)
        holder = claim.assign_to or claim.reviewer
        before = self.live(at)
        renewed = before is not None and same_person(before.reviewer, holder)
        if not renewed:
            self._tokens += 1
        since = before.since if before is not None and renewed else at
        self.held = Held(holder, self._tokens, at + timedelta(seconds=claim.lease_s), since)
        return ClaimReceipt(review_id=review_id, token=self._tokens, until=self.held.until)

    def give_back(self) -> None:
        """Its holder has decided."""
        self.held = None

    def wake(self, at: datetime, since: datetime) -> bool:
        """Give a claim back that has been in force since then, or longer; whether there was one."""
        held = self.live(at)
        if held is None or held.since > since:
            return False
        self.held = None
        return True

    def check_decision(self, decision: Decision, at: datetime) -> None:
        """Another's live claim bars the way, and a fencing token must be that of the claim in force."""
        held = self.live(at)
        if held is not None and not same_person(held.reviewer, decision.reviewer):
            raise _claimed(held)
        if decision.claim is not None and (held is None or held.token != decision.claim):
            raise DecisionRefused(
                f"claim {decision.claim} has lapsed or was given back",
                rule="claim_lapsed",
                remedy="Claim the review again, look at it, then decide",
            )


def _claimed(held: Held) -> DecisionRefused:
    return DecisionRefused(
        f"another reviewer has claimed it until {held.until:%Y-%m-%d %H:%M} UTC",
        rule="claimed",
        remedy="Wait until the claim is given back or lapses, or ask a lead to take it back",
    )


def _not_lead(what: str) -> DecisionRefused:
    return DecisionRefused(
        f"only a lead may {what}", rule="not_lead", remedy="See [signing] leads in the playbook, `countersign groups`"
    )
