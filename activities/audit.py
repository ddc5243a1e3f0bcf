"""audit: rows to the trail, the status to its projection, word to subscribers, all idempotent; the door is told."""

from temporalio import activity

from activities.failures import telling_the_door, typed_errors
from countersign.review.payloads import Admission, ReviewStatus
from countersign.review.steps import AuditInput, AuditResult
from countersign.services import Services
from countersign.words import Outcome, Stage

DECIDING = ("decided", "asked")
"""Events whose actor is the review's reviewer; a refused signal's or an answer's is not."""
MACHINE = frozenset(
    {
        *(Stage.SUBMIT, Stage.READ, Stage.SCREEN, Stage.INTENT, Stage.RECALL),
        *(Stage.PLAN, Stage.ANALYSE, Stage.RECONCILE, Stage.GATE),
    }
)
"""Stages at which the machine works on a review, and its lease is kept."""


class Audit:
    """The only writer of trail and projection."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def audit(self, given: AuditInput) -> AuditResult:
        """Append the entries (once each, whatever is retried) and project the status unless a newer one is there."""
        admission = given.admission
        with typed_errors():
            for entry in given.entries:
                await self._services.trail.append(
                    admission.key, entry, user_hash=admission.user_hash, input_hash=admission.document.sha256
                )
            await self._services.reviews.project(given.status, given.version)
            await self._services.subscriptions.queue(
                admission, given.entries, given.status, self._services.settings.console_url
            )
        await self._tell_the_door(admission, given.status)
        deciding = (entry.actor for entry in reversed(given.entries) if entry.event in DECIDING and entry.actor)
        actor = next(deciding, None)
        return AuditResult(actor_hash=self._services.pseudonyms.of("user", actor) if actor else None)

    async def _tell_the_door(self, admission: Admission, status: ReviewStatus) -> None:
        """Keep the lease while the machine works, give it back when it does not, and count a blocked review."""
        door, key = self._services.door, admission.key
        with telling_the_door():
            if status.outcome is None and status.stage in MACHINE:
                await door.renew(key.tenant, key.review_id)
                return
            await door.release(key.tenant, key.review_id)
            # Whoever hands in a cabinet of other people's contracts is not the one who wrote the hostile ones.
            if status.outcome is Outcome.BLOCKED and admission.batch_id is None:
                limits = await self._services.limits.of(key.tenant, admission.user_hash)
                await door.strike(key.tenant, admission.user_hash, key.review_id, limits.blocked_strikes)
