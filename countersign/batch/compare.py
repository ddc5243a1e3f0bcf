"""Two arms on the same stored reviews: where they agree, who is closer to what people decided, what each costs. Pure.

Paired throughout: every figure is of reviews that both arms analysed. Intervals of clauses draw whole reviews, since
clauses of one contract share their causes. What a clause comes to is the severity of its gravest finding, or none.

What people corrected counts as wrong for the stored arm, and is left out where the arms are held against each other:
what was stored there is the correction. A person who signed had the stored arm's findings before them and not the
other's, so agreement with people leans towards the stored arm.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from statistics import median

import numpy as np

from countersign.batch.payloads import ERASED
from countersign.evidence.intervals import Estimate, bootstrap, ratio, totals_by_group, wilson
from countersign.review.payloads import AnalysisResult, Finding
from countersign.store.batch_results import Compared
from countersign.words import Outcome, Route, Severity, Stage

MACHINE = (Stage.SCREEN, Stage.INTENT, Stage.PLAN, Stage.ANALYSE, Stage.RECONCILE)
"""Stages that both arms went through; a rerun neither reads the document anew nor recalls anything."""
SIGNED = frozenset({Outcome.APPROVED, Outcome.AMENDED})
"""Decisions that say of each clause what is right. A rejection is about the contract, not about its analysis."""


@dataclass(frozen=True)
class Said:
    """What an arm says of a clause: its gravest finding's severity and words, None and empty when it has none."""

    severity: Severity | None = None
    statement: str = ""
    quote: str = ""


@dataclass(frozen=True)
class Flip:
    """A clause that the arms see differently. `person` `approved` or `corrected` what was stored, or did neither."""

    review_id: str
    clause: str
    before: Said
    after: Said
    person: str = ""


@dataclass(frozen=True)
class RouteFlip:
    """A review that the gate would send elsewhere."""

    review_id: str
    before: Route | None
    after: Route | None


@dataclass(frozen=True)
class WithPeople:
    """Both arms against what people signed. Shares are of clauses; `b` and `c` count reviews.

    Attributes:
        stored_only, again_only: reviews in which only the stored arm, or only the other, was right throughout.
        p: two-sided exact McNemar test of those two (binomial with 1/2); None when there are none.
    """

    reviews: int
    clauses: int
    stored: Estimate
    again: Estimate
    difference: Estimate
    stored_only: int
    again_only: int
    p: float | None


@dataclass(frozen=True)
class Comparison:
    """The whole comparison. Money in micro-dollars and times in milliseconds, a review.

    Attributes:
        chosen: reviews that were to be analysed again; `pairs` of them both arms analysed.
        left_out: why the others were not, by how they ended; `erased` have no text any more.
        corrected_reviews: stored analyses that used corrections people had made before; the rerun had none.
        cost_difference, time_difference: the other arm's less the stored one's; below 0 it is cheaper, or faster.
    """

    chosen: int
    pairs: int
    left_out: dict[str, int]
    routes_same: tuple[int, float, float]
    clauses: int
    clauses_same: Estimate
    people: WithPeople | None
    rejected: int
    stored_cost: float
    again_cost: float
    cost_difference: Estimate
    unpriced_calls: int
    stored_ms: float
    again_ms: float
    time_difference: Estimate
    corrected_reviews: int
    flips: tuple[Flip, ...] = ()
    route_flips: tuple[RouteFlip, ...] = field(default=())


def compare(items: Sequence[Compared], shared: Mapping[str, Collection[str]] | None = None) -> Comparison:
    """Compare what is stored with what the other arm says.

    `shared` says by a stored review's playbook which clauses both arms ask about; others are no difference of opinion
    and are left out. A playbook that is not in it shares everything.
    """
    pairs = [
        _Pair(item, (shared or {}).get(item.stored.playbook if item.stored else "")) for item in items if _is_pair(item)
    ]
    left_out = Counter(_why(item) for item in items if not _is_pair(item))
    flips = [flip for pair in pairs for flip in pair.flips()]
    flips.sort(key=lambda flip: (-_distance(flip), flip.review_id, flip.clause))
    route_flips = tuple(RouteFlip(pair.review_id, *pair.routes) for pair in pairs if pair.routes[0] != pair.routes[1])
    same = len(pairs) - len(route_flips)
    agreed = [(pair.review_id, pair.same(clause)) for pair in pairs for clause in pair.uncorrected]
    costs = [pair.costs for pair in pairs]
    times = [pair.times for pair in pairs]
    return Comparison(
        chosen=len(items),
        pairs=len(pairs),
        left_out=dict(left_out.most_common()),
        routes_same=(same, *wilson(same, len(pairs))),
        clauses=len(agreed),
        clauses_same=_share(agreed),
        people=_with_people(pairs),
        rejected=sum(pair.outcome is Outcome.REJECTED for pair in pairs),
        stored_cost=_mean([stored for stored, _ in costs]),
        again_cost=_mean([again for _, again in costs]),
        cost_difference=_mean_difference(costs),
        unpriced_calls=sum(pair.unpriced for pair in pairs),
        stored_ms=_median([stored for stored, _ in times]),
        again_ms=_median([again for _, again in times]),
        time_difference=_mean_difference(times),
        corrected_reviews=sum(pair.used_corrections for pair in pairs),
        flips=tuple(flips),
        route_flips=route_flips,
    )


class _Pair:
    """One review with both analyses."""

    def __init__(self, item: Compared, shared: Collection[str] | None) -> None:
        if item.stored is None or item.stored.analysis is None or item.again is None or item.again.analysis is None:
            raise ValueError("a pair has both analyses")
        self.review_id = item.review_id
        self.outcome = item.stored.outcome
        self.corrected = item.corrected if self.outcome is Outcome.AMENDED else frozenset()
        self._shared = shared
        self.before = _by_clause(item.stored.analysis)
        self.after = _by_clause(item.again.analysis)
        self.routes = (item.stored.route, item.again.route)
        self.costs = (float(item.stored.usage.cost_microusd), float(item.again.usage.cost_microusd))
        self.times = (_machine_ms(item.stored.timings_ms), _machine_ms(item.again.timings_ms))
        self.unpriced = item.stored.usage.unpriced_calls + item.again.usage.unpriced_calls
        self.used_corrections = any(finding.corrections for finding in item.stored.analysis.key_findings)

    @property
    def clauses(self) -> list[str]:
        every = {*self.before, *self.after, *self.corrected}
        return sorted(every if self._shared is None else every.intersection(self._shared))

    @property
    def uncorrected(self) -> list[str]:
        return [clause for clause in self.clauses if clause not in self.corrected]

    def same(self, clause: str) -> bool:
        """Whether the other arm comes to what is stored, which is what people signed where they did."""
        return self._said(self.before, clause).severity == self._said(self.after, clause).severity

    def stored_right(self, clause: str) -> bool:
        return clause not in self.corrected

    def flips(self) -> Iterator[Flip]:
        for clause in self.clauses:
            if not self.same(clause):
                person = "corrected" if clause in self.corrected else "approved" if self.outcome in SIGNED else ""
                before, after = self._said(self.before, clause), self._said(self.after, clause)
                yield Flip(self.review_id, clause, before, after, person)

    @staticmethod
    def _said(by_clause: dict[str, Said], clause: str) -> Said:
        return by_clause.get(clause, Said())


def mcnemar(only_first: int, only_second: int) -> float | None:
    """Two-sided p of the exact McNemar test: discordant pairs as fair coins (McNemar 1947); None without any."""
    total, least = only_first + only_second, min(only_first, only_second)
    if total == 0:
        return None
    return min(1.0, 2 * sum(comb(total, k) for k in range(least + 1)) / float(2**total))


def _with_people(pairs: Sequence[_Pair]) -> WithPeople | None:
    signed = [pair for pair in pairs if pair.outcome in SIGNED and pair.clauses]
    if not signed:
        return None
    judged = [(pair.review_id, pair.stored_right(c), pair.same(c)) for pair in signed for c in pair.clauses]
    groups = [review_id for review_id, _, _ in judged]
    counts = [(float(stored), float(again), 1.0) for _, stored, again in judged]
    totals = totals_by_group(groups, counts)
    whole = [
        (all(pair.stored_right(c) for c in pair.clauses), all(pair.same(c) for c in pair.clauses)) for pair in signed
    ]
    stored_only = sum(stored and not again for stored, again in whole)
    again_only = sum(again and not stored for stored, again in whole)
    return WithPeople(
        reviews=len(signed),
        clauses=len(judged),
        stored=bootstrap(totals, lambda sums: ratio(sums[:, 0], sums[:, 2]), share=True),
        again=bootstrap(totals, lambda sums: ratio(sums[:, 1], sums[:, 2]), share=True),
        difference=bootstrap(totals, lambda sums: ratio(sums[:, 1] - sums[:, 0], sums[:, 2])),
        stored_only=stored_only,
        again_only=again_only,
        p=mcnemar(stored_only, again_only),
    )


def _is_pair(item: Compared) -> bool:
    return (
        item.stored is not None
        and item.stored.analysis is not None
        and item.again is not None
        and item.again.analysis is not None
    )


def _why(item: Compared) -> str:
    """Why a review is no pair."""
    if item.stored is None and item.ended is not None:
        return ERASED
    return item.ended or "not yet analysed"


def _by_clause(analysis: AnalysisResult) -> dict[str, Said]:
    gravest: dict[str, Finding] = {}
    for finding in analysis.key_findings:
        if finding.clause not in gravest or finding.severity.rank > gravest[finding.clause].severity.rank:
            gravest[finding.clause] = finding
    return {
        clause: Said(finding.severity, finding.statement, finding.evidence[0].quote if finding.evidence else "")
        for clause, finding in gravest.items()
    }


def _distance(flip: Flip) -> int:
    """How far apart the arms are; no finding is one step below `info`."""
    ranks = [-1 if said.severity is None else said.severity.rank for said in (flip.before, flip.after)]
    return abs(ranks[0] - ranks[1])


def _machine_ms(timings_ms: dict[str, int]) -> float:
    return float(sum(timings_ms.get(stage, 0) for stage in MACHINE))


def _share(judged: Sequence[tuple[str, bool]]) -> Estimate:
    totals = totals_by_group((group for group, _ in judged), [(float(is_so), 1.0) for _, is_so in judged] or [[]])
    return bootstrap(totals, lambda sums: ratio(sums[:, 0], sums[:, 1]), share=True) if judged else Estimate(None)


def _mean_difference(pairs: Sequence[tuple[float, float]]) -> Estimate:
    if not pairs:
        return Estimate(None)
    totals = np.asarray([(again - stored, 1.0) for stored, again in pairs])
    return bootstrap(totals, lambda sums: ratio(sums[:, 0], sums[:, 1]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _median(values: Sequence[float]) -> float:
    return float(median(values)) if values else 0.0
