"""How a running review keeps its record: stages entered, rows to the trail, status projected, Temporal UI told."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.audit import Audit
    from countersign.review.payloads import Admission, Failure, ReviewStatus
    from countersign.review.progress import Progress, details
    from countersign.review.steps import AuditInput
    from countersign.words import Outcome, Stage

from workflows import options
from workflows import search_attributes as attributes


class Ended(Exception):
    """The review ends here, without a person: blocked or failed."""

    def __init__(self, outcome: Outcome, failure: Failure) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.failure = failure


def failure_of(error: ActivityError) -> Failure:
    """What went wrong, for people, from an activity's failure."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        remedy = str(cause.details[0]) if cause.details else ""
        return Failure(type=cause.type or "Unexpected", message=cause.message, remedy=remedy)
    return Failure(
        type=type(cause or error).__name__,
        message="a step did not succeed in the time it has",
        remedy="See the workflow's history for its last error, mend that and submit again",
    )


class Record:
    """The progress of one review and the only place that writes it down."""

    def __init__(self, status: ReviewStatus) -> None:
        started = workflow.now()
        self.progress = Progress(status.model_copy(update={"submitted_at": started}), started)
        self.admission: Admission | None = None

    @property
    def status(self) -> ReviewStatus:
        """The status as it stands."""
        return self.progress.status

    def enter(self, stage: Stage) -> None:
        """Go on to a stage."""
        self.progress.enter(stage, workflow.now())
        workflow.set_current_details(details(self.status))

    def note(self, event: str, *, actor: str | None = None, **facts: Any) -> None:
        """A row for the trail, written by the next `write`."""
        self.progress.note(event, workflow.now(), actor=actor, **facts)

    async def done(self, event: str, **facts: Any) -> None:
        """Note what the present stage came to, and write it down."""
        self.note(event, **facts)
        await self.write()

    async def write(self) -> None:
        """Write the pending rows and project the status: one local activity for both."""
        workflow.set_current_details(details(self.status))
        entries = self.progress.pending
        if self.admission is None or not entries:
            return
        self.progress.version += 1
        result = await workflow.execute_local_activity_method(
            Audit.audit,
            AuditInput(admission=self.admission, entries=entries, status=self.status, version=self.progress.version),
            **options.STORE,
        )
        self.progress.written(len(entries))
        if result.actor_hash is not None:
            workflow.upsert_search_attributes([attributes.REVIEWER.value_set(result.actor_hash)])

    def soften(self, error: ActivityError, what: str) -> None:
        """Go on without `what`, unless the review is being cancelled."""
        if is_cancelled_exception(error):
            raise error
        self.progress.degrade(what)

    def end(self, outcome: Outcome) -> ReviewStatus:
        """The review is over; its status from now on."""
        self.enter(Stage.DONE)
        self.progress.update(
            outcome=outcome, ended_at=workflow.now(), waiting_for=None, sla_due=None, signatures_missing=0
        )
        workflow.set_current_details(details(self.status))
        return self.status


def fatal(error: ActivityError) -> BaseException:
    """What to raise when a step the review cannot do without has failed for good."""
    return error if is_cancelled_exception(error) else Ended(Outcome.FAILED, failure_of(error))
