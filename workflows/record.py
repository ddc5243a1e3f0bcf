"""How a running review keeps its record: stages entered, rows to the trail, status projected, Temporal UI told."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

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


def failure_of(error: FailureError) -> Failure:
    """What went wrong, for people. A regular activity's failure is wrapped in ActivityError, a local one's is bare."""
    cause = error.cause if isinstance(error, ActivityError) else error
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
        self._writing: asyncio.Task[None] | None = None

    @property
    def status(self) -> ReviewStatus:
        """The status as it stands."""
        return self.progress.status

    def enter(self, stage: Stage) -> None:
        """Go on to a stage."""
        self.progress.enter(stage, workflow.now())
        workflow.set_current_details(details(self.status))

    def note(self, event: str, *, actor: str | None = None, concerns: str | None = None, **facts: Any) -> None:
        """A row for the trail, written by the next `write`."""
        self.progress.note(event, workflow.now(), actor=actor, concerns=concerns, **facts)

    def done(self, event: str, *, actor: str | None = None, concerns: str | None = None, **facts: Any) -> None:
        """Note what the present stage came to, or what somebody did, and have it written beside what comes next."""
        self.note(event, actor=actor, concerns=concerns, **facts)
        self.write()

    def write(self) -> None:
        """Have the pending rows written and the status projected, in the background and in order.

        By a regular activity: its input is in history before it runs. A local one would run again with other rows, or
        other times, when a worker dies in the middle of a workflow task, and rows of the trail cannot be taken back.
        """
        workflow.set_current_details(details(self.status))
        if self.admission is not None and self.progress.pending and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._drain(self.admission))

    async def written(self) -> None:
        """Wait until everything noted so far is on the trail."""
        self.write()
        if self._writing is not None:
            await self._writing

    async def _drain(self, admission: Admission) -> None:
        while entries := self.progress.pending:
            self.progress.version += 1
            result = await workflow.execute_activity_method(
                Audit.audit,
                AuditInput(admission=admission, entries=entries, status=self.status, version=self.progress.version),
                **options.told(options.AUDIT, f"{len(entries)} row(s)", admission.tenant_hash, admission.weight),
            )
            self.progress.written(len(entries))
            if result.actor_hash is not None:
                workflow.upsert_search_attributes([attributes.REVIEWER.value_set(result.actor_hash)])

    def soften(self, error: FailureError, what: str) -> None:
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


def fatal(error: FailureError) -> BaseException:
    """What to raise when a step the review cannot do without has failed for good."""
    return error if is_cancelled_exception(error) else Ended(Outcome.FAILED, failure_of(error))
