"""What every agent activity shares: the deps, a guarded model, typed model errors, the run's journal and ledger row."""

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from pydantic_ai.exceptions import (
    AgentRunError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
)
from pydantic_ai.models import Model
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.failures import telling_the_door, typed_errors
from countersign.agents.deps import AgentDeps
from countersign.agents.guarded import ModelSkipped, guarded, in_vain, is_remote
from countersign.agents.journal import Journal
from countersign.agents.models import resolve_model, resolve_sentinel
from countersign.agents.run import Call
from countersign.errors import ModelConfigurationError
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Playbook
from countersign.review.payloads import Admission, AgentMetrics, Intent, Recall, ReviewKey
from countersign.services import Services

FAILURES = 8
"""So many requests of a run may be lost (cut off, never answered, answered with what is of no use) before its step
fails for good: each may be on the bill. Waiting for a provider that is away or asks for patience is none of them; that
is bounded by the step's time alone (`workflows/options.py`)."""
MAX_RETRY_AFTER_S = 300.0
"""A provider that asks for longer is asked again after this: the step's own deadline must stay in reach."""
MAX_CIRCUIT_WAIT_S = 60.0
"""An open circuit is asked again after this at the latest: somebody may have reset it, and recovery is to be prompt."""
LEAST_WAIT_S = 1.0
SPREAD = 0.25
"""Waits are longer by up to this share, by chance and at most `MAX_SPREAD_S`, so that not all come back at once."""
MAX_SPREAD_S = 5.0
SENTINEL = "sentinel"
"""The agent whose model is not the playbook's."""
BEAT_EVERY_S = 0.5
"""Tokens come faster than anybody needs to hear of them."""


MAX_PATIENCE_S = 15.0
"""A 429 that does not say for how long: twice as long each time, up to this. Asked every second by every step that
waits, a provider that throttles would get as many requests as one that works."""


def model_failure(causes: Sequence[ModelAPIError], chance: float, attempt: int = 1) -> ApplicationError:
    """What becomes of a step when no model of its chain answered at its `attempt`-th try, from 1.

    Pure; `chance` in [0, 1) spreads the waits.

    A model's message is left out: it can quote a prompt. Some model failed: worth a retry, at the time it asks for if
    it asks. None failed, but one was skipped or asks for patience: the step waits until the earliest of them may be
    asked, which is no alarm. All of them rejected the request (key, name, length, quota): final.
    """
    kinds = ", ".join(f"{error.model_name} {type(error).__name__.lstrip('_')}" for error in causes)
    remedy = "Check the model's name and key, then the provider's status"
    waiting = [error for error in causes if isinstance(error, ModelSkipped | ModelRateLimitError)]
    rejected = [error for error in causes if isinstance(error, ModelRequestRejectedError | ModelQuotaExceededError)]
    if len(waiting) + len(rejected) < len(causes):
        asked = [error.retry_after for error in causes if error.retry_after and not isinstance(error, ModelSkipped)]
        return ApplicationError(
            f"the model failed: {kinds}",
            remedy,
            type="ModelUnavailable",
            next_retry_delay=timedelta(seconds=min(*asked, MAX_RETRY_AFTER_S)) if asked else None,
        )
    if waiting:
        wait = max(LEAST_WAIT_S, min(_wait(error, attempt) for error in waiting))
        wait += chance * min(SPREAD * wait, MAX_SPREAD_S)
        is_open = any(isinstance(error, ModelSkipped) and not error.throttled for error in waiting)
        return ApplicationError(
            f"no model may be asked now: {kinds}",
            "It goes on by itself; `countersign circuits` shows what it waits for",
            type="CircuitOpen" if is_open else "Throttled",
            category=ApplicationErrorCategory.BENIGN,
            next_retry_delay=timedelta(seconds=wait),
        )
    return ApplicationError(
        f"the model rejects the request: {kinds}",
        remedy,
        type="ModelRejected",
        non_retryable=True,
    )


def _chance() -> float:
    return random.random()  # noqa: S311  it spreads waits


def _wait(error: ModelAPIError, attempt: int) -> float:
    if isinstance(error, ModelRateLimitError) and not error.retry_after:
        return min(LEAST_WAIT_S * 2.0 ** min(attempt - 1, 10), MAX_PATIENCE_S)
    wants = error.retry_after or LEAST_WAIT_S
    is_open = isinstance(error, ModelSkipped) and not error.throttled
    return min(wants, MAX_CIRCUIT_WAIT_S if is_open else MAX_RETRY_AFTER_S)


class Watching:
    """Passes on what becomes of a run's requests: to the journal what they cost, to Temporal that something came."""

    def __init__(self, journal: Journal | None, call_id: str) -> None:
        self._journal = journal
        self._call_id = call_id
        self._told = 0.0

    async def sending(self, *, counts: bool) -> None:
        """Written down before it is sent."""
        if self._journal is not None:
            await self._journal.sending(counts=counts)

    async def ended(self, *, refused: bool, counts: bool) -> None:
        """It gave no response."""
        if self._journal is not None:
            await self._journal.ended(refused=refused, counts=counts)

    def progress(self) -> None:
        """A heartbeat, whose details say how far the run is; what it has come to stands in the journal."""
        now = time.monotonic()
        if now - self._told >= BEAT_EVERY_S:
            self._told = now
            activity.heartbeat(self._call_id, self._journal.responses if self._journal else 0)


def _with_model(playbook: Playbook, model: str | None) -> Playbook:
    """The playbook with this model for all its agents but the sentinel; as it stands when none is given."""
    if model is None:
        return playbook
    agents = ("intent", "plan", "reconcile", *(specialist.key for specialist in playbook.specialists))
    chain = tuple(name.strip() for name in model.split(","))
    return playbook.model_copy(update={"models": {**playbook.models, **dict.fromkeys(agents, chain)}})


class Team:
    """The agents' side of the services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def services(self) -> Services:
        """What the agents stand on."""
        return self._services

    async def deps(
        self,
        admission: Admission,
        agent: str | None,
        *,
        ask: str = "",
        intent: Intent | None = None,
        recall: Recall | None = None,
    ) -> AgentDeps:
        """What the agents of this review may know. Every attempt begins here, so the review's lease is renewed here.

        `agent` is who is to be asked, None for nobody: while none of its models may be asked, this raises the wait
        before it loads the document. A step that waits is tried again and again.
        """
        with telling_the_door():
            await self._services.door.renew(admission.key.tenant, admission.key.review_id)
        settings = self._services.settings
        playbook = _with_model(load_playbook(settings.playbooks, admission.playbook), admission.model)
        if agent is not None:
            await self._check_circuits(admission, playbook, agent)
        return AgentDeps(
            key=admission.key,
            playbook=playbook,
            document=await self._services.documents.get_text(admission.key.tenant, admission.document.document_id),
            intent=intent,
            recall=recall,
            ask=ask,
            whole_document_chars=settings.whole_document_chars,
        )

    async def _check_circuits(self, admission: Admission, playbook: Playbook, agent: str) -> None:
        """Raise `ApplicationError` when no model of the agent may be asked now."""
        try:
            model = self.sentinel(admission) if agent == SENTINEL else self.model(playbook, agent)
        except ModelConfigurationError:
            return  # said where the model is asked, by what the step makes of it
        if skipped := await in_vain(model, self._services.circuits):
            raise model_failure(skipped, _chance(), activity.info().attempt)

    def model(self, playbook: Playbook, agent: str) -> Model:
        """The model the playbook names for this agent, else the one of the settings."""
        settings = self._services.settings
        return resolve_model(playbook.models.get(agent) or settings.model, settings.playbooks)

    def sentinel(self, admission: Admission) -> Model:
        """The sentinel agent's model, fixed when the review was admitted."""
        return resolve_sentinel(admission.sentinel_model or "", self._services.settings.playbooks)

    @asynccontextmanager
    async def call(
        self, key: ReviewKey, agent: str, model: Model, *, call_id: str | None = None, failures: int = FAILURES
    ) -> AsyncIterator[Call]:
        """One attempt at an agent run, with every provider's model behind its circuit.

        Raises the domain's and the models' errors as `ApplicationError`. Lost requests and useless answers are counted
        over all attempts; after `failures` of them the error is final, and the ledger has the call as a failed one.
        """
        call_id = call_id or agent
        tries, began = activity.info().attempt, activity.info().started_time
        begin = partial(Journal.begin, self._services.runs, key, call_id, agent, at=began)
        with typed_errors():
            # What runs in this process costs nothing: there is nothing to go on with.
            journal = await begin() if is_remote(model) else None
            watching = Watching(journal, call_id)
            if journal is not None and journal.failures >= failures:
                raise await self._final(key, journal, "requests of this run were lost", "ModelUnavailable")
            try:
                yield Call(guarded(model, self._services.circuits, watching), call_id, watching.progress, journal)
            except FallbackExceptionGroup as group:
                causes = [error for error in group.exceptions if isinstance(error, ModelAPIError)]
                raise await self._failed(key, journal, model_failure(causes, _chance(), tries), failures) from None
            except ModelAPIError as error:
                raise await self._failed(key, journal, model_failure([error], _chance(), tries), failures) from None
            except AgentRunError as error:
                journal = journal or await begin()
                useless = ApplicationError(f"the agent run failed: {type(error).__name__}", type="AgentFailed")
                raise await self._failed(key, journal, useless, failures, drop=True) from None

    async def _failed(
        self, key: ReviewKey, journal: Journal | None, error: ApplicationError, most: int, *, drop: bool = False
    ) -> ApplicationError:
        """The error to raise: this one, or a final one of its type once the run has had its failures."""
        if journal is None:
            return error
        if (drop or journal.lost) and await journal.failed(drop=drop) >= most:
            return await self._final(key, journal, error.message, error.type or "")
        if error.non_retryable:
            await self._enter_failed(key, journal)
        return error

    async def _final(self, key: ReviewKey, journal: Journal, what: str, kind: str) -> ApplicationError:
        await self._enter_failed(key, journal)
        message = f"{what}, and it was the last of {journal.failures} failures"
        return ApplicationError(message, "Check the provider's status", type=kind, non_retryable=True)

    async def _enter_failed(self, key: ReviewKey, journal: Journal) -> None:
        metrics = journal.metrics()
        if metrics.requests or metrics.unseen_requests:
            await self._services.ledger.record(key, metrics.model_copy(update={"success": False}))

    async def record(self, admission: Admission, metrics: AgentMetrics) -> None:
        """Enter a finished call into the ledger, once however often this is retried."""
        await self._services.ledger.record(admission.key, metrics)
