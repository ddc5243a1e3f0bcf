"""What evidence is about: a cell and an arm. Evidence of one arm says nothing about another."""

import hashlib
import json
from typing import NamedTuple

from pydantic import Field

from countersign.evidence.observation import Frozen


class CellKey(NamedTuple):
    """A cell: what autonomy is granted for."""

    tenant: str
    playbook: str
    contract_type: str


class Arm(Frozen):
    """Everything whose change may change what the agents say: a new one starts supervised.

    `models` maps an agent's role to its model's name, fallbacks included; `prompts` an agent's role to a digest of its
    instructions; `playbook_digest` is of the playbook as loaded; `code_version` the release that runs.
    """

    models: dict[str, str]
    prompts: dict[str, str]
    playbook_digest: str = Field(min_length=1)
    code_version: str = Field(min_length=1)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over canonical JSON, as 64 hex digits: the same whatever the order in which the parts were named."""
        return hashlib.sha256(
            json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    def changed_from(self, other: "Arm") -> tuple[str, ...]:
        """In words, what is different from another arm; empty when nothing is."""
        found = []
        for word, mine, theirs in (("model", self.models, other.models), ("prompt", self.prompts, other.prompts)):
            roles = sorted(role for role in {*mine, *theirs} if mine.get(role) != theirs.get(role))
            found += [f"the {word} of {role}" for role in roles]
        if self.playbook_digest != other.playbook_digest:
            found.append("the playbook")
        if self.code_version != other.code_version:
            found.append("the code version")
        return tuple(found)


def digest(text: str) -> str:
    """SHA-256 of a prompt or any other text, as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()
