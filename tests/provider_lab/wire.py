"""What both wire formats have in common: a request and an answer without their clothes, and pieces to be sent."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart, UserPromptPart
from pydantic_ai.tools import ToolDefinition

from provider_lab.script import CallTool, Rule, Say, Tokens

CHARS_PER_TOKEN = 4
"""English text has about four characters a token; what the lab counts is this estimate."""
CACHE_STEP = 128
CACHE_LEAST = 1024
"""Providers serve beginnings of at least 1,024 tokens from their prompt cache, in steps of 128 (OpenAI's figures)."""
OWN_CALL = "lab_offline"
"""Stands in the ids of tool calls that the offline model made, so that it knows its own in the history."""

Json = dict[str, Any]  # Any: JSON of a wire format, read key by key


class BadRequestError(Exception):
    """The body is not what the wire format asks for; the message names the field."""


@dataclass(frozen=True)
class Ask:
    """One request for an answer."""

    model: str
    stream: bool
    messages: tuple[ModelMessage, ...]
    tools: tuple[ToolDefinition, ...]
    """Those that may be called: all that are offered, or the one that is forced."""
    offered: tuple[str, ...]
    counted: str
    """Everything that is paid for, in the order in which it is cached."""
    is_cached: bool
    """Whether the request takes part in the prompt cache."""
    wants_usage: bool = True

    @property
    def last_user_text(self) -> str:
        """Text of the last message that is not the model's: what the user said, or what tools returned."""
        for message in reversed(self.messages):
            if isinstance(message, ModelRequest):
                parts = (part for part in message.parts if isinstance(part, UserPromptPart | ToolReturnPart))
                return "\n".join(str(part.content) for part in parts)
        return ""

    @property
    def responses(self) -> int:
        """Model responses in the history."""
        return sum(isinstance(message, ModelResponse) for message in self.messages)


@dataclass(frozen=True)
class Reply:
    """One answer, before it is dressed."""

    request_id: str
    response_id: str
    model: str
    parts: tuple[Say | CallTool, ...]
    call_ids: tuple[str, ...]
    """One a part; used for tool calls."""
    told: Tokens
    created: int
    """Seconds since 1970."""


@dataclass(frozen=True)
class Piece:
    """Bytes that are sent together, and the output tokens in them."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True)
class Refusal:
    """An HTTP error as a provider sends it."""

    status: int
    body: Json


class Wire(Protocol):
    """One provider's format."""

    provider: str
    request_header: str
    """Header that carries the request id."""
    ping: bytes

    def ask(self, body: Json) -> Ask:
        """Raises `BadRequestError`."""

    def body(self, reply: Reply) -> Json:
        """The answer in one."""

    def events(self, reply: Reply, ask: Ask, chunk_chars: int) -> Iterator[Piece]:
        """The answer as a stream."""

    def refusal(self, rule: Rule, model: str, request_id: str) -> Refusal:
        """For the deeds `error`, `overflow` and `quota`."""

    def bad_request(self, message: str, request_id: str) -> Refusal:
        """For a request the lab cannot answer."""

    def error_event(self, request_id: str) -> bytes:
        """An error in the middle of a stream: the provider is overloaded."""


def tokens(text: str) -> int:
    """Estimated tokens of a text."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)


def output_tokens(parts: Sequence[Say | CallTool]) -> int:
    """Estimated tokens of an answer."""
    return sum(tokens(part.text if isinstance(part, Say) else part.tool + arguments(part)) for part in parts)


def arguments(call: CallTool) -> str:
    """The arguments as the JSON text that is streamed."""
    return json.dumps(call.arguments, ensure_ascii=False)


def chunks(text: str, size: int) -> list[str]:
    """The text in pieces of `size` characters; one empty piece of an empty text."""
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def in_pieces(data: bytes, output: int, count: int) -> Iterator[Piece]:
    """A body in `count` pieces of about the same size, which carry `output` tokens together."""
    step = max(1, math.ceil(len(data) / count))
    sent = 0
    for number, at in enumerate(range(0, len(data), step), start=1):
        so_far = output * min(at + step, len(data)) // len(data)
        yield Piece(data[at : at + step], so_far - sent)
        sent = so_far
        assert number <= count


def parsed_arguments(text: object) -> Json:
    """Arguments of a call in the history; the model's own text where they are no JSON object."""
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"not_json": str(text)}


def need(data: Mapping[str, Any], field: str, kind: type | tuple[type, ...], where: str = "") -> Any:
    """The field's value. Raises `BadRequestError` when it is missing or of another type."""
    value = data.get(field)
    if not isinstance(value, kind):
        raise BadRequestError(f"{where}{field}: field required, or of another type")
    return value


def wrong_arguments(tool: ToolDefinition) -> dict[str, Any]:
    """Arguments that the tool's schema refuses: every property has a value of a type it does not take."""
    properties: Mapping[str, Any] = tool.parameters_json_schema.get("properties", {})
    return {name: 0 if schema.get("type") == "object" else {"lab": "wrong"} for name, schema in properties.items()}


class PromptCache:
    """Which beginnings of prompts a provider has seen, by digests of their steps. One a provider and model."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def read(self, prompt: str) -> tuple[int, int]:
        """(tokens of the prompt that were cached, tokens that are from now on)."""
        step = CACHE_STEP * CHARS_PER_TOKEN
        digest, known, whole = hashlib.blake2b(), 0, 0
        is_known = True
        for at in range(0, len(prompt) - step + 1, step):
            digest.update(prompt[at : at + step].encode("utf-8", "surrogatepass"))
            key = digest.copy().digest()
            is_known = is_known and key in self._seen
            known += CACHE_STEP if is_known else 0
            whole += CACHE_STEP
            self._seen.add(key)
        if whole < CACHE_LEAST:
            return 0, 0
        return (known if known >= CACHE_LEAST else 0), whole
