"""What travels about batches: frozen, fields only ever added, with defaults. Items travel as positions, from 0."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from countersign.batch.window import Window
from countersign.review.payloads import Admission, AnalysisResult, Failure, Intent, Payload, ReviewRequest, Usage
from countersign.words import Autonomy, Outcome, Route

MAX_WINDOW = 200
"""Reviews of one batch under way at once: more would fill the waiting room that everybody shares."""
MAX_ITEMS = 100_000


class BatchKind(StrEnum):
    """What is done with each item."""

    REVIEW = "review"
    RERUN = "rerun"


class BatchState(StrEnum):
    """Where a batch stands."""

    STORING = "storing"
    """Its contracts are being taken in; repeat the command when that was interrupted."""
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    DONE = "done"
    """The machine is done with every item; people may not be."""
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (BatchState.CANCELLED, BatchState.DONE, BatchState.FAILED)


WAITING, ERASED, CANCELLED, STUCK, DONE = "waiting", "erased", "cancelled", "stuck", "done"
"""How an item may have ended for the machine, beside the outcomes of reviews: it waits for a person, its content was
erased, it was not begun, nothing was heard of it for a day, it was analysed again."""


class Baseline(Payload):
    """What the same work costs by hand, as the user says; nothing here is ever assumed."""

    manual_minutes: float | None = Field(default=None, gt=0)
    """Minutes a person takes for one contract."""
    manual_cost: float | None = Field(default=None, gt=0)
    """US dollars that one contract costs."""
    signing_minutes: float | None = Field(default=None, gt=0)
    """Minutes a person takes to look at an analysis and sign it."""


class BatchOrder(Payload):
    """What was asked for; sealed where it is stored. `model` and `playbook` are a rerun's arm, where it has one."""

    user: str
    playbook: str = "nda"
    ask: str = ""
    baseline: Baseline = Baseline()
    model: str | None = None
    other_playbook: str | None = None
    since: datetime | None = None


class BatchKey(Payload):
    """Which batch an activity works for."""

    tenant: str
    batch_id: str


class BatchInput(Payload):
    """What a batch's workflow starts with, and goes on with in a new run; `window` None at the beginning."""

    tenant: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    batch_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    window: Window | None = None
    runs: int = 0
    """Runs before this one, each ended well before a history could grow too long."""
    version: int = 0
    quiet: int = 0
    """Looks in a row that showed nothing new."""
    renew_at: int = Field(default=2_000, ge=50)
    """Events in the history at which a run ends and a new one goes on. The server's limits are 51,200 events or 50 MB;
    a short history is also quickly replayed."""


class BatchFacts(Payload):
    """What the workflow needs to know of its batch."""

    kind: BatchKind
    items: int
    window: int
    tenant_hash: str
    weight: float = 1.0


class Ended(Payload):
    """One item the machine is done with: `how` is an outcome of reviews or one of the words above."""

    position: int
    how: str


class BeginInput(Payload):
    """Items to begin, in order."""

    key: BatchKey
    positions: tuple[int, ...]


class BeginResult(Payload):
    """What became of the first of them: begun, or ended at once. Those not named were not begun.

    `retry_after_s` is when to ask again about the rest, `waits_for` what they wait for.
    """

    begun: tuple[int, ...] = ()
    ended: tuple[Ended, ...] = ()
    retry_after_s: float = 0.0
    waits_for: str = ""


class WatchInput(Payload):
    """Items under way, to be watched until one ends, `patience_s` seconds at most."""

    key: BatchKey
    positions: tuple[int, ...]
    patience_s: float


class WatchResult(Payload):
    """Those that ended; `waits_for` says what the others wait for, where that is known."""

    ended: tuple[Ended, ...] = ()
    waits_for: str = ""


class BatchStanding(Payload):
    """Where a batch stands: what its workflow answers, and what is projected."""

    tenant: str
    batch_id: str
    state: BatchState = BatchState.READY
    items: int = 0
    begun: int = 0
    in_flight: int = 0
    ended: dict[str, int] = Field(default_factory=dict)
    """Items the machine is done with, by how."""
    waits_for: str = ""
    runs: int = 1
    version: int = 0
    failure: Failure | None = None

    @property
    def done(self) -> int:
        """Items the machine is done with."""
        return sum(self.ended.values())


# --- reruns --------------------------------------------------------------------------------------------------------


class RerunInput(Payload):
    """One stored review to be analysed again. `arm` says which item of which batch."""

    key: BatchKey
    position: int


class RerunFacts(Payload):
    """What is analysed again, with whose words, for whom. The admission's key is the rerun's own."""

    admission: Admission
    request: ReviewRequest
    autonomy: Autonomy = Autonomy.SUPERVISED
    """What the stored review had."""


class Rerun(Payload):
    """What the other arm says. `timings_ms` by stage, as a review has them."""

    outcome: Literal["done", "blocked", "failed"]
    route: Route | None = None
    route_reasons: tuple[str, ...] = ()
    intent: Intent | None = None
    analysis: AnalysisResult | None = None
    usage: Usage = Usage()
    timings_ms: dict[str, int] = Field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    failure: Failure | None = None


class KeepInput(Payload):
    """A rerun's result, to be kept with its item."""

    key: BatchKey
    position: int
    rerun_key: str
    result: Rerun


PERSON_SIGNED = frozenset({Outcome.APPROVED, Outcome.AMENDED, Outcome.REJECTED})
"""Outcomes that a person decided."""
