"""A provider's model behind its circuit: asked before every request, told of every streamed event and of the end.

`request` streams inside. So a circuit's lease and a step's heartbeat follow what the provider really sends, and an
answer that breaks off in the middle is a failed request like any other: a chain moves on to its next model. Nothing of
an answer is given away before it is complete, since a chain could not take it back.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelRequestAttempt, ModelResponse
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from countersign.breaker.circuits import Circuits
from countersign.breaker.words import Kind, Permit, Result, State
from countersign.errors import CircuitOpen, CountersignError, Throttled

SILENCE_S = 45.0
"""Seconds without a streamed event after which a chain moves on to its next model, and after which a request that is
then cancelled counts as the provider's failure. Below the steps' heartbeat timeout, which ends the silence of a model
that nobody can stand in for."""
_TELL_S = 1.0
"""The circuit is told of a cancelled request within this; longer, and the lease runs out by itself."""
_log = logging.getLogger(__name__)


class ModelSkipped(ModelAPIError):
    """The model was not asked: its circuit is open or full, or has just been probed in vain.

    Attributes:
        retry_after: seconds until asking is worth it.
        throttled: it is full, not open.
    """

    def __init__(self, model_name: str, *, retry_after: float | None, throttled: bool = False) -> None:
        super().__init__(model_name, "its circuit is open", retry_after=retry_after)
        self.throttled = throttled


class ModelSilent(ModelAPIError):
    """Nothing was streamed for `SILENCE_S`, and the chain has another model."""

    def __init__(self, model_name: str) -> None:
        super().__init__(model_name, f"nothing came for {SILENCE_S:g} s")


class Watch(Protocol):
    """Who hears what becomes of one run's requests."""

    async def sending(self, *, counts: bool) -> None:
        """A request is about to be sent. `counts`: should it never be answered, that is a failure of the run."""

    async def ended(self, *, refused: bool, counts: bool) -> None:
        """The request has ended without a response. `refused`: it was turned away or never got there, so it costs
        nothing. `counts`: as for `sending`."""

    def progress(self) -> None:
        """Something came, or a model was given up for the next one."""


def circuit_of(model: Model) -> str:
    """The name of a model's circuit, `model:<provider>:<model>`."""
    return f"model:{model.system}:{model.model_name}"


def models_of(model: Model) -> Sequence[Model]:
    """The models of a chain in their order, or the one model."""
    return model.models if isinstance(model, FallbackModel) else (model,)


def is_remote(model: Model) -> bool:
    """Whether any of its models is a provider's. What runs in this process needs no circuit and costs nothing."""
    return any(one.provider is not None for one in models_of(model))


def guarded(model: Model, circuits: Circuits, watch: Watch) -> Model:
    """The model, or every provider's model of a chain, behind its circuit, for one run."""
    models = models_of(model)
    inner = [
        one if one.provider is None else GuardedModel(one, circuits, watch, alone=place == len(models) - 1)
        for place, one in enumerate(models)
    ]
    return inner[0] if len(inner) == 1 else FallbackModel(inner[0], *inner[1:])


async def in_vain(model: Model, circuits: Circuits) -> list[ModelSkipped]:
    """What asking would come to, of each model of the chain, when none of them may be asked now; empty when one may.

    Told without asking: nothing is counted, and no probe is had. Whoever asks all the same may still be refused.
    """
    skipped = []
    for one in models_of(model):
        standing = None if one.provider is None else await circuits.look(circuit_of(one))
        if standing is None or not standing.wait_s:
            return []
        is_open = standing.state is State.OPEN
        skipped.append(ModelSkipped(one.model_name, retry_after=standing.wait_s, throttled=not is_open))
    return skipped


def passed_over(attempts: Sequence[ModelRequestAttempt]) -> tuple[str, ...]:
    """What a chain had to do without before a model answered, one line a model, for the reviewer."""
    lines = (
        f"model {attempt.model_name} "
        + ("skipped: its circuit is open" if (attempt.error or "").startswith(ModelSkipped.__name__) else "failed")
        for attempt in attempts
    )
    return tuple(dict.fromkeys(lines))


def judged(error: Exception, seconds: float) -> Result:
    """What a failed request says about the provider.

    A request that it rejects (key, model's name, length of the context, quota) says nothing against it; asked for
    patience, it is throttled; everything else (5xx, a cut or silent connection, what is no answer at all) is its
    failure. An answer that does not validate never gets here: it is the model's, not the provider's.
    """
    if isinstance(error, ModelRateLimitError):
        return Result(Kind.THROTTLED, seconds, retry_after_s=error.retry_after)
    if isinstance(error, ModelRequestRejectedError | ModelQuotaExceededError):
        return Result(Kind.IGNORED, seconds)
    if isinstance(error, ModelHTTPError) and 400 <= error.status_code < 500 and error.status_code != _TIMED_OUT:
        return Result(Kind.IGNORED, seconds)
    return Result(Kind.FAILURE, seconds)


_TIMED_OUT = 408


def _costs_nothing(error: ModelAPIError) -> bool:
    """Whether a failed request surely is on no bill: answered with an error, or never on the provider's side."""
    if isinstance(error, ModelConnectionError):
        return error.phase in ("pool", "connect")
    return isinstance(error, ModelHTTPError) and not error.in_stream


class GuardedModel(WrapperModel):
    """One provider's model behind its circuit. `alone`: no other model of the chain could take over."""

    def __init__(self, wrapped: Model, circuits: Circuits, watch: Watch, *, alone: bool) -> None:
        super().__init__(wrapped)
        self._circuits = circuits
        self._watch = watch
        self._alone = alone

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """A complete answer. Raises `ModelSkipped`, or what the model raises as `ModelAPIError`."""
        try:
            permit = await self._circuits.admit(circuit_of(self.wrapped))
        except (CircuitOpen, Throttled) as closed:
            self._moving_on()
            throttled = isinstance(closed, Throttled)
            raise ModelSkipped(self.model_name, retry_after=closed.retry_after_s, throttled=throttled) from None
        began = heard = time.monotonic()
        result = Result(Kind.IGNORED, 0.0)
        try:
            await self._watch.sending(counts=not permit.probe)
            try:
                async with asyncio.timeout(None if self._alone else SILENCE_S) as silence:
                    async with self.wrapped.request_stream(
                        messages, model_settings, model_request_parameters
                    ) as stream:
                        async for _ in stream:
                            heard = time.monotonic()
                            if not self._alone:
                                silence.reschedule(asyncio.get_running_loop().time() + SILENCE_S)
                            await self._circuits.beat(permit)
                            self._watch.progress()
                    response = self._whole(stream.get())
            except TimeoutError:
                raise ModelSilent(self.model_name) from None
            except (UnexpectedModelBehavior, ValueError) as error:
                raise ModelAPIError(self.model_name, f"what came is no answer: {type(error).__name__}") from error
            result = Result(Kind.SUCCESS, time.monotonic() - began)
        except ModelAPIError as error:
            result = judged(error, time.monotonic() - began)
            await self._watch.ended(refused=_costs_nothing(error), counts=not permit.probe)
            self._moving_on()
            if permit.probe and result.kind is Kind.FAILURE:
                # The run had asked to find out. That the outage goes on is not held against it.
                raise ModelSkipped(self.model_name, retry_after=error.retry_after) from error
            raise
        except asyncio.CancelledError:
            # By a person, by a worker that stops, or because nothing came: then it is the provider's failure.
            now = time.monotonic()
            overdue = (model_settings or {}).get("request_timeout")
            if now - heard >= SILENCE_S or (overdue is not None and now - began >= overdue):
                result = Result(Kind.FAILURE, now - began)
            else:
                await self._withdraw()
            raise
        finally:
            await self._tell(permit, result)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The complete answer as a stream of one piece: half an answer could not be taken back."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)

    def _whole(self, response: ModelResponse) -> ModelResponse:
        """A stream can end as if it were done when a proxy closes it; then the reason for its end is missing.

        For Chat Completions pydantic-ai supplies "stop" for it, since some providers never give one; those give usage.
        """
        unsaid = response.finish_reason is None or (
            response.usage.unmeasured_requests > 0 and "finish_reason" not in (response.provider_details or {})
        )
        if response.state == "incomplete" or (unsaid and response.state == "complete"):
            raise ModelConnectionError(self.model_name, "the stream ended before the answer did", phase="read")
        return response

    def _moving_on(self) -> None:
        """Giving a model up for the next one is progress: it happens once a model and request."""
        if not self._alone:
            self._watch.progress()

    async def _withdraw(self) -> None:
        """A request that was given up for no fault of the provider's is not held against the run."""
        with anyio.move_on_after(_TELL_S, shield=True):
            try:
                await self._watch.ended(refused=False, counts=False)
            except CountersignError as error:  # the run is another attempt's by now, or Postgres is away
                _log.info("a cancelled request stays open in the journal: %s", error.type)

    async def _tell(self, permit: Permit, result: Result) -> None:
        """Shielded: a cancelled request gives its place back, too. A lease that is not given back runs out."""
        with anyio.move_on_after(_TELL_S, shield=True) as scope:
            await self._circuits.done(permit, result)
        if scope.cancelled_caught:
            _log.warning("circuit %s was not told in time", circuit_of(self.wrapped))
