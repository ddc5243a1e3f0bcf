"""One specialist's findings, offline: the clause finder, the playbook's positions, and what the clause states."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from countersign.agents.offline.facts import facts
from countersign.agents.offline.request import Prompt
from countersign.agents.outputs import SpecialistFindings
from countersign.agents.prompts import WHOLE, severity_at_fallback
from countersign.clauses import ClauseHit, find_clauses, judge_position
from countersign.playbook.model import Family
from countersign.review.payloads import DraftFinding
from countersign.words import Position, Severity

MOST_QUOTES = 3
QUOTE_CHARS = 1200
"""A longer clause is quoted up to its last sentence end before this length."""
ABSENCE_CONFIDENCE = 0.7
"""The finder misses clauses in unusual words, so an absence is never claimed with full confidence."""
_NEAR_BEST = 0.6
"""A further passage is quoted when it scores at least this share of the best one."""
_JOIN = "\n\n"


@dataclass(frozen=True)
class _Clause:
    """One passage of a family, its position, and how sure both are, in [0, 1]."""

    quote: str
    score: float
    position: Position
    margin: float


def findings_answer(prompt: Prompt) -> SpecialistFindings:
    """One finding for each family found, one for each required family that is absent."""
    hits = _hits(prompt.texts, prompt.families)
    searched = tuple(row["label"] for row in prompt.outline) or (WHOLE,)
    findings = []
    for family in prompt.families:
        passages = [_clause(quote, score, family) for quote, score in hits.get(family.key, ())]
        if passages:
            found = _present(family, passages)
        elif family.required:
            found = _absent(family, searched)
        else:
            continue
        findings.append(found)
    confidence = 1.0 if prompt.intent.language == "en" else 0.5
    return SpecialistFindings(findings=tuple(findings), confidence=confidence)


def severity_of(position: Position, family: Family) -> Severity:
    """The playbook's severity of a clause at this position; unclear counts as low: a person can settle it quickly."""
    match position:
        case Position.WALK_AWAY:
            return family.severity
        case Position.FALLBACK:
            return severity_at_fallback(family.severity)
        case Position.PREFERRED:
            return Severity.INFO
        case Position.ABSENT:
            return family.absent_severity
        case Position.UNCLEAR:
            return Severity.LOW


def _hits(texts: Sequence[str], families: Sequence[Family]) -> dict[str, list[tuple[str, float]]]:
    """Family key to (quote, score), best first. A quote never reaches over from one shown section into the next."""
    joined = _JOIN.join(texts)
    ends = list(accumulate(len(text) + len(_JOIN) for text in texts))
    best: dict[str, list[ClauseHit]] = {}
    for hit in find_clauses(joined, families):
        best.setdefault(hit.family, []).append(hit)
    quotes: dict[str, list[tuple[str, float]]] = {}
    for key, found in best.items():
        found.sort(key=lambda hit: (-hit.score, hit.start))
        near = [hit for hit in found if hit.score >= _NEAR_BEST * found[0].score][:MOST_QUOTES]
        for hit in near:
            section_end = next(end for end in ends if hit.start < end) - len(_JOIN)
            quote = _shortened(joined[hit.start : min(hit.end, section_end)].strip())
            if quote and quote not in [earlier for earlier, _ in quotes.get(key, ())]:
                quotes.setdefault(key, []).append((quote, hit.score))
    return quotes


def _shortened(quote: str) -> str:
    if len(quote) <= QUOTE_CHARS:
        return quote
    end = max(quote.rfind(mark, 0, QUOTE_CHARS) for mark in (". ", ".\n", "; "))
    return quote[: end + 1] if end > QUOTE_CHARS // 3 else quote[:QUOTE_CHARS].rstrip()


def _clause(quote: str, score: float, family: Family) -> _Clause:
    position, margin = judge_position(quote, family)
    return _Clause(quote=quote, score=score, position=position, margin=max(0.0, min(1.0, margin)))


def _present(family: Family, passages: Sequence[_Clause]) -> DraftFinding:
    deciding = _deciding(passages)
    stances = {
        Position.PREFERRED: family.preferred,
        Position.FALLBACK: family.fallback,
        Position.WALK_AWAY: family.walk_away,
    }
    if deciding.position in stances:
        stance = stances[deciding.position].text.strip().rstrip(".")
        says = f"the clause reads like the playbook's {deciding.position.replace('_', '-')} position: {stance}."
    else:
        says = f"a clause is there, but it shows none of the playbook's positions; read it to answer: {family.question}"
    stated = facts(deciding.quote)
    statement = f"{family.title}: {says}" + (f" It states: {'; '.join(stated)}." if stated else "")
    certainty = 0.6 if deciding.position is Position.UNCLEAR else 0.75 + 0.25 * deciding.margin
    return DraftFinding(
        clause=family.key,
        statement=statement,
        severity=severity_of(deciding.position, family),
        position=deciding.position,
        quotes=tuple(clause.quote for clause in passages),
        confidence=round(max(0.05, min(0.98, max(c.score for c in passages) * certainty)), 2),
    )


def _deciding(passages: Sequence[_Clause]) -> _Clause:
    """The clause whose position counts: a judged one before an unclear one, and the gravest of those nearly as sure."""
    judged = [clause for clause in passages if clause.position is not Position.UNCLEAR]
    if not judged:
        return passages[0]
    strongest = max(clause.score * clause.margin for clause in judged)
    near = [clause for clause in judged if clause.score * clause.margin >= 0.5 * strongest]
    gravity = {Position.WALK_AWAY: 2, Position.FALLBACK: 1}
    return max(near, key=lambda clause: (gravity.get(clause.position, 0), clause.score * clause.margin))


def _absent(family: Family, searched: tuple[str, ...]) -> DraftFinding:
    return DraftFinding(
        clause=family.key,
        statement=f"{family.title}: no such clause was found. The playbook requires one: {family.preferred.text}",
        severity=family.absent_severity,
        position=Position.ABSENT,
        searched=searched,
        confidence=ABSENCE_CONFIDENCE,
    )
