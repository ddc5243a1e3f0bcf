"""One review compared with a person's judgement, clause by clause. Pure.

Three ways to judge: by the edits a person made to what they were shown, blind (the person wrote down their own findings
and was shown nothing), and by labels that were given with a case. Several findings on one clause count as the gravest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from countersign.evidence.agreement import Judged, review_agreement
from countersign.evidence.observation import Frozen
from countersign.review.payloads import Edit, Finding
from countersign.words import Position, Severity, Verdict

ABSENT, PRESENT, FOUND, RESTATED = "absent", "present", "found", "restated"
"""Labels beside the playbook's positions: nothing there, something there, a finding by a person, other words."""
DECISION, APPROVE, OBJECT = "decision", "approve", "object"
"""The review as a whole, as a clause of its own: it can be signed as it stands, or not."""
LABELS = frozenset({PRESENT, *Position})
DECISIONS = {Verdict.APPROVE: APPROVE, Verdict.AMEND: OBJECT, Verdict.REJECT: OBJECT}
QUOTE_CHARS = 600


class Label(Frozen):
    """What a person says of a clause: `present`, `absent` or a position; severity and quotation where they gave one."""

    label: str
    severity: Severity | None = None
    quote: str = ""


class Compared(Frozen):
    """One clause as agents and a person labelled it. `others` are further people's labels, for their agreement."""

    clause: str
    agent: str
    person: str
    agent_severity: Severity = Severity.MEDIUM
    person_severity: Severity = Severity.MEDIUM
    agent_quote: str = ""
    person_quote: str = ""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """As the agents stated it for this clause; None where they claimed nothing."""
    others: tuple[str, ...] = ()

    def judged(self, contract: str) -> Judged:
        """As the statistics take it."""
        return Judged(
            contract=contract,
            clause=self.clause,
            agent=self.agent,
            person=self.person,
            agent_severity=self.agent_severity,
            person_severity=self.person_severity,
        )


class Judgement(NamedTuple):
    """A review's agreement in [0, 1], weighted by severity, and whether the agents made a severity-1 error.

    `whole` False: part of what the agents said was not judged, so the rest is no evidence about the review.
    """

    clauses: tuple[Compared, ...]
    agreement: float
    critical: bool
    whole: bool = True


def judgement(clauses: Sequence[Compared], *, agreed: bool = True) -> Judgement:
    """The review's figures; `agreed` False where the person rejected the whole."""
    judged = [clause.judged("") for clause in clauses]
    return Judgement(
        clauses=tuple(clauses),
        agreement=review_agreement(judged) if agreed else 0.0,
        critical=any(one.critical_error for one in judged),
    )


def by_edits(before: Sequence[Finding], verdict: Verdict, edits: Sequence[Edit]) -> Judgement:
    """What a person left of what they were shown. A rejected review agrees in nothing: why is not for us to guess.

    What was approved as shown agrees in everything, though a person who sees a finding is led by it: a blind shadow
    review (`blind`) is the harder test.
    """
    said, agreed = gravest(before), gravest(_after(before, edits))
    restated = {
        finding.clause
        for edit in edits
        for finding in before
        if edit.action == "set" and edit.finding_id == finding.id and (edit.statement or edit.clause)
    }
    clauses = []
    for clause in sorted({*said, *agreed}):
        mine, theirs = said.get(clause), agreed.get(clause)
        person = _position(theirs)
        if theirs is not None and clause in restated:
            person = RESTATED
        clauses.append(
            Compared(
                clause=clause,
                agent=_position(mine),
                person=person,
                agent_severity=_severity(mine),
                person_severity=_severity(theirs),
                agent_quote=_quote(mine),
                person_quote=_quote(theirs),
                confidence=mine.confidence if mine else None,
            )
        )
    agreeing = {one.clause for one in clauses if one.judged("").agreed}
    return judgement([*clauses, *_beneath(before, edits, agreeing)], agreed=verdict is not Verdict.REJECT)


def _beneath(before: Sequence[Finding], edits: Sequence[Edit], agreeing: Collection[str]) -> list[Compared]:
    """Findings that were changed without changing their clause's gravest: an amendment is never full agreement.

    They stand beside the clause's own row, with their own severities, so that a small change under a critical finding
    is a small disagreement and no severity-1 error.
    """
    mine, theirs = ({one.id: one for one in findings} for findings in (before, _after(before, edits)))
    changed = [name for name in dict.fromkeys((*mine, *theirs)) if mine.get(name) != theirs.get(name)]
    rows = []
    for said, left in ((mine.get(name), theirs.get(name)) for name in changed):
        finding = said or left
        if finding is not None and finding.clause in agreeing:
            rows.append(
                Compared(
                    clause=finding.clause,
                    agent=_position(said),
                    person=_position(left),
                    agent_severity=_severity(said),
                    person_severity=_severity(left),
                    agent_quote=_quote(said),
                    person_quote=_quote(left),
                    confidence=said.confidence if said else None,
                )
            )
    return rows


def blind(before: Sequence[Finding], verdict: Verdict, edits: Sequence[Edit], object_at: Severity) -> Judgement:
    """What a person found who was shown nothing, against what the agents found that asks for something.

    A finding of severity `info` asks for nothing, and nobody writes it down. Who only rejects says no more than that:
    it is compared with whether the agents found anything of severity `object_at` or above.
    """
    asked = [finding for finding in before if finding.severity is not Severity.INFO]
    if verdict is Verdict.REJECT:
        return judgement([decided(before, OBJECT, object_at)])
    found = [
        Finding(id="H", clause=e.clause or "", severity=e.severity or Severity.MEDIUM, statement="") for e in edits
    ]
    quotes = {edit.clause: edit.statement or "" for edit in edits}
    said, theirs = gravest(asked), gravest(found)
    return judgement(
        [
            Compared(
                clause=clause,
                agent=FOUND if clause in said else ABSENT,
                person=FOUND if clause in theirs else ABSENT,
                agent_severity=_severity(said.get(clause)),
                person_severity=_severity(theirs.get(clause)),
                agent_quote=_quote(said.get(clause)),
                person_quote=quotes.get(clause, ""),
                confidence=said[clause].confidence if clause in said else None,
            )
            for clause in sorted({*said, *theirs})
        ]
    )


def by_labels(
    before: Sequence[Finding],
    people: Sequence[Mapping[str, Label]],
    decision: Verdict | None,
    object_at: Severity,
) -> Judgement:
    """What was labelled beforehand. The first of `people` is compared with; the others say how far people agree.

    A label without a severity says nothing about it, so none is compared: then no clause counts as a severity-1 error.
    It is the whole review that was judged where there is a decision, or a label for every clause the agents claim.
    A choice of cases by what the agents claim would be one in their favour, so whoever runs labelled cases settles
    beforehand which of them count (`cases.of_playbook`); this is but the last guard.
    """
    said = gravest(before)
    first = people[0] if people else {}
    clauses = [
        _labelled(clause, label, said.get(clause), [other[clause].label for other in people[1:] if clause in other])
        for clause, label in sorted(first.items())
    ]
    if decision is not None:
        clauses.append(decided(before, DECISIONS[decision], object_at))
    return judgement(clauses)._replace(whole=decision is not None or said.keys() <= first.keys())


def decided(before: Sequence[Finding], person: str, object_at: Severity) -> Compared:
    """The whole review: agents object where a finding is of `object_at` or above."""
    worst = max(before, key=lambda finding: finding.severity.rank, default=None)
    objects = worst is not None and worst.severity.rank >= object_at.rank
    return Compared(clause=DECISION, agent=OBJECT if objects else APPROVE, person=person, agent_quote=_quote(worst))


def gravest(findings: Iterable[Finding]) -> dict[str, Finding]:
    """The gravest finding of each clause; of equals the first."""
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.clause not in found or finding.severity.rank > found[finding.clause].severity.rank:
            found[finding.clause] = finding
    return found


def _labelled(clause: str, label: Label, said: Finding | None, others: Sequence[str]) -> Compared:
    agent = _position(said)
    if label.label in (PRESENT, ABSENT):
        agent = ABSENT if agent == ABSENT else PRESENT
    unrated = label.severity is None
    return Compared(
        clause=clause,
        agent=agent,
        person=label.label,
        agent_severity=Severity.MEDIUM if unrated else _severity(said),
        person_severity=label.severity or Severity.MEDIUM,
        agent_quote=_quote(said),
        person_quote=label.quote[:QUOTE_CHARS],
        confidence=said.confidence if said and agent != ABSENT else None,
        others=tuple(others),
    )


def _after(before: Sequence[Finding], edits: Sequence[Edit]) -> list[Finding]:
    """The findings as a person left them. Edits that counted name what was there, so nothing is checked again."""
    findings = {finding.id: finding for finding in before}
    for number, edit in enumerate(edits):
        if edit.action == "add":
            added = Finding(
                id=f"H{number}", clause=edit.clause or "", severity=edit.severity or Severity.MEDIUM, statement=""
            )
            findings[added.id] = added
        elif edit.action == "remove":
            findings.pop(edit.finding_id or "", None)
        elif edit.finding_id in findings:
            changes = edit.model_dump(include={"clause", "severity"}, exclude_none=True)
            findings[edit.finding_id] = findings[edit.finding_id].model_copy(update=changes)
    return list(findings.values())


def _position(finding: Finding | None) -> str:
    if finding is None:
        return ABSENT
    # A finding that a person added has no position.
    return FOUND if finding.id.startswith("H") else str(finding.position)


def _severity(finding: Finding | None) -> Severity:
    return finding.severity if finding else Severity.INFO


def _quote(finding: Finding | None) -> str:
    return finding.evidence[0].quote[:QUOTE_CHARS] if finding and finding.evidence else ""
