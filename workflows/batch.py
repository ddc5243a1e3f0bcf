"""BatchWorkflow: a sliding window of items under way. It knows positions and counts; Postgres knows the rest."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.batch import Batches
    from countersign.batch.payloads import (
        CANCELLED,
        BatchFacts,
        BatchInput,
        BatchKey,
        BatchKind,
        BatchStanding,
        BatchState,
        BeginInput,
        RerunInput,
        WatchInput,
        WatchResult,
    )
    from countersign.batch.rerun import rerun_workflow_id
    from countersign.batch.window import Window
    from countersign.review.payloads import Failure

from workflows import options
from workflows import search_attributes as attributes
from workflows.record import failure_of
from workflows.rerun import RerunWorkflow


@workflow.defn
class BatchWorkflow:
    """One batch: begins items while the window has room, and ends when the machine is done with all of them."""

    @workflow.init
    def __init__(self, given: BatchInput) -> None:
        self._given = given
        self._key = BatchKey(tenant=given.tenant, batch_id=given.batch_id)
        self._window = given.window
        self._paused = given.window.paused if given.window else False
        self._cancelled = given.window.cancelled if given.window else False
        self._version = given.version
        self._quiet = given.quiet
        self._door_says = ""
        """Why the next items do not begin, as the door said last."""
        self._waits_for = ""
        """What those under way wait for."""
        self._failure: Failure | None = None
        self._rests_until: datetime | None = None
        self._changed = False
        """What people want has changed since it was last looked at."""
        self._facts: BatchFacts | None = None

    @workflow.run
    async def run(self, given: BatchInput) -> BatchStanding:
        """Run, or go on after a run before. Ends with where the batch stands at last."""
        try:
            self._facts = await workflow.execute_activity_method(Batches.open_batch, self._key, **options.BATCH_STORE)
            workflow.upsert_search_attributes([attributes.TENANT.value_set(self._facts.tenant_hash)])
            window = self._window or Window(items=self._facts.items, size=self._facts.window)
            self._window = window.model_copy(update={"paused": self._paused, "cancelled": self._cancelled})
            await self._to_the_end(asyncio.create_task(self._slide(self._facts)))
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._failure = failure_of(error)
        await self._project()
        return self.status()

    async def _to_the_end(self, sliding: asyncio.Task[None]) -> None:
        """`temporal workflow cancel` is another way to say `cancel`: a step under way is not torn off."""
        while not sliding.done():
            try:
                await asyncio.shield(sliding)
            except asyncio.CancelledError:
                self._want(cancelled=True)
        sliding.result()

    async def _slide(self, facts: BatchFacts) -> None:
        """Until nothing is left: begin what fits, then wait for what is under way."""
        while True:
            await self._heed()
            if self._now.is_over:
                break
            if self._must_renew():
                await self._renew()
            if not self._resting and self._now.to_begin:
                await self._begin(facts)
                continue
            if self._now.flying:
                await self._watch()
            else:
                # Paused, or the door wants patience, and nothing is under way.
                await self._rest()
        if self._now.cancelled and self._now.left:
            await self._forget()

    # --- steps ---

    async def _begin(self, facts: BatchFacts) -> None:
        result = await workflow.execute_activity_method(
            Batches.begin, BeginInput(key=self._key, positions=self._now.to_begin), **options.BEGIN
        )
        if facts.kind is BatchKind.RERUN:
            for position in result.begun:
                await self._start_rerun(position)
        self._window = self._now.begin(result.begun, {one.position: one.how for one in result.ended})
        self._door_says = result.waits_for
        if result.retry_after_s > 0:
            self._rests_until = workflow.now() + timedelta(seconds=result.retry_after_s)
        self._tell()

    async def _start_rerun(self, position: int) -> None:
        """Start what analyses an item again. It writes its result to the item, so nobody need wait for it here."""
        try:
            await workflow.start_child_workflow(
                RerunWorkflow.run,
                RerunInput(key=self._key, position=position),
                **options.rerun(rerun_workflow_id(self._key, position)),
            )
        except FailureError as error:
            # There already: a run before this one, or somebody by hand, was quicker.
            if is_cancelled_exception(error):
                raise

    async def _watch(self) -> None:
        """One look at what is under way: short while there is room to begin more, longer while nothing happens."""
        has_room = bool(self._now.left) and len(self._now.flying) < self._now.size
        patience = options.WATCH_S[0] if has_room else min(options.WATCH_S[1] * 2**self._quiet, options.WATCH_S[2])
        result: WatchResult = await workflow.execute_activity_method(
            Batches.watch,
            WatchInput(key=self._key, positions=self._now.flying, patience_s=patience),
            **options.watch(patience),
        )
        self._window = self._now.end({one.position: one.how for one in result.ended})
        self._quiet = 0 if result.ended else min(self._quiet + 1, 10)
        self._waits_for = result.waits_for
        self._tell()

    async def _rest(self) -> None:
        """Until somebody wants something else, or the door may be asked again."""
        self._changed = False
        wait = None if self._now.paused or self._rests_until is None else self._rests_until - workflow.now()
        try:
            await workflow.wait_condition(lambda: self._changed, timeout=wait, timeout_summary="until the door opens")
        except TimeoutError:
            self._rests_until = None

    async def _heed(self) -> None:
        """Take over what people want, and write it down when it is something new."""
        before = self._now
        wanted = before.model_copy(update={"paused": self._paused, "cancelled": self._cancelled})
        self._window = wanted
        if wanted != before or self._version == 0:
            self._tell()
            await self._project()

    async def _forget(self) -> None:
        """What was not begun never will be."""
        first = BeginInput(key=self._key, positions=(self._now.next,))
        await workflow.execute_activity_method(Batches.forget, first, **options.BATCH_STORE)
        self._tell()

    async def _project(self) -> None:
        self._version += 1
        await workflow.execute_activity_method(Batches.project_batch, self.status(), **options.BATCH_STORE)

    # --- a history that stays short ---

    def _must_renew(self) -> bool:
        info = workflow.info()
        return info.is_continue_as_new_suggested() or info.get_current_history_length() >= self._given.renew_at

    async def _renew(self) -> None:
        """Go on in a new run, with an empty history and the same window."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(
            self._given.model_copy(
                update={
                    "window": self._now.model_copy(update={"paused": self._paused, "cancelled": self._cancelled}),
                    "runs": self._given.runs + 1,
                    "version": self._version,
                    "quiet": self._quiet,
                }
            )
        )

    # --- what people may do ---

    @workflow.query
    def status(self) -> BatchStanding:
        """Where the batch stands."""
        window, facts = self._window, self._facts
        ended = dict(window.ended) if window else {}
        if window is not None and self._state is BatchState.CANCELLED and window.left:
            ended[CANCELLED] = window.left
        return BatchStanding(
            tenant=self._key.tenant,
            batch_id=self._key.batch_id,
            state=self._state,
            items=window.items if window else (facts.items if facts else 0),
            begun=window.next if window else 0,
            in_flight=len(window.flying) if window else 0,
            ended=ended,
            waits_for=self._door_says or self._waits_for,
            runs=self._given.runs + 1,
            version=self._version,
            failure=self._failure,
        )

    @workflow.update
    async def pause(self) -> BatchStanding:
        """Begin nothing for now; what is under way goes on."""
        return self._want(paused=True)

    @workflow.update
    async def resume(self) -> BatchStanding:
        """Go on."""
        return self._want(paused=False)

    @workflow.update
    async def cancel(self) -> BatchStanding:
        """Begin nothing any more; what is under way goes on to its end, and what was only taken in is erased."""
        return self._want(cancelled=True)

    @workflow.signal(name="pause")
    def _pause(self) -> None:
        self._want(paused=True)

    @workflow.signal(name="resume")
    def _resume(self) -> None:
        self._want(paused=False)

    @workflow.signal(name="cancel")
    def _cancel(self) -> None:
        self._want(cancelled=True)

    def _want(self, *, paused: bool | None = None, cancelled: bool = False) -> BatchStanding:
        self._paused = self._paused if paused is None else paused
        self._cancelled = self._cancelled or cancelled
        self._changed = True
        self._tell()
        return self.status()

    # --- parts ---

    @property
    def _now(self) -> Window:
        if self._window is None:
            raise RuntimeError("the window is made before anything asks for it")
        return self._window

    @property
    def _resting(self) -> bool:
        return self._rests_until is not None and workflow.now() < self._rests_until

    @property
    def _state(self) -> BatchState:
        if self._failure is not None:
            return BatchState.FAILED
        is_over = self._window is not None and self._window.is_over
        if self._cancelled:
            return BatchState.CANCELLED if is_over else BatchState.CANCELLING
        if is_over:
            return BatchState.DONE
        return BatchState.PAUSED if self._paused else BatchState.RUNNING

    def _tell(self) -> None:
        """A few lines for the Temporal UI: numbers and enum words."""
        standing = self.status()
        ended = ", ".join(f"{count} {how}" for how, count in standing.ended.items()) or "none"
        lines = [f"**{standing.state}** · {standing.done} of {standing.items} · {standing.in_flight} under way", ended]
        workflow.set_current_details("\n\n".join([*lines, standing.waits_for] if standing.waits_for else lines))
