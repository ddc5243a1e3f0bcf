"""What every agent activity shares: the deps, the model by name, typed model errors, and the ledger row."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from pydantic_ai.exceptions import (
    AgentRunError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
)
from pydantic_ai.models import Model
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import telling_the_door, typed_errors
from countersign.agents.deps import AgentDeps
from countersign.agents.models import resolve_model, resolve_sentinel
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Playbook
from countersign.review.payloads import Admission, AgentMetrics, Intent, Recall
from countersign.services import Services

MAX_RETRY_AFTER_S = 300.0
"""A provider that asks for longer is asked again after this: the step's own deadline must stay in reach."""


@contextmanager
def model_errors() -> Iterator[None]:
    """The domain's and the models' errors as `ApplicationError`. A model's message is left out: it can quote a prompt.

    A rejected request (authentication, unknown model, context too long) is final; everything else is worth a retry,
    at the time the provider asks for if it asks.
    """
    with typed_errors():
        try:
            yield
        except FallbackExceptionGroup as group:
            causes = [error for error in group.exceptions if isinstance(error, ModelAPIError)]
            raise _model_error(causes, "every model of the chain failed") from None
        except ModelAPIError as error:
            raise _model_error([error], "the model failed") from None
        except AgentRunError as error:
            raise ApplicationError(f"the agent run failed: {type(error).__name__}", type="AgentFailed") from None


def _model_error(causes: list[ModelAPIError], what: str) -> ApplicationError:
    kinds = ", ".join(f"{error.model_name} {type(error).__name__.lstrip('_')}" for error in causes)
    rejected = bool(causes) and all(
        isinstance(error, ModelRequestRejectedError | ModelQuotaExceededError) for error in causes
    )
    waits = [error.retry_after for error in causes if error.retry_after]
    return ApplicationError(
        f"{what}: {kinds}",
        "Check the model's name and key, then the provider's status",
        type="ModelRejected" if rejected else "ModelUnavailable",
        non_retryable=rejected,
        next_retry_delay=timedelta(seconds=min(*waits, MAX_RETRY_AFTER_S)) if waits else None,
    )


def heartbeat() -> None:
    """Progress was made: a model response or a tool call is finished."""
    activity.heartbeat()


class Team:
    """The agents' side of the services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def services(self) -> Services:
        """What the agents stand on."""
        return self._services

    async def deps(
        self, admission: Admission, *, ask: str = "", intent: Intent | None = None, recall: Recall | None = None
    ) -> AgentDeps:
        """What the agents of this review may know. Every attempt begins here, so the review's lease is renewed here."""
        with telling_the_door():
            await self._services.door.renew(admission.key.tenant, admission.key.review_id)
        settings = self._services.settings
        return AgentDeps(
            key=admission.key,
            playbook=load_playbook(settings.playbooks, admission.playbook),
            document=await self._services.documents.get_text(admission.key.tenant, admission.document.document_id),
            intent=intent,
            recall=recall,
            ask=ask,
            whole_document_chars=settings.whole_document_chars,
        )

    def model(self, playbook: Playbook, agent: str) -> Model:
        """The model the playbook names for this agent, else the one of the settings."""
        settings = self._services.settings
        return resolve_model(playbook.models.get(agent) or settings.model, settings.playbooks)

    def sentinel(self, admission: Admission) -> Model:
        """The sentinel agent's model, fixed when the review was admitted."""
        return resolve_sentinel(admission.sentinel_model or "", self._services.settings.playbooks)

    async def record(self, admission: Admission, metrics: AgentMetrics) -> None:
        """Enter a finished call into the ledger, once however often this is retried."""
        await self._services.ledger.record(admission.key, metrics)
