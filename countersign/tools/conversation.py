"""What a conversation between an agent and the guard came to: effects proposed, tools used. Pure.

Read from the messages, which survive a crash, and not kept beside them, which would not.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart

from countersign.review.payloads import ProposedEffect, ToolUse
from countersign.tools.names import NATURES
from countersign.words import Nature

PROPOSED = "proposed"
"""How the guard answers a call that has an effect."""


def _answered(messages: Sequence[ModelMessage]) -> Iterator[tuple[ToolCallPart, dict[str, Any]]]:
    """(call, answer) of every call that the guard answered, in the order of the answers."""
    calls = {
        call.tool_call_id: call
        for message in messages
        if isinstance(message, ModelResponse)
        for call in message.tool_calls
        if call.tool_name in NATURES
    }
    for message in messages:
        for part in message.parts if isinstance(message, ModelRequest) else ():
            if isinstance(part, ToolReturnPart) and isinstance(part.content, dict) and part.outcome == "success":
                call = calls.get(part.tool_call_id)
                if call is not None:
                    answer: dict[str, Any] = dict(part.content)
                    yield call, answer


def proposals_in(messages: Sequence[ModelMessage]) -> tuple[ProposedEffect, ...]:
    """The effects that a conversation proposes: calls which the guard answered as proposed."""
    return tuple(
        ProposedEffect(tool=call.tool_name, args=call.args_as_dict())
        for call, answer in _answered(messages)
        if NATURES[call.tool_name] is Nature.EFFECT and answer.get("status") == PROPOSED
    )


def uses_in(messages: Sequence[ModelMessage]) -> tuple[ToolUse, ...]:
    """How often each tool was called in a conversation, by what came of it."""
    counts = Counter(
        (call.tool_name, str(answer.get("refused") or (PROPOSED if answer.get("status") == PROPOSED else "ran")))
        for call, answer in _answered(messages)
    )
    return tuple(ToolUse(tool=tool, verdict=verdict, calls=calls) for (tool, verdict), calls in sorted(counts.items()))
