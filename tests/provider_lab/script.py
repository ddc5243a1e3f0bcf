"""How the lab misbehaves: a list of rules, the first that matches a request decides. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

Deed = Literal[
    "answer",
    "hang",
    "stall",
    "cut",
    "truncate",
    "error",
    "overflow",
    "quota",
    "error_in_stream",
    "invalid_json",
    "malformed_sse",
    "wrong_schema",
    "unknown_tool",
]
"""What a rule does. `answer` is the good one; each other is named after what goes wrong.

`hang`: nothing is sent. `stall`: sending stops in the middle. `cut`: the connection ends in the middle, or at once with
`after` 0. `truncate`: a stream ends in the middle as if that were its end. `error`: an HTTP status with the provider's
body. `overflow`: the prompt is longer than the context. `quota`: the account is exhausted. `error_in_stream`: an event
in the middle of a stream says that the provider is overloaded. `invalid_json`: a body, or an event, that is no JSON.
`malformed_sse`: a stream that is none. `wrong_schema`: a call of the output tool whose arguments its schema refuses.
`unknown_tool`: a call of a tool that was not offered.

`truncate`, `error_in_stream` and `malformed_sse` need a stream; a request without one is answered well, but for
`malformed_sse`, which is `invalid_json` then.
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tokens(_Frozen):
    """Tokens of one answer; `input` counts those read from and written to the prompt cache in.

    Any integer, so that a script can lie with them.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0


class Say(_Frozen):
    """Text of a fixed answer."""

    text: str


class CallTool(_Frozen):
    """A tool call of a fixed answer."""

    tool: str
    arguments: dict[str, JsonValue] = {}


class Rule(_Frozen):
    """What matches (every field that is set must), how often, and what the lab then does. Times are in seconds."""

    provider: Literal["anthropic", "openai"] | None = None
    model: str | None = None
    """A pattern with `*` and `?`."""
    agent: Literal["intent", "plan", "specialist", "reconcile"] | None = None
    """Agent of the review team, known by the output tool it offers."""
    tool: str | None = None
    """Name of a tool that is offered."""
    contains: str | None = None
    """A string in the last text of the user, or in a tool's result after it."""
    stream: bool | None = None
    request: int | None = Field(default=None, ge=1)
    """The lab's so many-th request since its reset."""
    skip: int = Field(default=0, ge=0)
    """So many matching requests are left to the rules after this one first."""
    times: int | None = Field(default=None, ge=1)
    """After so many requests the rule is used up; None: never."""

    do: Deed = "answer"
    delay_s: float = Field(default=0, ge=0)
    """Before the first byte."""
    pause_s: float = Field(default=0, ge=0)
    """Before each further piece: the answer trickles."""
    chunk_chars: int = Field(default=64, ge=1)
    """Characters of text or arguments in one piece."""
    after: float = Field(default=0.5, ge=0, le=1)
    """Share of the pieces that are sent before the deed, where it is one in the middle of an answer."""
    hold_s: float | None = Field(default=None, ge=0)
    """How long `hang` and `stall` hold before they go on as if nothing had been; None: until the client leaves."""
    ping_s: float | None = Field(default=None, gt=0)
    """While a stream is held, and once it has begun, a ping is sent this often: alive, but no progress."""
    reset: bool = False
    """`cut` with a TCP reset instead of an orderly end."""
    status: int = Field(default=500, ge=400, le=599)
    """Of `error`."""
    retry_after_s: float | None = Field(default=None, ge=0)
    """Sent as `Retry-After` with any error status."""
    retry_after_as: Literal["seconds", "date"] = "seconds"
    """A date has a resolution of one second."""
    answer: tuple[Say | CallTool, ...] = ()
    """The answer, instead of the offline model's."""
    usage: Tokens | None = None
    """What the answer costs, instead of the lab's estimate: told and billed."""
    told_usage: Tokens | None = None
    """What the answer says it costs, when that is a lie; what is billed stays the truth."""


class Facts(_Frozen):
    """What rules see of a request."""

    number: int
    provider: str
    model: str
    agent: str
    tools: tuple[str, ...]
    text: str
    stream: bool


Rules = Annotated[tuple[Rule, ...], Field(max_length=1000)]
_RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(Rules)


def parse_rules(given: object) -> tuple[Rule, ...]:
    """Rules from JSON data. Raises pydantic's `ValidationError`, which names rule and field."""
    return _RULES.validate_python(given)


def rules_from_json(text: str | bytes) -> tuple[Rule, ...]:
    """As `parse_rules`, from JSON text."""
    return _RULES.validate_json(text)


class Script:
    """Rules and how often each has matched and been applied."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self.matched = [0] * len(self.rules)
        self.applied = [0] * len(self.rules)

    def choose(self, facts: Facts) -> tuple[int | None, Rule]:
        """(place of the rule that decides this request, the rule); (None, an ordinary answer) when none matches."""
        for place, rule in enumerate(self.rules):
            if not _matches(rule, facts) or (rule.times is not None and self.applied[place] >= rule.times):
                continue
            self.matched[place] += 1
            if self.matched[place] <= rule.skip:
                continue
            self.applied[place] += 1
            return place, rule
        return None, Rule()

    def shown(self) -> list[dict[str, Any]]:  # Any: JSON
        """The rules with what was set of them, and how often each was applied."""
        return [
            {**rule.model_dump(mode="json", exclude_unset=True), "applied": applied}
            for rule, applied in zip(self.rules, self.applied, strict=True)
        ]


def _matches(rule: Rule, facts: Facts) -> bool:
    return (
        rule.provider in (None, facts.provider)
        and (rule.model is None or fnmatchcase(facts.model, rule.model))
        and rule.agent in (None, facts.agent)
        and (rule.tool is None or rule.tool in facts.tools)
        and (rule.contains is None or rule.contains in facts.text)
        and rule.stream in (None, facts.stream)
        and rule.request in (None, facts.number)
    )
