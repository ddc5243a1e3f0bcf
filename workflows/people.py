"""Who may sign one review, asked of the data: before it waits, when they change, and when a decision takes effect."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.signing import Signing
    from countersign.review.desk import Desk
    from countersign.review.steps import StepInput

from workflows import options
from workflows.record import Record

AGAIN = timedelta(minutes=1)
"""The database was away for a day: asked again after this, as often as it takes. Nothing takes effect meanwhile."""


class People:
    """The desk's link to groups, absences and keys. Without `hear` nothing in here gives a command."""

    def __init__(self, record: Record, desk: Desk, show: Callable[[], None]) -> None:
        self._record = record
        self._desk = desk
        self._show = show
        self._one_at_a_time = asyncio.Lock()
        self._hearing = 0

    async def hear(self) -> None:
        """Have the desk judge by the terms in force, and write down what falls by them."""
        self._hearing += 1
        try:
            async with self._one_at_a_time:
                await self._hear()
        finally:
            self._hearing -= 1

    async def heard(self) -> None:
        """Wait until nobody asks any more, so that the review does not end under a question."""
        if self._hearing:  # a wait, even one for nothing, lets others go first: stored histories know none
            await workflow.wait_condition(lambda: self._hearing == 0)

    async def take_effect(self) -> None:
        """Wait out the time for second thoughts, then let the pending outcome take effect if it still counts."""
        pending = self._desk.pending
        if pending is None:
            return
        left = pending.due - workflow.now()
        if left > timedelta(0):
            try:
                await workflow.wait_condition(
                    lambda: self._desk.pending is not pending, timeout=left, timeout_summary="undo window"
                )
            except TimeoutError:
                pass
            else:
                return
        await self.hear()
        if self._desk.pending is pending:
            self._desk.settle(workflow.now())
            self._show()
            self._record.done("took_effect", outcome=pending.outcome)

    async def _hear(self) -> None:
        admission = self._record.admission
        if admission is None:
            return
        while True:
            try:
                terms = await workflow.execute_local_activity_method(
                    Signing.signing_terms, StepInput(admission=admission), **options.STORE
                )
                break
            except FailureError as error:
                if is_cancelled_exception(error):
                    raise
                await workflow.sleep(AGAIN)
        before = self._desk.pending
        for record in self._desk.reconsider(terms):
            self._record.note("fallen", actor=record.reviewer, verdict=record.verdict, rule=record.void)
        if before is not None and self._desk.pending is None and self._desk.outcome is None:
            self._record.note("reopened", outcome=before.outcome, signatures=self._desk.signatures_missing)
        self._show()
        self._record.write()
