"""The arm that a review is analysed with: what evidence is about. Its fingerprint changes whenever the agents may."""

import hashlib
from functools import cache
from pathlib import Path

from countersign.agents import prompts
from countersign.evidence.arms import Arm, digest
from countersign.playbook.model import Playbook

_HOUSE = Path(__file__).resolve().parent.parent
AGENTS_CODE = ("agents", "clauses", "document", "learning/apply.py", "tools", "review/verify.py")
"""What decides what agents say and how it is compared, under `countersign/`: code, and weights that were trained."""
_SUFFIXES = frozenset({".py", ".npz"})
INSTRUCTIONS = {
    "intent": prompts.INTENT_INSTRUCTIONS,
    "plan": prompts.PLAN_INSTRUCTIONS,
    "specialist": prompts.SPECIALIST_INSTRUCTIONS,
    "reconcile": prompts.SYNTHESIS_INSTRUCTIONS,
}


@cache
def code_digest() -> str:
    """SHA-256 over the files that decide what agents say: the package's version changes too seldom, and too often."""
    found = hashlib.sha256()
    for part in AGENTS_CODE:
        path = _HOUSE / part
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)
        for file in files:
            found.update(file.relative_to(_HOUSE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()


@cache
def _prompts() -> dict[str, str]:
    return {role: digest(text) for role, text in INSTRUCTIONS.items()}


def arm_of(playbook: Playbook, playbook_digest: str, model: str, sentinel: str | None) -> Arm:
    """The arm of this playbook under these settings. `model` serves every role that the playbook names none for."""
    models = {"default": model, **{role: ",".join(chain) for role, chain in playbook.models.items()}}
    if sentinel is not None:
        models["sentinel"] = sentinel
    return Arm(models=models, prompts=_prompts(), playbook_digest=playbook_digest, code_version=code_digest())
