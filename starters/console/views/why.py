"""Why a review went where it went, in plain words."""

from dataclasses import dataclass

from countersign.review.payloads import GateEvidence
from countersign.words import Autonomy, Route
from starters.autonomy import Explanation
from starters.console.views.autonomy import MEANINGS, NAMES, page_of
from starters.console.views.words import OUTCOMES, count, name_of, visible

SHORT = {
    Route.RELEASE: "Nobody was asked: it could be released",
    Route.REVIEW: "It came to a person",
    Route.FOUR_EYES: "It came to two people",
    Route.BLOCK: "It was stopped",
}
JUDGED = {
    "review": "A person signed it",
    "shadow": "A person judged it blind",
    "labels": "It came with labels of a person",
}


@dataclass(frozen=True)
class Why:
    """A review's way in sentences. `confidence` is a table of words and figures."""

    review_id: str
    cell: str
    cell_page: str
    headline: str
    outcome: str
    reasons: tuple[str, ...]
    confidence: tuple[tuple[str, str], ...]
    draw: str
    counted: str
    now: tuple[str, ...]


def why_of(found: Explanation) -> Why:
    """The explanation for people."""
    _, playbook, contract_type = found.cell
    return Why(
        review_id=found.review_id,
        cell=f"{name_of(contract_type)} under {name_of(playbook)}",
        cell_page=page_of(playbook, contract_type),
        headline=SHORT[found.route] if found.route else "It is on its way still, or its way is not shown yet",
        outcome=OUTCOMES.get(found.outcome, str(found.outcome)) if found.outcome else "",
        reasons=tuple(visible(reason) for reason in found.reasons),
        confidence=_confidence(found.used) if found.used else (),
        draw=_draw(found.used) if found.used else "No evidence was used: none could be asked for, or there was none.",
        counted=_counted(found),
        now=found.cell_now,
    )


def _confidence(used: GateEvidence) -> tuple[tuple[str, str], ...]:
    threshold = "nothing may be released" if used.threshold is None else f"{used.threshold:.3f}"
    return (
        ("Level then", f"{NAMES[used.level]}: {MEANINGS[used.level][:1].lower()}{MEANINGS[used.level][1:]}"),
        ("How sure the agents said they were", f"{used.stated:.3f}"),
        ("What that is worth, by the evidence", f"{used.confidence:.3f}"),
        ("Below this a person looks", threshold),
        ("It rests on", f"{count(used.items, 'item')} judged before, by the same agents ({used.arm[:8]})"),
    )


def _draw(used: GateEvidence) -> str:
    if used.audited:
        return (
            f"It could have been released. It was drawn for the audit sample, in which each such review is with a "
            f"probability of {used.propensity:.0%}: that is how it is noticed when the agents get worse."
        )
    if used.level is Autonomy.SUPERVISED:
        return "Nothing was drawn: under supervision a person looks at every review."
    if used.propensity < 1:
        return f"A person would have looked with a probability of {used.propensity:.0%}; it was not drawn."
    return "Nothing was drawn: a person had to look in any case, for the reasons above."


def _counted(found: Explanation) -> str:
    if found.agreement is None:
        return "It is no evidence yet: no person has judged it."
    how = JUDGED.get(found.source or "", "It was judged")
    grave = " It holds a severity-1 error, which takes all autonomy back at once." if found.critical else ""
    if not found.counted:
        no = "It does not count: it is no new evidence about these agents."
        return f"{how}, agreement {found.agreement:.1%}. {no}{grave}"
    weight = "" if found.weight in (None, 1.0) else f", with weight {found.weight:.2f}"
    return f"{how}, agreement {found.agreement:.1%}. It counts as one item{weight}.{grave}"
