"""A playbook: what to look for in a contract and what to do about it. Data (TOML) that lawyers edit, validated here."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from countersign.tools.names import NATURES
from countersign.words import Nature, Severity

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,47}$")]
GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=2, max_length=500), AfterValidator(_compiles)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stance(_Data):
    """One position on a clause: in words (for people and models) and by signs (for the offline model)."""

    text: str
    signs: tuple[Pattern, ...] = ()
    """Case-insensitive regular expressions searched in the clause found."""


class Family(_Data):
    """A clause family: one question the review answers about the contract."""

    key: Slug
    title: str
    specialist: Slug
    question: str
    severity: Severity
    """Severity of a clause at the walk-away position; fallback counts one lower, preferred is `info`."""
    required: bool = False
    """Whether absence is itself a finding, of `absent_severity`."""
    absent_severity: Severity = Severity.MEDIUM
    cues: tuple[Pattern, ...] = ()
    """Case-insensitive regular expressions that tell the offline model where the clause may stand."""
    preferred: Stance
    fallback: Stance
    walk_away: Stance


class Specialist(_Data):
    """One member of the team of agents, and what it is told about its job."""

    key: Slug
    title: str
    brief: str


class Sla(_Data):
    """How long a person may take, in hours from the moment the review waits; all three run at once."""

    remind_hours: float = Field(default=24, gt=0)
    escalate_hours: float = Field(default=48, gt=0)
    expire_hours: float = Field(default=168, gt=0)
    reassign_hours: float | None = Field(default=None, gt=0)
    """When a claim that was taken before the reminder, and still stands, is given back and offered on."""

    @model_validator(mode="after")
    def _ordered(self) -> "Sla":
        if not self.remind_hours <= self.escalate_hours <= self.expire_hours:
            raise ValueError("remind_hours <= escalate_hours <= expire_hours must hold")
        if self.reassign_hours is not None and not self.remind_hours <= self.reassign_hours <= self.escalate_hours:
            raise ValueError("remind_hours <= reassign_hours <= escalate_hours must hold")
        return self


class Signing(_Data):
    """Who signs, and when one person is enough."""

    reviewers: tuple[str, ...] = ()
    """Names allowed to sign; empty means anyone but the requester."""
    four_eyes_at: Severity | Literal["never"] = Severity.CRITICAL
    """A finding of this severity or above needs two different people."""
    review_at: Severity = Severity.HIGH
    """Under semi-autonomy a finding of this severity or above needs a person."""
    confidence: float = Field(default=0.8, ge=0, le=1)
    """Below this confidence a person looks, whatever the autonomy."""
    groups: tuple[GroupName, ...] = ()
    """Groups whose members may sign, beside `reviewers`; who is in them is data (`countersign groups`)."""
    leads: tuple[GroupName, ...] = ()
    """Groups whose members take claims back and assign them, and may sign once a review is escalated."""
    quorum: dict[Severity, Annotated[int, Field(ge=1, le=20)]] = Field(default_factory=dict)
    """How many people sign when a finding is of this severity or above, where that is more than above."""
    undo_minutes: float = Field(default=0, ge=0, le=10_080)
    """For so long a decision that ends the review may be withdrawn; nothing follows from it before. 0: not at all."""
    require_signed: bool = False
    """Whether a decision counts only with a signature that proves who made it."""
    blind_capture: bool = False
    """Whether a reviewer says what they would do before they are told how sure the machine is."""

    @property
    def governed(self) -> bool:
        """Whether decisions are judged again, by data of the tenant, when they take effect."""
        return bool(self.groups or self.leads or self.undo_minutes or self.require_signed)


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(set(names) - NATURES.keys())
    if unknown:
        raise ValueError(f"there is no tool {unknown[0]!r}; the tools are {', '.join(NATURES)}")
    return names


def _with_effect(names: tuple[str, ...]) -> tuple[str, ...]:
    reading = [name for name in names if NATURES.get(name) is Nature.READ_ONLY]
    if reading:
        raise ValueError(f"{reading[0]!r} only reads, and no run waits for a person in its midst; put it under deny")
    return names


Tools = Annotated[tuple[str, ...], AfterValidator(_known)]


class ToolSection(_Data):
    """What the playbook takes away from its agents' tools. It cannot allow what the policy does not."""

    only: Tools | None = None
    """If given, no other tool may be used."""
    deny: Tools = ()
    require_approval: Annotated[Tools, AfterValidator(_with_effect)] = ()


class Quorum(_Data):
    """How many it takes, by the severity of the finding that is to become milder."""

    info: int = Field(default=1, ge=1, le=20)
    low: int = Field(default=1, ge=1, le=20)
    medium: int = Field(default=1, ge=1, le=20)
    high: int = Field(default=1, ge=1, le=20)
    critical: int = Field(default=1, ge=1, le=20)

    def at(self, severity: Severity) -> int:
        """The number at this severity."""
        return int(getattr(self, severity))


class People(Quorum):
    """Different people: two for what is grave, so that nobody takes it down alone."""

    high: int = Field(default=2, ge=1, le=20)
    critical: int = Field(default=2, ge=1, le=20)


class Reviews(Quorum):
    """Different reviews: two for what is critical."""

    critical: int = Field(default=2, ge=1, le=20)


class Learning(_Data):
    """What it takes until a correction that makes findings milder is in force, and how long any correction is."""

    people: People = People()
    """Different people who stand behind it."""
    reviews: Reviews = Reviews()
    """Different reviews it was made in."""
    expire_days: int = Field(default=365, ge=1, le=3650)
    """Days after which a correction that nobody confirmed no longer counts."""


class Playbook(_Data):
    """One playbook file, `playbooks/<name>.toml`."""

    name: Slug
    title: str
    version: str
    contract_types: tuple[str, ...]
    block_above: float = Field(default=0.6, ge=0, le=1)
    """Screening risk above which a review is blocked."""
    models: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Agent ("sentinel", "intent", "plan", a specialist's key, "reconcile") to model names, the preferred first."""
    sla: Sla = Sla()
    signing: Signing = Signing()
    tools: ToolSection = ToolSection()
    learning: Learning = Learning()
    specialists: tuple[Specialist, ...] = Field(min_length=1)
    families: tuple[Family, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Playbook":
        known = {specialist.key for specialist in self.specialists}
        seen: set[str] = set()
        for family in self.families:
            if family.specialist not in known:
                raise ValueError(f"family {family.key}: specialist {family.specialist!r} is not one of {sorted(known)}")
            if family.key in seen:
                raise ValueError(f"family {family.key}: appears twice")
            seen.add(family.key)
        return self

    def family(self, key: str) -> Family:
        """The family with this key; `KeyError` when there is none."""
        for family in self.families:
            if family.key == key:
                return family
        raise KeyError(key)
