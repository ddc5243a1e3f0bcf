"""The OpenAI Chat Completions format: `POST /v1/chat/completions`."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from provider_lab.script import CallTool, Rule, Say
from provider_lab.wire import (
    OWN_CALL,
    Ask,
    BadRequestError,
    Json,
    Piece,
    Refusal,
    Reply,
    arguments,
    chunks,
    need,
    output_tokens,
    parsed_arguments,
)

_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "We could not parse the JSON body of your request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: (
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests"),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later"),
}
"""(type, code, message) by status, as the API's documentation words them."""


class OpenAI:
    """See `Wire`."""

    provider = "openai"
    request_header = "x-request-id"
    ping = b": ping\n\n"

    def ask(self, body: Json) -> Ask:
        sent = need(body, "messages", list)
        offered = [_tool(tool, place) for place, tool in enumerate(body.get("tools", []))]
        choice = body.get("tool_choice", "auto")
        forced = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
        names = {tool.name for tool in offered} if forced is None else {forced}
        return Ask(
            model=need(body, "model", str),
            stream=body.get("stream") is True,
            messages=_messages(sent),
            tools=tuple(tool for tool in offered if tool.name in names and choice != "none"),
            offered=tuple(tool.name for tool in offered),
            counted=json.dumps([body.get("tools", []), sent], ensure_ascii=False),
            is_cached=True,
            wants_usage=(body.get("stream_options") or {}).get("include_usage") is True,
        )

    def body(self, reply: Reply) -> Json:
        texts = [part.text for part in reply.parts if isinstance(part, Say)]
        calls = [
            {"id": call_id, "type": "function", "function": {"name": part.tool, "arguments": arguments(part)}}
            for part, call_id in zip(reply.parts, reply.call_ids, strict=True)
            if isinstance(part, CallTool)
        ]
        message = {"role": "assistant", "content": "".join(texts) or None, "refusal": None}
        choice = {
            "index": 0,
            "message": {**message, "tool_calls": calls} if calls else message,
            "logprobs": None,
            "finish_reason": _finish_reason(reply),
        }
        return {**_head(reply, "chat.completion"), "choices": [choice], "usage": _usage(reply)}

    def events(self, reply: Reply, ask: Ask, chunk_chars: int) -> Iterator[Piece]:
        yield _chunk(reply, {"role": "assistant", "content": None, "refusal": None})
        index = 0
        for part, call_id in zip(reply.parts, reply.call_ids, strict=True):
            whole = output_tokens([part])
            texts = chunks(part.text if isinstance(part, Say) else arguments(part), chunk_chars)
            if isinstance(part, CallTool):
                function = {"name": part.tool, "arguments": ""}
                call = {"index": index, "id": call_id, "type": "function", "function": function}
                yield _chunk(reply, {"tool_calls": [call]})
            for place, text in enumerate(texts):
                count = whole * (place + 1) // len(texts) - whole * place // len(texts)
                if isinstance(part, Say):
                    yield _chunk(reply, {"content": text}, count)
                else:
                    yield _chunk(reply, {"tool_calls": [{"index": index, "function": {"arguments": text}}]}, count)
            index += isinstance(part, CallTool)
        yield _chunk(reply, {}, finish_reason=_finish_reason(reply))
        if ask.wants_usage:
            last = {**_head(reply, "chat.completion.chunk"), "choices": [], "usage": _usage(reply)}
            yield Piece(_sse(last))
        yield Piece(b"data: [DONE]\n\n")

    def refusal(self, rule: Rule, model: str, request_id: str) -> Refusal:
        if rule.do == "overflow":
            message = (
                "This model's maximum context length is 400000 tokens. However, your messages resulted in 400001 "
                "tokens. Please reduce the length of the messages."
            )
            return Refusal(400, _error("invalid_request_error", "context_length_exceeded", message, "messages"))
        if rule.do == "quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            return Refusal(429, _error("insufficient_quota", "insufficient_quota", message))
        if rule.status == 404:
            message = f"The model `{model}` does not exist or you do not have access to it."
            return Refusal(404, _error("invalid_request_error", "model_not_found", message))
        kind, code, message = _ERRORS.get(rule.status, _ERRORS[500] if rule.status >= 500 else _ERRORS[400])
        return Refusal(rule.status, _error(kind, code, message))

    def bad_request(self, message: str, request_id: str) -> Refusal:
        return Refusal(400, _error("invalid_request_error", None, message))

    def error_event(self, request_id: str) -> bytes:
        message = "The server is currently overloaded with other requests. Please retry your request."
        return _sse(_error("server_error", "server_is_overloaded", message))


def _error(kind: str, code: str | None, message: str, param: str | None = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _head(reply: Reply, kind: str) -> Json:
    return {
        "id": reply.response_id,
        "object": kind,
        "created": reply.created,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if any(isinstance(part, CallTool) for part in reply.parts) else "stop"


def _usage(reply: Reply) -> Json:
    told = reply.told
    return {
        "prompt_tokens": told.input,
        "completion_tokens": told.output,
        "total_tokens": told.input + told.output,
        "prompt_tokens_details": {"cached_tokens": told.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chunk(reply: Reply, delta: Json, output: int = 0, *, finish_reason: str | None = None) -> Piece:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return Piece(_sse({**_head(reply, "chat.completion.chunk"), "choices": [choice]}), output)


def _sse(data: Json) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _tool(tool: Json, place: int) -> ToolDefinition:
    where = f"tools[{place}]."
    function = need(tool, "function", dict, where)
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    name = need(function, "name", str, f"{where}function.")
    return ToolDefinition(name=name, parameters_json_schema=schema, kind="output")


def _messages(sent: Sequence[Json]) -> tuple[ModelMessage, ...]:
    messages: list[ModelMessage] = []
    names: dict[str, str] = {}
    system: list[str] = []
    for place, message in enumerate(sent):
        role, text = need(message, "role", str, f"messages[{place}]."), _text(message.get("content"))
        match role:
            case "system" | "developer":
                system.append(text)
            case "user":
                _add(messages, UserPromptPart(text))
            case "assistant":
                parts: list[ModelResponsePart] = [TextPart(text)] if text else []
                calls = [_call(call) for call in message.get("tool_calls") or []]
                names |= {call.tool_call_id: call.tool_name for call in calls}
                own = any(OWN_CALL in call.tool_call_id for call in calls)
                messages.append(ModelResponse(parts=[*parts, *calls], model_name="offline" if own else "lab"))
            case "tool":
                call_id = need(message, "tool_call_id", str, f"messages[{place}].")
                if call_id not in names:
                    raise BadRequestError(f"messages[{place}]: no preceding tool call has the id {call_id}")
                _add(messages, _tool_return(names[call_id], call_id, text))
            case _:
                raise BadRequestError(f"messages[{place}].role: unexpected value")
    if messages and isinstance(messages[-1], ModelRequest):
        messages[-1].instructions = "\n\n".join(system) or None
    return tuple(messages)


def _add(messages: list[ModelMessage], part: ModelRequestPart) -> None:
    """What stands between two answers of the model is one request, as it was before it was dressed for the wire."""
    if messages and isinstance(messages[-1], ModelRequest):
        messages[-1].parts = [*messages[-1].parts, part]
    else:
        messages.append(ModelRequest(parts=[part]))


def _call(call: Json) -> ToolCallPart:
    function = call["function"]
    return ToolCallPart(function["name"], parsed_arguments(function["arguments"]), tool_call_id=call["id"])


def _tool_return(name: str, call_id: str, text: str) -> ToolReturnPart:
    """The format has no mark for a call that failed; pydantic-ai sends `{"error": …}` then."""
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    if isinstance(content, dict) and content.keys() == {"error"}:
        return ToolReturnPart(name, content["error"], tool_call_id=call_id, outcome="retried")
    return ToolReturnPart(name, text, tool_call_id=call_id)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n\n".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""
