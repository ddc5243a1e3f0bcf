"""One agent run over all its attempts: what was sent, what came back, what it took, and where to go on.

Written ahead of every request and after every complete response, so that whatever dies in between is known: a response
that was seen is never paid again, and a request whose answer nobody saw is counted, so that the bill can be explained.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse

from countersign.agents.metering import metered, responses_of, together
from countersign.errors import ServiceUnavailable
from countersign.review.payloads import AgentMetrics, ReviewKey
from countersign.store.runs import AgentRuns, Held

_log = logging.getLogger(__name__)


class Journal:
    """A run's journal as one attempt keeps it. Raises `Superseded` once another attempt has taken the run over."""

    def __init__(self, runs: AgentRuns, agent: str, held: Held) -> None:
        self._runs = runs
        self._agent = agent
        self._held = held
        self._sent = held.sent
        self._refused = held.refused
        self._failures = held.failures
        self._before = held.metrics
        self._new: list[ModelResponse] = []
        """Responses of this attempt."""
        self.lost = 0
        """Requests of this attempt that gave no response, may be on the bill, and are held against the run."""
        self._began = time.perf_counter()

    @classmethod
    async def begin(cls, runs: AgentRuns, key: ReviewKey, call_id: str, agent: str, *, at: datetime) -> "Journal":
        """Take the run over, or begin it; `at` is when the attempt began, by Temporal's clock."""
        return cls(runs, agent, await runs.begin(key, call_id, agent, at=at))

    @property
    def failures(self) -> int:
        """Real failures of the run so far."""
        return self._failures

    @property
    def responses(self) -> int:
        """Complete responses of the run so far, over all attempts: how far it has come."""
        return (self._before.requests if self._before else 0) + len(self._new)

    def resume(self, digest: str) -> list[ModelMessage]:
        """The conversation to go on with; empty when there is none, when it answers another question or is damaged.

        Whatever is wrong with it, the run begins anew and the log says so: a checkpoint saves money, no review hangs
        on it.
        """
        held = self._held
        if held.damaged:
            self._anew("does not open")
        elif held.conversation is not None and held.digest != digest:
            self._anew("is of another question")
        elif held.conversation is not None:
            try:
                messages = ModelMessagesTypeAdapter.validate_json(held.conversation)
            except ValidationError:
                self._anew("cannot be read by this version")
            else:
                if responses_of(messages):
                    return messages
                self._anew("holds no response")
        return []

    def _anew(self, why: str) -> None:
        _log.warning(
            "agent run %s of %s begins anew: its checkpoint %s", self._held.call_id, self._held.key.workflow_id, why
        )

    async def sending(self, *, counts: bool) -> None:
        """A request is about to be sent. What cannot be written down is not sent: this raises `ServiceUnavailable`."""
        self._sent += 1
        await self._runs.sending(self._held, sent=self._sent, counts=counts)

    async def ended(self, *, refused: bool, counts: bool) -> None:
        """The request that was out has ended without a response. `refused`: it surely costs nothing."""
        self._refused += refused
        self.lost += counts and not refused
        await self._runs.ended(self._held, refused=self._refused)

    async def save(self, digest: str, messages: Sequence[ModelMessage], *, new: int) -> None:
        """Keep the conversation up to here; its last `new` responses are this attempt's.

        Postgres being away does not end a run whose responses are paid: the next save has them, too.
        """
        self._new = responses_of(messages)[-new:]
        try:
            await self._runs.save(
                self._held,
                digest=digest,
                conversation=ModelMessagesTypeAdapter.dump_json(list(messages)),
                metrics=self.metrics(),
            )
        except ServiceUnavailable as error:
            _log.warning(
                "agent run %s of %s goes on unsaved: %s", self._held.call_id, self._held.key.workflow_id, error.type
            )

    async def failed(self, *, drop: bool) -> int:
        """A real failure; how many the run has had. `drop`: its conversation led nowhere, the next begins anew."""
        self._failures += 1
        await self._runs.failed(self._held, failures=self._failures, drop=drop)
        return self._failures

    def metrics(self) -> AgentMetrics:
        """Every complete response of all attempts, each once, and how many requests' answers were never seen."""
        elapsed = round((time.perf_counter() - self._began) * 1000)
        more = metered(self._agent, self._held.call_id, self._new).model_copy(update={"execution_time_ms": elapsed})
        total = together(self._before, more)
        return total.model_copy(update={"unseen_requests": max(0, self._sent - self._refused - total.requests)})


def digest_of(agent: str, prompt: str, schema: object) -> str:
    """Of a question: who is asked what, and in which form to answer."""
    return hashlib.sha256(repr((agent, prompt, schema)).encode("utf-8", "surrogatepass")).hexdigest()
