"""What the stages before the analysis gave: reading, screening, intent, recall and plan."""

from typing import Literal

from pydantic import Field

from countersign.review.payloads.base import Payload
from countersign.words import Autonomy, Channel, Position, RiskBand, Severity, Tier


class ReadReport(Payload):
    """What reading gave; the text itself stays in the document store."""

    chars: int
    pages: int
    sections: int
    text_sha256: str
    hidden_chars: int = 0
    unread: tuple[str, ...] = ()
    """What the document carries beside its pages and nobody has reviewed, as "embedded files: 2"."""


class Signal(Payload):
    """One explained reason for suspicion. `score` in [0, 1]; offsets are into the text of `channel`."""

    name: str
    channel: Channel
    score: float
    explanation: str
    start: int | None = None
    end: int | None = None
    page: int | None = None


class Screening(Payload):
    """The sentinel's verdict over instruction and document."""

    risk_score: float = Field(ge=0, le=1)
    band: RiskBand
    signals: tuple[Signal, ...] = ()


class Intent(Payload):
    """What is asked, about which kind of contract; typed before anything acts on it."""

    task: Literal["review", "summarise", "question"] = "review"
    contract_type: str = "other"
    """Kebab or snake word for the kind of contract: "nda", "msa", "license", "supply", … or "other"."""
    our_side: str = "unknown"
    """Our role as the contract names it ("Receiving Party", "Supplier"), or "unknown"."""
    focus: tuple[str, ...] = ()
    """Clause families the requester asked about; empty means all."""
    language: str = "en"
    """ISO 639-1 code of the document's language."""


class Correction(Payload):
    """What a person changed in an earlier analysis, recalled because it concerns the same clause family."""

    correction_id: int
    clause: str
    change: str
    """What was changed, in words: "severity high -> low", "removed", "statement: …"."""
    note: str = ""
    kind: str = ""
    """What a person did to the finding (`countersign.learning.lesson.Kind`); empty in what older versions recalled."""
    position: Position | None = None
    before: Severity | None = None
    after: Severity | None = None


class KnowledgeHit(Payload):
    """A passage of the knowledge base near to what is under review."""

    source: str
    passage: str
    score: float


class CellStanding(Payload):
    """What the evidence says of the review's cell and arm, as the review uses it.

    `share` is the propensity with which an item that nothing else sends to a person is looked at, `drawn` this review's
    number in [0, 1): below the share it is. `calibrated` maps stated confidence at equal steps from 0 to 1; it is empty
    while there are too few pairs. `threshold` None with a map means that nothing may be released.
    """

    arm: str
    """Fingerprint of models, prompts, playbook and code."""
    level: Autonomy = Autonomy.SUPERVISED
    items: int = 0
    share: float = Field(default=1.0, gt=0, le=1)
    drawn: float = Field(default=0.0, ge=0, lt=1)
    calibrated: tuple[float, ...] = ()
    calibration: str = "stated"
    calibration_pairs: int = 0
    threshold: float | None = None
    threshold_pairs: int = 0
    target_error: float = 0.05


class GateEvidence(Payload):
    """What the gate used of the evidence, and whether the review was drawn to be looked at all the same.

    `propensity` is the probability with which a person looks at this review, `least` the smallest any could have had.
    """

    arm: str
    level: Autonomy
    items: int
    stated: float
    confidence: float
    threshold: float | None
    note: str
    audited: bool = False
    propensity: float = 1.0
    least: float = 1.0


class Recall(Payload):
    """What the three tiers of memory remembered. A tier that failed is named in `degraded` and left empty."""

    session: tuple[str, ...] = ()
    profile: dict[str, str] = Field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    knowledge: tuple[KnowledgeHit, ...] = ()
    autonomy: Autonomy = Autonomy.SUPERVISED
    degraded: tuple[Tier, ...] = ()
    disputed: tuple[str, ...] = ()
    """Corrections that contradict each other and are therefore not in force, one line a clause."""
    standing: CellStanding | None = None
    """What the evidence says of the cell; None where it could not be asked, or before there was any."""


class PlannedTask(Payload):
    """One specialist's share of the work."""

    specialist: str
    families: tuple[str, ...]
    sections: tuple[str, ...] = ()
    """Labels of the sections to read; empty means the whole document."""
    reason: str = ""


class Plan(Payload):
    """Which specialists look at what, and why."""

    tasks: tuple[PlannedTask, ...]
    reason: str = ""
