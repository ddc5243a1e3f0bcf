"""audit: rows to the trail and the status to its projection, both idempotent."""

from temporalio import activity

from activities.failures import typed_errors
from countersign.review.steps import AuditInput, AuditResult
from countersign.services import Services

DECIDING = ("decided", "asked")
"""Events whose actor is the review's reviewer; a refused signal's or an answer's is not."""


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
        deciding = (entry.actor for entry in reversed(given.entries) if entry.event in DECIDING and entry.actor)
        actor = next(deciding, None)
        return AuditResult(actor_hash=self._services.pseudonyms.of("user", actor) if actor else None)
