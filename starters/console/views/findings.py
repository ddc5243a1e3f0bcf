"""Findings as a reviewer reads and changes them, and what a form says that they changed."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from countersign.document.model import DocumentText
from countersign.errors import InvalidRequest
from countersign.playbook.model import Playbook
from countersign.review.payloads import AnalysisResult, Edit, Finding
from countersign.words import Position, Severity
from starters.console.views.document import Span
from starters.console.views.words import POSITIONS, human, visible

MAX_STATEMENT = 2_000
LONG_LINE = 240
"""Characters of a paragraph that is read as one; a longer one is shown sentence by sentence."""
LONG_STATEMENT = 420
"""Characters of a finding that are shown at once; of a longer one, its first sentences."""
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)”\"][.!?;])\s+(?=[A-Z“(\"])")
MAX_ADDED = 20
_ADDED = re.compile(r"add-(\d{1,2})-(clause|severity|statement)")
_CLAUSE = re.compile(r"[a-z][a-z0-9_]{1,47}")


@dataclass(frozen=True)
class Quote:
    """One quotation. `id` is where it stands in the document beside."""

    id: str
    text: str
    page: int
    section: str | None


@dataclass(frozen=True)
class Stances:
    """What the playbook would have, would accept, and would not."""

    question: str
    preferred: str
    fallback: str
    walk_away: str


@dataclass(frozen=True)
class Change:
    """What was typed about one finding. "" leaves severity or statement as it is."""

    severity: str = ""
    statement: str = ""
    remove: bool = False


@dataclass(frozen=True)
class FindingView:
    """One finding with everything that is shown beside it."""

    id: str
    title: str
    clause: str
    severity: Severity
    statement: str
    lead: str
    """The statement, or the beginning of a long one."""
    rest: str
    """What is left of a long one."""
    position: Position
    position_words: str
    quotes: tuple[Quote, ...]
    searched: str
    confidence: int
    specialist: str
    suggestion: str
    corrections: tuple[int, ...]
    stances: Stances | None
    by_reviewer: bool
    typed: Change
    """What the fields of its form hold."""
    changed: bool
    was: str
    """Of what is shown, so that a form tells what was changed in it, whatever happened to the finding since."""


@dataclass(frozen=True)
class Addition:
    """A finding that a reviewer adds. `number` names its fields."""

    number: int
    clause: str = ""
    severity: str = Severity.MEDIUM.value
    statement: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to add."""
        return not (self.clause or self.statement)


@dataclass(frozen=True)
class Typed:
    """What a reviewer typed into the form and has not signed yet."""

    note: str = ""
    question: str = ""
    behalf: str = ""
    """For whom they sign."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    added: tuple[Addition, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Typed":
        """What a form says. Raises `InvalidRequest` when a text is too long."""
        changes = {}
        for name, severity in fields.items():
            kind, _, finding_id = name.partition("-")
            if kind == "severity" and finding_id:
                change = _change(fields, finding_id, severity)
                if change != Change():
                    changes[finding_id] = change
        numbers = sorted({int(match[1]) for name in fields if (match := _ADDED.fullmatch(name))})[:MAX_ADDED]
        added = tuple(
            Addition(
                number,
                fields.get(f"add-{number}-clause", ""),
                fields.get(f"add-{number}-severity", ""),
                fields.get(f"add-{number}-statement", ""),
            )
            for number in numbers
        )
        return cls(
            note=fields.get("note", ""),
            question=fields.get("question", ""),
            behalf=fields.get("for", ""),
            changes=changes,
            added=tuple(one for one in added if not one.is_blank),
        )


NOTHING = Typed()


def _change(fields: Mapping[str, str], finding_id: str, severity: str) -> Change:
    statement = fields.get(f"statement-{finding_id}", "")
    if len(statement) > MAX_STATEMENT:
        raise InvalidRequest(
            f"statement of {_safe(finding_id)}: more than {MAX_STATEMENT:,} characters", remedy="Shorten it"
        )
    was_severity, _, was_statement = fields.get(f"was-{finding_id}", "").partition(":")
    return Change(
        "" if severity == was_severity else severity,
        "" if _print_of(statement) == was_statement else statement,
        f"remove-{finding_id}" in fields,
    )


def _print_of(statement: str) -> str:
    """A fingerprint of a statement as a form gives it back: our line ends, no space around it."""
    return hashlib.sha256(statement.replace("\r\n", "\n").strip().encode()).hexdigest()[:16]


def _safe(finding_id: str) -> str:
    return finding_id if re.fullmatch(r"[A-Z]\d{1,4}", finding_id) else "a finding"


def edits_of(typed: Typed, analysis: AnalysisResult) -> tuple[Edit, ...]:
    """The edits that make `analysis` say what was typed; none where nothing differs from it.

    Raises `InvalidRequest`, naming the field, for what is no severity or clause, and for an addition that lacks a part.
    """
    edits: list[Edit] = []
    for finding in analysis.key_findings:
        change = typed.changes.get(finding.id)
        if change is None:
            continue
        if change.remove:
            edits.append(Edit(action="remove", finding_id=finding.id))
            continue
        severity, statement = _differences(finding, change)
        if severity is not None or statement is not None:
            edits.append(Edit(action="set", finding_id=finding.id, severity=severity, statement=statement))
    for one in typed.added:
        clause = one.clause.strip().lower().replace(" ", "_").replace("-", "_")
        if not one.statement or not _CLAUSE.fullmatch(clause):
            raise InvalidRequest(
                "added finding: needs a clause (letters, digits and spaces) and a statement", remedy="Give both"
            )
        if len(one.statement) > MAX_STATEMENT:
            raise InvalidRequest(f"added finding: more than {MAX_STATEMENT:,} characters", remedy="Shorten it")
        edits.append(
            Edit(action="add", clause=clause, severity=_severity("added", one.severity), statement=one.statement)
        )
    return tuple(edits)


def _differences(finding: Finding, change: Change) -> tuple[Severity | None, str | None]:
    severity = _severity(_safe(finding.id), change.severity) if change.severity else finding.severity
    same = not change.statement or _print_of(change.statement) == _print_of(visible(finding.statement))
    return (None if severity is finding.severity else severity), (None if same else change.statement)


def _severity(name: str, word: str) -> Severity:
    try:
        return Severity(word)
    except ValueError:
        raise InvalidRequest(f"severity of {name}: is none", remedy=f"Choose one of {', '.join(Severity)}") from None


@dataclass(frozen=True)
class Summary:
    """A summary to be read at a glance: its first words, the rest in short pieces, and what it lists point by point."""

    headline: str = ""
    rest: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()


def summary_of(summary: str) -> Summary:
    """A summary by its lines; one that is a single long paragraph by its sentences."""
    lines = [line.strip() for line in visible(summary).split("\n") if line.strip()]
    listed = tuple(line.removeprefix("- ") for line in lines if line.startswith("- "))
    pieces = [piece for line in lines if not line.startswith("- ") for piece in _pieces(line)]
    return Summary("".join(pieces[:1]), tuple(pieces[1:]), listed)


def _pieces(line: str) -> list[str]:
    return [line] if len(line) <= LONG_LINE else _SENTENCE_END.split(line)


def spans_of(analysis: AnalysisResult) -> tuple[Span, ...]:
    """Every quotation of every finding as a stretch of the document."""
    return tuple(
        Span(_quote_id(finding, number), finding.id, finding.severity.value, quoted.start, quoted.end)
        for finding in analysis.key_findings
        for number, quoted in enumerate(finding.evidence, start=1)
        if quoted.end > quoted.start
    )


def _quote_id(finding: Finding, number: int) -> str:
    return f"q-{finding.id}-{number}"


def findings_of(
    analysis: AnalysisResult, playbook: Playbook | None, document: DocumentText | None, typed: Typed = NOTHING
) -> tuple[FindingView, ...]:
    """The findings, the gravest first, with what the playbook says and what was typed about them."""
    views = [_finding(finding, playbook, document, typed) for finding in analysis.key_findings]
    return tuple(sorted(views, key=lambda view: -view.severity.rank))


def _finding(finding: Finding, playbook: Playbook | None, document: DocumentText | None, typed: Typed) -> FindingView:
    family = next((one for one in playbook.families if one.key == finding.clause), None) if playbook else None
    specialist = (
        next((one for one in playbook.specialists if one.key == finding.specialist), None) if playbook else None
    )
    stances = None
    if family is not None:
        stances = Stances(family.question, family.preferred.text, family.fallback.text, family.walk_away.text)
    change = typed.changes.get(finding.id, Change())
    statement = visible(finding.statement)
    lead, rest = _halves(statement)
    return FindingView(
        id=finding.id,
        title=family.title if family else human(visible(finding.clause)).capitalize(),
        clause=finding.clause,
        severity=finding.severity,
        statement=statement,
        lead=lead,
        rest=rest,
        position=finding.position,
        position_words=POSITIONS[finding.position],
        quotes=tuple(
            Quote(
                _quote_id(finding, number),
                visible(quoted.quote),
                quoted.page,
                document.section_of(quoted.start) if document else None,
            )
            for number, quoted in enumerate(finding.evidence, start=1)
        ),
        searched=visible(", ".join(finding.searched)) or "the whole document",
        confidence=round(finding.confidence * 100),
        specialist=specialist.title if specialist else human(finding.specialist),
        suggestion=visible(finding.suggestion),
        corrections=finding.corrections,
        stances=stances,
        by_reviewer=finding.specialist == "reviewer",
        typed=Change(change.severity or finding.severity.value, change.statement or statement, change.remove),
        changed=change != Change(),
        was=f"{finding.severity.value}:{_print_of(statement)}",
    )


def _halves(statement: str) -> tuple[str, str]:
    """A long statement cut after a sentence, so that its beginning can be read at a glance."""
    if len(statement) <= LONG_STATEMENT:
        return statement, ""
    ends = [match.start() for match in _SENTENCE_END.finditer(statement) if match.start() <= LONG_STATEMENT]
    cut = ends[-1] if ends else statement.rfind(" ", 0, LONG_STATEMENT)
    cut = cut if cut > 0 else LONG_STATEMENT
    return statement[:cut].rstrip(), statement[cut:].strip()


def counts_of(findings: Sequence[FindingView]) -> tuple[tuple[Severity, int], ...]:
    """How many there are of each severity that there is, the gravest first."""
    return tuple(
        (severity, number)
        for severity in reversed(Severity)
        if (number := sum(view.severity is severity for view in findings))
    )
