"""The Anthropic Messages format: `POST /v1/messages`."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
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

_TYPES = {
    400: ("invalid_request_error", "messages: the request is not valid"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is an issue with your billing"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit"),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
"""Error types by status, as the API's documentation lists them."""


class Anthropic:
    """See `Wire`."""

    provider = "anthropic"
    request_header = "request-id"
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'

    def ask(self, body: Json) -> Ask:
        model = need(body, "model", str)
        need(body, "max_tokens", int)
        sent = need(body, "messages", list)
        system = _text(body.get("system", ""))
        offered = [_tool(tool, place) for place, tool in enumerate(body.get("tools", []))]
        choice = body.get("tool_choice") or {}
        names = {choice.get("name")} if choice.get("type") == "tool" else {tool.name for tool in offered}
        plain = json.dumps([body.get("tools", []), system, sent], ensure_ascii=False)
        return Ask(
            model=model,
            stream=body.get("stream") is True,
            messages=_messages(sent, system),
            tools=tuple(tool for tool in offered if tool.name in names and choice.get("type") != "none"),
            offered=tuple(tool.name for tool in offered),
            counted=plain,
            is_cached='"cache_control"' in plain or "cache_control" in body,
        )

    def body(self, reply: Reply) -> Json:
        content = [
            {"type": "text", "text": part.text}
            if isinstance(part, Say)
            else {"type": "tool_use", "id": call_id, "name": part.tool, "input": part.arguments}
            for part, call_id in zip(reply.parts, reply.call_ids, strict=True)
        ]
        return {**_message(reply), "content": content, "stop_reason": _stop_reason(reply), "usage": _usage(reply)}

    def events(self, reply: Reply, ask: Ask, chunk_chars: int) -> Iterator[Piece]:
        yield _event("message_start", message={**_message(reply), "content": [], "usage": _usage(reply, output=1)})
        for index, (part, call_id) in enumerate(zip(reply.parts, reply.call_ids, strict=True)):
            if isinstance(part, Say):
                block: Json = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": text} for text in chunks(part.text, chunk_chars)]
            else:
                block = {"type": "tool_use", "id": call_id, "name": part.tool, "input": {}}
                texts = chunks(arguments(part), chunk_chars)
                deltas = [{"type": "input_json_delta", "partial_json": text} for text in texts]
            yield _event("content_block_start", index=index, content_block=block)
            for delta, count in zip(deltas, _shares(part, len(deltas)), strict=True):
                yield _event("content_block_delta", count, index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        end: Json = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
        yield _event("message_delta", delta=end, usage={"output_tokens": reply.told.output})
        yield _event("message_stop")

    def refusal(self, rule: Rule, model: str, request_id: str) -> Refusal:
        if rule.do == "overflow":
            return self.bad_request("prompt is too long: 1000001 tokens > 1000000 maximum", request_id)
        if rule.do == "quota":
            return self.bad_request(
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
                "or purchase credits.",
                request_id,
            )
        if rule.status == 404:
            kind, message = "not_found_error", f"model: {model}"
        else:
            kind, message = _TYPES.get(rule.status, _TYPES[500] if rule.status >= 500 else _TYPES[400])
        return Refusal(rule.status, _error(kind, message, request_id))

    def bad_request(self, message: str, request_id: str) -> Refusal:
        return Refusal(400, _error("invalid_request_error", message, request_id))

    def error_event(self, request_id: str) -> bytes:
        return _sse("error", _error("overloaded_error", "Overloaded", request_id))


def _error(kind: str, message: str, request_id: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def _message(reply: Reply) -> Json:
    fixed = {"type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None}
    return {"id": reply.response_id, "model": reply.model, **fixed}


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if any(isinstance(part, CallTool) for part in reply.parts) else "end_turn"


def _usage(reply: Reply, output: int | None = None) -> Json:
    """Input tokens here are those neither read from nor written to the cache."""
    told = reply.told
    return {
        "input_tokens": told.input - told.cached - told.cache_write,
        "cache_read_input_tokens": told.cached,
        "cache_creation_input_tokens": told.cache_write,
        "output_tokens": told.output if output is None else output,
        "service_tier": "standard",
    }


def _shares(part: Say | CallTool, count: int) -> list[int]:
    """The part's tokens spread over its deltas."""
    whole = output_tokens([part])
    return [whole * (place + 1) // count - whole * place // count for place in range(count)]


def _event(name: str, output: int = 0, /, **fields: Any) -> Piece:
    return Piece(_sse(name, {"type": name, **fields}), output)


def _sse(name: str, data: Json) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _tool(tool: Json, place: int) -> ToolDefinition:
    where = f"tools.{place}."
    schema = need(tool, "input_schema", dict, where)
    return ToolDefinition(name=need(tool, "name", str, where), parameters_json_schema=schema, kind="output")


def _messages(sent: Sequence[Json], system: str) -> tuple[ModelMessage, ...]:
    messages: list[ModelMessage] = []
    names: dict[str, str] = {}
    for place, message in enumerate(sent):
        role, content = need(message, "role", str, f"messages.{place}."), message.get("content", "")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if role == "assistant":
            parts = [_response_part(block) for block in blocks if block.get("type") in {"text", "tool_use"}]
            names |= {part.tool_call_id: part.tool_name for part in parts if isinstance(part, ToolCallPart)}
            own = any(isinstance(part, ToolCallPart) and OWN_CALL in part.tool_call_id for part in parts)
            messages.append(ModelResponse(parts=parts, model_name="offline" if own else "lab"))
        elif role == "user":
            messages.append(ModelRequest(parts=_request_parts(blocks, names)))
        elif role == "system":
            messages.append(ModelRequest(parts=[SystemPromptPart(_text(blocks))]))
        else:
            raise BadRequestError(f"messages.{place}.role: unexpected value")
    if messages and isinstance(messages[-1], ModelRequest):
        messages[-1].instructions = system or None
    return tuple(messages)


def _response_part(block: Json) -> ModelResponsePart:
    if block["type"] == "text":
        return TextPart(block["text"])
    return ToolCallPart(block["name"], parsed_arguments(block["input"]), tool_call_id=block["id"])


def _request_parts(blocks: Sequence[Json], names: dict[str, str]) -> list[ModelRequestPart]:
    """Tool results one by one; texts that stand together as one prompt."""
    parts: list[ModelRequestPart] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            call_id = block["tool_use_id"]
            if call_id not in names:
                raise BadRequestError(f"unexpected tool_use_id found in tool_result blocks: {call_id}")
            result = ToolReturnPart(names[call_id], _text(block.get("content", "")), tool_call_id=call_id)
            parts.append(replace(result, outcome="retried") if block.get("is_error") else result)
        elif block.get("type") == "text":
            parts.append(UserPromptPart(block["text"]))
    return parts


def _text(content: str | Sequence[Json]) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(block.get("text", "") for block in content if block.get("type") == "text")
