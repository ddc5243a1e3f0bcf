"""What an agent run may know. Prompts are built from it; models see only what a prompt shows."""

from dataclasses import dataclass

from countersign.document.model import DocumentText
from countersign.playbook.model import Playbook
from countersign.review.payloads import Intent, PlannedTask, Recall, ReviewKey


@dataclass(frozen=True)
class AgentDeps:
    """Everything the agents of one review share. Held in memory for one activity, never stored."""

    key: ReviewKey
    playbook: Playbook
    document: DocumentText
    intent: Intent | None = None
    recall: Recall | None = None
    ask: str = ""
    """What the requester wants, in their words; data, not an instruction to the agents."""
    task: PlannedTask | None = None
    """The specialist's share; set by `team.analyse`."""
    whole_document_chars: int = 400_000
    """Up to this length a specialist reads the whole document; above it, the sections of its task."""

    @property
    def is_long(self) -> bool:
        """Whether the document is too long to be shown whole."""
        return len(self.document.text) > self.whole_document_chars

    @property
    def focused_families(self) -> tuple[str, ...]:
        """Keys of the families to look at, in the playbook's order: those of the intent's focus, or all."""
        focus = set(self.intent.focus) if self.intent else set()
        keys = tuple(family.key for family in self.playbook.families)
        return tuple(key for key in keys if key in focus) or keys
