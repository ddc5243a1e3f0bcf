"""Claims about the document, with the quotations they stand on."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from countersign.review.payloads.base import Payload
from countersign.words import Position, Severity


class Evidence(Payload):
    """A verbatim quotation: `text[start:end] == quote`, on page `page` (from 1)."""

    quote: str
    start: int
    end: int
    page: int


class Finding(Payload):
    """One claim about the document: with verbatim evidence, or, for an absence, the sections searched."""

    id: str
    """Unique within the review and stable: "F1", "F2", …"""
    clause: str
    severity: Severity
    statement: str
    position: Position = Position.UNCLEAR
    evidence: tuple[Evidence, ...] = ()
    searched: tuple[str, ...] = ()
    confidence: float = Field(default=1.0, ge=0, le=1)
    specialist: str = ""
    suggestion: str = ""
    """What the playbook would rather have: the text of the preferred or fallback position."""
    corrections: tuple[int, ...] = ()
    """Corrections that changed this finding ("because of correction 17")."""
    uncorrected: Severity | None = None
    """The severity before corrections changed it. The gate goes by the graver of the two."""

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `uncorrected` while it is unset: it is younger than digests of findings that people have signed."""
        dumped: dict[str, Any] = handler(self)
        if self.uncorrected is None:
            dumped.pop("uncorrected", None)
        return dumped

    @property
    def gravest(self) -> Severity:
        """The severity that decides who must look: no correction takes a person away."""
        return max(self.severity, self.uncorrected or self.severity, key=lambda severity: severity.rank)


class DraftFinding(Payload):
    """A finding as a specialist wrote it, before its quotations were looked up in the text."""

    clause: str
    statement: str
    severity: Severity
    position: Position = Position.UNCLEAR
    quotes: tuple[str, ...] = ()
    """Verbatim passages of the document; empty claims that the clause is absent."""
    searched: tuple[str, ...] = ()
    confidence: float = Field(default=1.0, ge=0, le=1)
    corrections: tuple[int, ...] = ()
    """Ids of recalled corrections that changed this finding."""
