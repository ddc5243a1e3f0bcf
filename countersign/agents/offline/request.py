"""What the offline model was told, read from the blocks of the prompt and nothing else."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from countersign.agents.blocks import Block
from countersign.errors import PlaybookError
from countersign.playbook.model import Family, Playbook
from countersign.review.payloads import Intent

PlaybookLoader = Callable[[str], Playbook]
"""A playbook by its name; `PlaybookError` when there is none."""

TEXT_BLOCKS = ("document", "section")


@dataclass(frozen=True)
class Prompt:
    """The blocks of one prompt, typed."""

    blocks: Sequence[Block]
    load_playbook: PlaybookLoader

    def body(self, name: str) -> str:
        """The body of the first block of this name, empty when there is none."""
        return next((block.body for block in self.blocks if block.name == name), "")

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The stretches of the document that are shown, verbatim, in its order."""
        return tuple(block.body for block in self.blocks if block.name in TEXT_BLOCKS)

    @cached_property
    def task(self) -> dict[str, Any]:  # Any: JSON, read key by key below and by the answers
        """The task block."""
        task: dict[str, Any] = json.loads(self.body("task"))
        return task

    @cached_property
    def playbook(self) -> Playbook:
        """The playbook that the task names."""
        return self.load_playbook(self.task["playbook"])

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The families of the task.

        Raises:
            PlaybookError: the playbook on disk no longer has one of them.
        """
        known = {family.key: family for family in self.playbook.families}
        missing = [key for key in self.task["families"] if key not in known]
        if missing:
            raise PlaybookError(
                f"playbook {self.playbook.name!r} has no family {missing[0]!r}",
                remedy="It was changed while the review ran: put the family back or submit the review again.",
            )
        return tuple(known[key] for key in self.task["families"])

    @cached_property
    def intent(self) -> Intent:
        """The intent stated earlier, or the default one."""
        body = self.body("intent")
        return Intent.model_validate_json(body) if body else Intent()

    @cached_property
    def outline(self) -> tuple[dict[str, Any], ...]:  # Any: JSON rows of prompts._outline
        """The document's sections: label, heading, chars, and `signs_of` when it is long."""
        return tuple(json.loads(line) for line in self.body("outline").splitlines())

    @cached_property
    def profile(self) -> dict[str, str]:
        """What is remembered of the requester."""
        profile: dict[str, str] = json.loads(self.body("profile") or "{}")
        return profile
