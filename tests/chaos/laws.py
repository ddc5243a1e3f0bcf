"""What must hold of a review, whatever was done to its workers: the same as if nothing had been. Pure.

The bill, exactly. A *question* is one prompt (all that was sent, by its hash); a question is *paid* when the provider
sent its answer whole. Of the ledger's rows, `known` sums the requests whose answers were seen, `unseen` those that were
written down as about to be sent and whose answer nobody saw.

    known  = questions paid                  every question's answer is in the ledger, once
    tokens = those of one answer a question  and with what it took
    answers billed - questions paid <= unseen
                                             an answer that was written down is never bought again: what was bought
                                             twice is listed as sent-but-unseen
    known + unseen = billed + broken off + never arrived
                                             everything the provider saw is in the ledger; beyond it only requests
                                             that were written down and whose worker died before they left
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LedgerRow:
    """One agent call as the ledger has it."""

    call_id: str
    known: int
    unseen: int
    input_tokens: int
    output_tokens: int
    success: bool


@dataclass(frozen=True)
class Asked:
    """One request as the provider saw it. `outcome` is `answered` when the whole answer was sent, and so is billed."""

    question: str
    outcome: str
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class Facts:
    """What is found of one review when it is over, or when the patience with it is."""

    outcome: str | None
    findings: tuple[str, ...] = ()
    """Id, clause, severity and a digest of all of it, each."""
    degraded: tuple[str, ...] = ()
    trail: tuple[str, ...] = ()
    """`stage:event` in order."""
    trail_problem: str | None = None
    projected: str | None = None
    """The outcome that Postgres shows."""
    ledger: tuple[LedgerRow, ...] = ()
    settled_requests: int = 0
    """What the review says that it took."""
    asked: tuple[Asked, ...] = ()
    effects: tuple[str, ...] = ()
    """What was done outside the workflow and must be done once: a pair, each correction, each effect of a tool."""
    left_over: tuple[str, ...] = ()
    """What should be gone: journals of agent runs."""


@dataclass(frozen=True)
class Problem:
    """`lost`: something that had to happen did not. `doubled`: it happened more than once. `other`: anything else."""

    kind: Literal["lost", "doubled", "other"]
    text: str


@dataclass
class _Court:
    problems: list[Problem] = field(default_factory=list)

    def same(self, what: str, wanted: Sequence[str], found: Sequence[str]) -> None:
        """As many of each."""
        missing, extra = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
        for one, count in missing.items():
            self.problems.append(Problem("lost", f"{what}: {one} is missing ({count})"))
        for one, count in extra.items():
            kind: Literal["doubled", "other"] = "doubled" if one in wanted else "other"
            self.problems.append(Problem(kind, f"{what}: {one} is too much ({count})"))

    def equal(self, kind: Literal["lost", "doubled", "other"], what: str, wanted: object, found: object) -> None:
        if wanted != found:
            self.problems.append(Problem(kind, f"{what}: {found!r}, not {wanted!r}"))


def judge(wanted: Facts, found: Facts, *, calm: bool = True, alone: bool = True) -> tuple[Problem, ...]:
    """What is wrong with `found`, of a review that without a blow comes to `wanted`.

    `calm` False: Redis was away, which may cost a review its memory and so is named in `degraded`. `alone` False: what
    the provider saw is not of this review alone, and the bill is judged elsewhere (`bill`).
    """
    court = _Court()
    if found.outcome is None:
        return (Problem("lost", f"it has no outcome; its trail: {', '.join(found.trail)}"),)
    court.equal("other", "outcome", wanted.outcome, found.outcome)
    if found.findings != wanted.findings:
        missing = [one for one in wanted.findings if one not in found.findings]
        extra = [one for one in found.findings if one not in wanted.findings]
        text = f"findings: {len(missing)} missing ({missing[:1]}), {len(extra)} instead ({extra[:1]})"
        court.problems.append(Problem("other", text))
    if calm:
        court.equal("other", "degraded", wanted.degraded, found.degraded)
    court.equal("lost", "outcome in Postgres", wanted.outcome, found.projected)
    if found.trail_problem is not None:
        court.problems.append(Problem("other", f"trail: {found.trail_problem}"))
    court.same("trail", wanted.trail, found.trail)
    court.same("effects", wanted.effects, found.effects)
    court.same("ledger", [row.call_id for row in wanted.ledger], [row.call_id for row in found.ledger])
    for row in found.ledger:
        if not row.success:
            court.problems.append(Problem("other", f"ledger: {row.call_id} is entered as failed"))
    for one in found.left_over:
        court.problems.append(Problem("other", f"left over: {one}"))
    court.equal("other", "settled requests", sum(row.known for row in found.ledger), found.settled_requests)
    if alone:
        court.problems += bill([found])
    return tuple(court.problems)


def bill(reviews: Sequence[Facts], asked: Sequence[Asked] | None = None) -> list[Problem]:
    """The laws of the bill, for reviews together; `asked` is theirs when it cannot be told apart by review."""
    seen = [one for review in reviews for one in review.asked] if asked is None else list(asked)
    rows = [row for review in reviews for row in review.ledger]
    known, unseen = sum(row.known for row in rows), sum(row.unseen for row in rows)
    billed = [one for one in seen if one.outcome == "answered"]
    paid = {one.question: one for one in billed}
    court = _Court()
    if known != len(paid):
        kind: Literal["lost", "doubled"] = "lost" if known < len(paid) else "doubled"
        court.problems.append(Problem(kind, f"bill: {len(paid)} questions were paid, the ledger knows {known}"))
    for name in ("input_tokens", "output_tokens"):
        court.equal(
            "other",
            f"bill: {name}",
            sum(getattr(one, name) for one in paid.values()),
            sum(getattr(row, name) for row in rows),
        )
    if len(billed) - len(paid) > unseen:
        again = [question[:8] for question, count in Counter(one.question for one in billed).items() if count > 1]
        text = f"bill: {', '.join(again)} paid again, and {unseen} unseen"
        court.problems.append(Problem("doubled", text))
    if known + unseen < len(seen):
        text = f"bill: the provider saw {len(seen)} requests, the ledger {known} + {unseen} unseen"
        court.problems.append(Problem("lost", text))
    return court.problems


def never_arrived(found: Facts) -> int:
    """Requests that were written down and never reached the provider."""
    return sum(row.known + row.unseen for row in found.ledger) - len(found.asked)
