"""What the lab answers: a script's fixed answer, or what our own offline model makes of the translated request."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import ModelRequestParameters

from countersign.agents.offline import OfflineModel
from countersign.errors import CountersignError
from countersign.playbook.load import load_playbook
from countersign.tools.names import NATURES
from provider_lab.script import CallTool, Rule, Say, Tokens
from provider_lab.wire import Ask, PromptCache, output_tokens, tokens, wrong_arguments

UNKNOWN_TOOL = "consult_the_oracle"
"""Offered by nobody."""


class NoAnswerError(Exception):
    """Nobody here can answer the request; the message says what to script."""


class Answers:
    """Good answers, and those whose content is wrong."""

    def __init__(self, playbooks: Path) -> None:
        self._offline = OfflineModel(partial(load_playbook, playbooks))
        self._caches: dict[tuple[str, str], PromptCache] = {}

    async def parts(self, ask: Ask, rule: Rule) -> tuple[tuple[Say | CallTool, ...], bool]:
        """(the answer, whether it is the offline model's own). Raises `NoAnswerError`."""
        if rule.do == "wrong_schema":
            if not ask.tools:
                raise NoAnswerError("`wrong_schema` needs a request that offers a tool")
            return (CallTool(tool=ask.tools[0].name, arguments=wrong_arguments(ask.tools[0])),), False
        if rule.do == "unknown_tool":
            return (CallTool(tool=UNKNOWN_TOOL),), False
        if rule.answer:
            return rule.answer, False
        # The wire does not say which tools are for the output; the offline model looks for its own by name.
        functions = [tool for tool in ask.tools if tool.name in NATURES]
        answers = [tool for tool in ask.tools if tool.name not in NATURES]
        parameters = ModelRequestParameters(
            output_mode="tool", function_tools=functions, output_tools=answers, allow_text_output=False
        )
        try:
            response = await self._offline.request(list(ask.messages), None, parameters)
        except (CountersignError, ValueError, KeyError) as error:
            raise NoAnswerError(f"the lab's model has no answer ({error}): give a rule with an `answer`") from error
        calls = (part for part in response.parts if isinstance(part, ToolCallPart))
        return tuple(CallTool(tool=call.tool_name, arguments=call.args_as_dict()) for call in calls), True

    def cost(self, provider: str, ask: Ask, rule: Rule, parts: Sequence[Say | CallTool]) -> Tokens:
        """What the answer truly costs: the script's figures, or the lab's estimate with a prompt cache."""
        if rule.usage is not None:
            return rule.usage
        sent = tokens(ask.counted)
        read, kept = 0, 0
        if ask.is_cached:
            read, kept = self._caches.setdefault((provider, ask.model), PromptCache()).read(ask.counted)
        is_write_paid = provider == "anthropic"
        return Tokens(
            input=sent,
            output=output_tokens(parts),
            cached=read,
            cache_write=max(0, kept - read) if is_write_paid else 0,
        )

    def forget(self) -> None:
        """Empty the prompt caches."""
        self._caches.clear()
