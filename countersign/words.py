"""The project's vocabulary: one enum per word of the architecture, used in code, CLI, tables and docs.

Values are stored (histories, tables, trail), so a value is never renamed; members are only added.
"""

from enum import StrEnum


class Stage(StrEnum):
    """Where a review stands; the names are those of the way of one review."""

    SUBMIT = "submit"
    READ = "read"
    SCREEN = "screen"
    INTENT = "intent"
    RECALL = "recall"
    PLAN = "plan"
    ANALYSE = "analyse"
    RECONCILE = "reconcile"
    GATE = "gate"
    SIGN = "sign"
    ACT = "act"
    LEARN = "learn"
    SETTLE = "settle"
    DONE = "done"


class Outcome(StrEnum):
    """How a review ended. `released` is the machine alone; `approved` and `amended` were signed by a person."""

    RELEASED = "released"
    APPROVED = "approved"
    AMENDED = "amended"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    EXPIRED = "expired"
    FAILED = "failed"
    SHADOWED = "shadowed"
    """A shadow review that was judged: nothing was released, whatever the judgement."""


class Mode(StrEnum):
    """What a review is for: work, or to compare the agents with a person who does not see what they say."""

    LIVE = "live"
    SHADOW = "shadow"


class Autonomy(StrEnum):
    """What a cell (tenant, playbook, contract type) may do without a person."""

    SUPERVISED = "supervised"
    SEMI_AUTONOMOUS = "semi_autonomous"
    AUTONOMOUS = "autonomous"


class Route(StrEnum):
    """Where the gate sends an analysis."""

    RELEASE = "release"
    REVIEW = "review"
    FOUR_EYES = "four_eyes"
    BLOCK = "block"


class Severity(StrEnum):
    """How much a finding matters, from `info` (nothing to do) to `critical` (never without a person)."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (`info`) to 4 (`critical`)."""
        return list(Severity).index(self)


class Position(StrEnum):
    """Where a clause stands against the playbook."""

    PREFERRED = "preferred"
    FALLBACK = "fallback"
    WALK_AWAY = "walk_away"
    UNCLEAR = "unclear"
    ABSENT = "absent"


class Verdict(StrEnum):
    """What a person may decide about an analysis."""

    APPROVE = "approve"
    REJECT = "reject"
    AMEND = "amend"
    ASK = "ask"
    WITHDRAW = "withdraw"
    """Takes one's own decision back while it may still be undone."""


class RiskBand(StrEnum):
    """The screening's verdict in one word: `elevated` always needs a person, `blocked` ends the review."""

    CLEAN = "clean"
    ELEVATED = "elevated"
    BLOCKED = "blocked"


ELEVATED_FROM = 0.3
"""Risk from which a person must sign, whatever the autonomy."""


class Channel(StrEnum):
    """Which text a screening signal was seen in; the two have different policies."""

    INSTRUCTION = "instruction"
    DOCUMENT = "document"


class Tier(StrEnum):
    """The three tiers of memory."""

    SESSION = "session"
    PROFILE = "profile"
    KNOWLEDGE = "knowledge"


class Role(StrEnum):
    """What a person may do through the gateway."""

    REQUESTER = "requester"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMIN = "admin"


class Nature(StrEnum):
    """All that a tool may say of itself: that it only reads, or that it changes something. The policy decides."""

    READ_ONLY = "read_only"
    EFFECT = "effect"


class ToolVerdict(StrEnum):
    """What the policy says of a tool, the freest first."""

    ALLOW = "allow"
    NEEDS_APPROVAL = "needs_approval"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """0 (`allow`) to 2 (`deny`)."""
        return list(ToolVerdict).index(self)


class EffectState(StrEnum):
    """Where a proposed effect stands."""

    PENDING = "pending"
    """Waits for an approval of its own."""
    ALLOWED = "allowed"
    """The policy asks for no approval: it happens when the review is signed."""
    APPROVED = "approved"
    DENIED = "denied"
    """The policy in force does not let it happen."""
    DECLINED = "declined"
    """A person said no, or nobody said yes before the review ended."""
    DONE = "done"
    REFUSED = "refused"
    """It was to happen, and something it was bound to had changed."""
