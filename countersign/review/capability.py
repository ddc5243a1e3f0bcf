"""What a review may still do after screening: the policy between clean and blocked. Pure, and it only takes away.

Suspicious text and what it could get hold of are kept apart. A model that reads suspicious text sees nothing of the
tenant's memory, answers in types and to a plan that no model made, and a person signs. An instruction is a channel of
its own: it comes from a known user, who may direct the review, so a suspicious document leaves it alone; a suspicious
instruction goes no further than the typed intent that is read from it.
"""

import re

from countersign.review.payloads import Failure, Intent, Payload, Recall, Screening
from countersign.words import Channel, RiskBand

_KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_SIDE = re.compile(r"[A-Za-z]{2,20}(?: [A-Za-z]{2,20})?")
_LANGUAGE = re.compile(r"[a-z]{2}")


class Capability(Payload):
    """What a review may do; all of it unless screening took something away."""

    blocked: bool = False
    """Nothing goes on: no agent reads the text."""
    supervised: bool = False
    """A person signs, whatever autonomy the cell has earned."""
    memory: bool = True
    """Session, profile, corrections and knowledge may stand in a prompt with this text."""
    instruction: bool = True
    """The requester's own words may go to planner, specialists and reconciler."""
    planning: bool = True
    """A model plans the work; without it the playbook's division of labour is the plan."""
    reasons: tuple[str, ...] = ()
    """Why something was taken away, for the reviewer."""

    @property
    def withheld(self) -> tuple[str, ...]:
        """What a review that goes on does without, as status and trail name it."""
        if self.blocked:
            return ()
        kept = {"memory": self.memory, "instruction": self.instruction, "planning": self.planning}
        return tuple(name for name, is_kept in kept.items() if not is_kept)

    def permitted(self, recall: Recall) -> Recall:
        """What may be used of a recall: of a withheld memory autonomy and evidence alone, which are nobody's words."""
        kept = Recall(autonomy=recall.autonomy, degraded=recall.degraded, standing=recall.standing)
        return recall if self.memory else kept

    def plain(self, intent: Intent) -> Intent:
        """The intent as it may go on: read from suspicious text, its open fields hold a word or two, or nothing."""
        if self.planning:
            return intent
        return intent.model_copy(
            update={
                "contract_type": intent.contract_type if _KIND.fullmatch(intent.contract_type) else "other",
                "our_side": intent.our_side if _SIDE.fullmatch(intent.our_side) else "unknown",
                "language": intent.language if _LANGUAGE.fullmatch(intent.language) else "en",
            }
        )


def capability(screening: Screening | None, *, judged: bool = True) -> Capability:
    """What screening leaves a review.

    Args:
        screening: the verdict; None when the sentinel gave none, and everything may be suspicious.
        judged: False when a sentinel agent was to be heard and was not: then the verdict of patterns and scorer stands,
            and a person signs.
    """
    if screening is None:
        reasons: tuple[str, ...] = ("the sentinel gave no verdict",)
        return Capability(supervised=True, memory=False, instruction=False, planning=False, reasons=reasons)
    reasons = () if judged else ("the sentinel agent gave no verdict",)
    if screening.band is RiskBand.CLEAN:
        return Capability(supervised=not judged, reasons=reasons)
    channels = {signal.channel for signal in screening.signals}
    where = f" ({' and '.join(sorted(channels))})" if channels else ""
    return Capability(
        blocked=screening.band is RiskBand.BLOCKED,
        supervised=True,
        memory=False,
        instruction=Channel.INSTRUCTION not in channels,
        planning=False,
        reasons=(f"screening is {screening.band} at {screening.risk_score:.2f}{where}", *reasons),
    )


def blocked(screening: Screening) -> Failure:
    """Why a review was blocked, and what to do about it in the channel it was seen in. Never a word of either text."""
    names = ", ".join(sorted({signal.name for signal in screening.signals}))
    channels = {signal.channel for signal in screening.signals}
    remedies = []
    if Channel.DOCUMENT in channels:
        remedies.append("Look at the passages its signals name; submit a clean copy if they are innocent")
    if Channel.INSTRUCTION in channels:
        remedies.append("Ask for the review in other words, without orders about rules, prompts or verdicts")
    return Failure(
        type="ReviewBlocked",
        message=f"the sentinel found {names} in the {' and '.join(sorted(channels))}; risk {screening.risk_score:.2f}",
        remedy=". ".join(remedies),
    )
