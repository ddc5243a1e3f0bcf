"""`OfflineModel`: pydantic-ai's `Model`, answered in this process from the messages alone.

It reads the fenced blocks of the prompt (`agents.blocks`), recognises the work by the output tool it is offered, and
answers through that tool, so prompts, output tools, validation, retries and usage run as with any provider. The clause
finder needs the cues and signs that prompts do not carry; they come from the playbook that the prompt names.
"""

import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage

from countersign.agents import outputs
from countersign.agents.blocks import parse
from countersign.agents.offline.intent import intent_answer
from countersign.agents.offline.plan import plan_answer
from countersign.agents.offline.request import PlaybookLoader, Prompt
from countersign.agents.offline.specialist import findings_answer
from countersign.agents.offline.synthesis import synthesis_answer
from countersign.agents.offline.tooling import Drafts, questions, with_answers
from countersign.agents.outputs import SpecialistFindings
from countersign.errors import ModelConfigurationError
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Playbook
from countersign.settings import Settings

CHARS_PER_TOKEN = 4
"""English text has about four characters a token; the usage reported is this estimate, not a count."""

_ANSWERS: Mapping[str, Callable[[Prompt], BaseModel]] = {
    outputs.INTENT_TOOL: intent_answer,
    outputs.PLAN_TOOL: plan_answer,
    outputs.FINDINGS_TOOL: findings_answer,
    outputs.SYNTHESIS_TOOL: synthesis_answer,
}
_FINDING_NUMBER = re.compile(r'findings(?:\[|"?,\s*)(\d+)')


def _from_settings(name: str) -> Playbook:
    return load_playbook(Settings().playbooks, name)


class OfflineModel(Model[Any]):  # Any: the base class is generic in a provider's client, and there is none here
    """Deterministic, without network. `load_playbook` finds a playbook by name, by default in the settings' folder.

    Usage is estimated at four characters a token. Raises `ModelConfigurationError` for a request that is not one of the
    team's, since it is no general model.
    """

    def __init__(self, load_playbook: PlaybookLoader = _from_settings) -> None:
        super().__init__()
        self._load_playbook = load_playbook
        self._drafts = Drafts()

    @property
    def model_name(self) -> str:
        """`offline`, as in the settings."""
        return "offline"

    @property
    def system(self) -> str:
        """The provider's name on responses."""
        return "countersign"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer, on a thread, since reading a long contract would starve the event loop's heartbeats."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        return await asyncio.to_thread(self._answer, messages, parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The same answer as a stream of one part: there is nothing to wait for in between."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)

    def _answer(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:
        tool = next((tool.name for tool in parameters.output_tools if tool.name in _ANSWERS), None)
        if tool is None:
            raise ModelConfigurationError(
                "the offline model answers the review team's agents only",
                remedy="Name another model for this agent, for example anthropic:….",
            )
        text = _user_text(messages)
        prompt = Prompt(parse(text), self._load_playbook)
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        offered = frozenset(offer.name for offer in parameters.function_tools)
        if tool == outputs.FINDINGS_TOOL and offered and turn == 0:
            findings = self._drafts.kept(text, findings_answer(prompt))
            if asked := questions(prompt, findings, offered):
                calls = [
                    ToolCallPart(name, args, tool_call_id=f"offline-{turn}-{n}") for n, (name, args) in enumerate(asked)
                ]
                return self._response(calls, messages)
        draft = self._drafts.taken(text) if tool == outputs.FINDINGS_TOOL else None
        answer = _ANSWERS[tool](prompt) if draft is None else draft
        if isinstance(answer, SpecialistFindings):
            answer = with_answers(answer, messages)
        arguments = _corrected(answer.model_dump(mode="json"), messages)
        return self._response([ToolCallPart(tool, arguments, tool_call_id=f"offline-{turn}")], messages)

    def _response(self, calls: list[ToolCallPart], messages: Sequence[ModelMessage]) -> ModelResponse:
        return ModelResponse(
            parts=calls,
            usage=_estimated_usage(messages, [call.args_as_dict() for call in calls]),
            model_name=self.model_name,
            provider_name=self.system,
        )


def _user_text(messages: Sequence[ModelMessage]) -> str:
    """The run's prompt: the first user part, which later ones (retries, notes) only comment on."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                return part.content
    raise ModelConfigurationError(
        "the offline model was given no prompt in text", remedy="Name another model for this agent."
    )


def _corrected(arguments: dict[str, Any], messages: Sequence[ModelMessage]) -> dict[str, Any]:
    """The answer without the findings that earlier attempts were told off for.

    The numbers in a complaint are places in the attempt it answers; they are followed only where that attempt was this
    model's own (in a fallback chain it may have been another's).
    """
    rejected: list[object] = []
    for attempt, reply in pairwise(messages):
        if not (
            isinstance(attempt, ModelResponse) and attempt.model_name == "offline" and isinstance(reply, ModelRequest)
        ):
            continue
        told = " ".join(_complaint(part) for part in reply.parts if isinstance(part, ToolReturnPart))
        earlier = [f for call in attempt.tool_calls for f in call.args_as_dict().get("findings", [])]
        rejected += [earlier[int(n)] for n in _FINDING_NUMBER.findall(told) if int(n) < len(earlier)]
    if not rejected:
        return arguments
    return {**arguments, "findings": [finding for finding in arguments["findings"] if finding not in rejected]}


def _complaint(part: ToolReturnPart) -> str:
    if part.outcome != "retried":
        return ""
    return part.content if isinstance(part.content, str) else json.dumps(part.content, default=str)


def _estimated_usage(messages: Sequence[ModelMessage], arguments: list[dict[str, Any]]) -> RequestUsage:
    """What a provider would roughly have counted: everything sent, and the arguments of the answer's calls."""
    sent = sum(len(str(getattr(part, "content", ""))) for message in messages for part in message.parts)
    rules = next((len(m.instructions) for m in reversed(messages) if isinstance(m, ModelRequest) and m.instructions), 0)
    return RequestUsage(
        input_tokens=math.ceil((sent + rules) / CHARS_PER_TOKEN),
        output_tokens=math.ceil(sum(len(json.dumps(each, ensure_ascii=False)) for each in arguments) / CHARS_PER_TOKEN),
    )
