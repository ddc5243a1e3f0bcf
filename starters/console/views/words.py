"""Enum words and amounts as people read them."""

from countersign.visible import visible
from countersign.words import Outcome, Position, Severity, Stage

SEVERITIES = tuple(reversed(Severity))
"""The gravest first."""
POSITIONS = {
    Position.PREFERRED: "at our preferred position",
    Position.FALLBACK: "at our fallback position",
    Position.WALK_AWAY: "at our walk-away position",
    Position.UNCLEAR: "position unclear",
    Position.ABSENT: "not in the document",
}
STAGES = {
    Stage.SUBMIT: "taken in",
    Stage.READ: "being read",
    Stage.SCREEN: "being screened",
    Stage.INTENT: "being understood",
    Stage.RECALL: "recalling earlier work",
    Stage.PLAN: "being planned",
    Stage.ANALYSE: "with the agents",
    Stage.RECONCILE: "being reconciled",
    Stage.GATE: "at the gate",
    Stage.SIGN: "waits for a person",
    Stage.LEARN: "being learned from",
    Stage.SETTLE: "being settled",
    Stage.DONE: "done",
}
OUTCOMES = {
    Outcome.RELEASED: "released without a person",
    Outcome.APPROVED: "approved",
    Outcome.AMENDED: "signed with changes",
    Outcome.REJECTED: "rejected",
    Outcome.BLOCKED: "blocked by the sentinel",
    Outcome.RATE_LIMITED: "not let in: too many requests",
    Outcome.OVERLOADED: "not let in: no room",
    Outcome.EXPIRED: "expired undecided",
    Outcome.SHADOWED: "compared in shadow: nothing released",
    Outcome.FAILED: "failed",
}
GOOD = frozenset({Outcome.RELEASED, Outcome.APPROVED, Outcome.AMENDED, Outcome.SHADOWED})


__all__ = ["count", "human", "money", "name_of", "visible"]


def human(word: object) -> str:
    """An enum's or a key's word with spaces: "four_eyes" is "four eyes"."""
    return str(word).replace("_", " ").replace("-", " ") if word else ""


def name_of(word: str) -> str:
    """A kind of contract or playbook as a name: "nda" is "NDA", "master_services" is "Master services"."""
    shown = human(visible(word))
    return shown.upper() if len(shown) <= 4 else shown[:1].upper() + shown[1:]


def count(number: int, one: str, many: str = "") -> str:
    """ "1 finding", "3 findings", "no findings"."""
    return f"{number or 'no'} {one if number == 1 else many or one + 's'}"


def money(microusd: int) -> str:
    """Micro-dollars as dollars: "$0.0012"; cents are enough from a dollar on."""
    return f"${microusd / 1e6:,.2f}" if microusd >= 1_000_000 or not microusd else f"${microusd / 1e6:.4f}"
