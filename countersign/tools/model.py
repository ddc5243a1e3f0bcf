"""What a tool is: a name, what it declares of itself, typed bounded arguments, and (if it reads) what it does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from countersign.document.model import DocumentText
from countersign.review.payloads import KnowledgeHit
from countersign.tools.names import NATURES
from countersign.words import Nature


class Arguments(BaseModel):
    """Base of all arguments: nothing unknown passes, and an error never repeats a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Precedents(Protocol):
    """The knowledge base, as a tool sees it."""

    async def search(self, tenant: str, query: str, limit: int = 5) -> tuple[KnowledgeHit, ...]: ...


class Counterparty(BaseModel):
    """What is known of a counterparty, without its name."""

    model_config = ConfigDict(frozen=True)

    standing: str
    """One word: `approved`, `watch` or `barred`."""
    note: str = ""
    contracts: int = 0
    """Contracts in force with it, as far as the register says."""


class Counterparties(Protocol):
    """The register of counterparties, as a tool sees it."""

    async def find(self, tenant: str, name: str) -> Counterparty | None: ...


@dataclass(frozen=True)
class Surroundings:
    """All that a tool can get hold of: one document, and its tenant's memory."""

    tenant: str
    document: DocumentText
    precedents: Precedents
    counterparties: Counterparties
    today: date


Work = Callable[[Surroundings, Any], Awaitable[Mapping[str, Any]]]  # Any: the tool's own arguments class


@dataclass(frozen=True)
class Tool:
    """One tool. `work` is None for an effect: no agent's run ever does it."""

    name: str
    description: str
    arguments: type[Arguments]
    work: Work | None = None

    @property
    def nature(self) -> Nature:
        """What it declares of itself."""
        return NATURES[self.name]
