"""The rules of a circuit as data: defaults for models and for tools, and what a setting changes of them."""

import re
from collections.abc import Mapping
from dataclasses import astuple, fields
from dataclasses import dataclass as plain_dataclass
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from countersign.errors import InvalidRequest

SECOND = 1_000_000

MODEL = re.compile(r"model:[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}", re.ASCII)
TOOL = re.compile(r"tool:[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """The rules of one circuit. The defaults are those of a model's; `TOOL_DEFAULTS` are shorter.

    A call counts in the window when it succeeded or failed; one that was throttled or met a business error does not.
    """

    window_s: float = Field(default=120.0, ge=1, le=3600)
    """Length of the sliding window; longer than `stall_s`, or calls that hang never come together in it."""
    buckets: int = Field(default=12, ge=2, le=60)
    """Parts of the window; the oldest is dropped at once, so the window slides by this much at a time."""
    min_calls: int = Field(default=5, ge=1, le=100_000)
    """With fewer calls in the window the circuit never opens by itself."""
    failure_rate: float = Field(default=0.5, gt=0, le=1)
    """Share of failures in the window that opens the circuit."""
    slow_s: float = Field(default=120.0, gt=0, le=86_400)
    """A success that took longer is a slow call."""
    slow_rate: float = Field(default=0.8, gt=0, le=1)
    """Share of slow calls in the window that opens the circuit."""
    open_s: float = Field(default=10.0, gt=0, le=86_400)
    """How long it stays open the first time; each further time in a row twice as long."""
    open_cap_s: float = Field(default=30.0, gt=0, le=86_400)
    """Longest time it stays open by itself: so long after its recovery a provider may be left alone."""
    jitter: float = Field(default=0.2, ge=0, le=0.9)
    """Up to this share of the open time is left out by chance, so that several clusters do not probe in step."""
    probes: int = Field(default=2, ge=1, le=1000)
    """Probes in flight at once, in the whole cluster."""
    closes_after: int = Field(default=2, ge=1, le=1000)
    """Successful probes that close it; it opens again when as large a share of them as `slow_rate` was slow."""
    stall_s: float = Field(default=50.0, gt=0, le=86_400)
    """A call that neither beats nor ends for as long has failed: known before its step's heartbeat runs out (60 s)."""
    limit_max: float = Field(default=64.0, ge=1, le=100_000)
    """Calls in flight at once, in the whole cluster, while the provider throttles nobody."""
    limit_min: float = Field(default=1.0, ge=1, le=100_000)
    """Throttling never takes it lower."""
    shrink: float = Field(default=0.5, gt=0, lt=1)
    """What a throttled call leaves of the limit; those that were under way meanwhile take no more of it."""
    grow: float = Field(default=1.0, gt=0, le=1000)
    """What as many successes as the limit is large add to it."""
    retry_cap_s: float = Field(default=300.0, gt=0, le=86_400)
    """A provider's Retry-After is honoured up to this."""

    @model_validator(mode="after")
    def _fit_together(self) -> "Config":
        if self.open_cap_s < self.open_s:
            raise ValueError("open_cap_s is less than open_s")
        if self.limit_max < self.limit_min:
            raise ValueError("limit_max is less than limit_min")
        return self


MODEL_DEFAULTS = Config()
TOOL_DEFAULTS = Config(
    window_s=60.0,
    min_calls=10,
    slow_s=10.0,
    open_s=5.0,
    open_cap_s=30.0,
    stall_s=30.0,
    limit_max=32.0,
    retry_cap_s=60.0,
)

Overrides = Mapping[str, Mapping[str, Any]]
"""Fields of `Config` by name or by the beginning of one up to a colon: `model`, `model:anthropic`, `tool:search`."""


def check_name(name: str) -> str:
    """`name`, if it is a circuit's. Raises `InvalidRequest`; a wrong name is not repeated, whatever it holds."""
    if MODEL.fullmatch(name) or TOOL.fullmatch(name):
        return name
    raise InvalidRequest(
        "circuit: is no circuit's name", remedy="Write it as model:<provider>:<model> or as tool:<tool>"
    )


def config_of(name: str, overrides: Overrides) -> Config:
    """The rules of the circuit `name`: the defaults of its kind, and over them what is said of it, the longest last.

    Raises `InvalidRequest`, naming circuit and field, for what is unknown, out of range or does not fit together.
    """
    own = {field.name: getattr(_defaults(name), field.name) for field in fields(Config)}
    parts = name.split(":")
    for length in range(1, len(parts) + 1):
        own |= overrides.get(":".join(parts[:length]), {})
    try:
        return Config(**own)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "rules"
        raise InvalidRequest(
            f"circuits: {name}: {where}: {problem['msg']}", remedy=f"The fields are {', '.join(own_fields())}"
        ) from None


def check_overrides(overrides: Overrides) -> None:
    """Raise `InvalidRequest` for what `config_of` would refuse, or for a name that can be no circuit's beginning."""
    for name in overrides:
        kind, _, rest = name.partition(":")
        if kind not in {"model", "tool"} or not re.fullmatch(r"[A-Za-z0-9._:/@+-]{0,193}", rest, re.ASCII):
            raise InvalidRequest(
                "circuits: one of the names is no circuit's, nor the beginning of one",
                remedy="Name model, model:<provider>, model:<provider>:<model>, tool or tool:<tool>",
            )
        config_of(name, overrides)


def own_fields() -> tuple[str, ...]:
    """The names of the rules."""
    return tuple(field.name for field in fields(Config))


def _defaults(name: str) -> Config:
    return TOOL_DEFAULTS if name.partition(":")[0] == "tool" else MODEL_DEFAULTS


@plain_dataclass(frozen=True)
class Rules:
    """`Config` as numbers for the arithmetic: times in whole microseconds, the window as the width of its buckets."""

    bucket: int
    buckets: int
    min_calls: int
    failure_rate: float
    slow: int
    slow_rate: float
    open: int
    open_cap: int
    jitter: float
    probes: int
    closes_after: int
    stall: int
    limit_max: float
    limit_min: float
    shrink: float
    grow: float
    retry_cap: int

    @classmethod
    def of(cls, config: Config) -> "Rules":
        return cls(
            bucket=max(1, round(config.window_s * SECOND / config.buckets)),
            buckets=config.buckets,
            min_calls=config.min_calls,
            failure_rate=config.failure_rate,
            slow=round(config.slow_s * SECOND),
            slow_rate=config.slow_rate,
            open=round(config.open_s * SECOND),
            open_cap=round(config.open_cap_s * SECOND),
            jitter=config.jitter,
            probes=config.probes,
            closes_after=config.closes_after,
            stall=round(config.stall_s * SECOND),
            limit_max=config.limit_max,
            limit_min=config.limit_min,
            shrink=config.shrink,
            grow=config.grow,
            retry_cap=round(config.retry_cap_s * SECOND),
        )

    @property
    def window(self) -> int:
        """Length of the window."""
        return self.bucket * self.buckets

    def arguments(self) -> tuple[str | int, ...]:
        """As the script takes them, in its order: that of the fields."""
        return tuple(repr(value) if isinstance(value, float) else value for value in astuple(self))
