"""Labelled cases for a shadow run: from a JSONL file, or from a folder laid out like the shared data.

A line of JSONL is one object:

    {"path": "contracts/a.pdf", "labels": {"governing_law": "present", "cap_on_liability": {"label": "walk_away",
     "severity": "high", "quote": "without limit"}}, "decision": "amend", "second": {"governing_law": "absent"}}

`path` is relative to the file; `text` may stand for it. `labels` are by clause family of the playbook: `present`,
`absent` or a position. `second` are another person's labels. `decision` is what a person decided about the whole:
approve, amend or reject. `playbook`, `ask` and `name` are optional. One of `labels` and `decision` must be there.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from countersign.clauses.cuad import CUAD_CATEGORY
from countersign.errors import InvalidRequest
from countersign.evidence.observation import Frozen
from countersign.shadow.judging import ABSENT, LABELS, PRESENT, QUOTE_CHARS, Label
from countersign.store.shadow import CaseLabels
from countersign.words import Verdict

SEED = 20_260
_FAMILY = {category: key for key, category in CUAD_CATEGORY.items()}
_DECISIONS = (Verdict.APPROVE, Verdict.AMEND, Verdict.REJECT)


@dataclass(frozen=True)
class Case:
    """One document and what people said of it. Either `path` or `text`."""

    name: str
    labels: CaseLabels
    playbook: str
    path: Path | None = None
    text: str | None = None
    ask: str = ""

    def read(self, max_bytes: int) -> bytes:
        """The document's bytes. Raises InvalidRequest when it cannot be read or is larger than `max_bytes`."""
        if self.path is None:
            return (self.text or "").encode()
        try:
            size = self.path.stat().st_size
            if size > max_bytes:
                raise InvalidRequest(f"{self.name}: has {size:,} bytes, and {max_bytes:,} are read at most")
            return self.path.read_bytes()
        except OSError as error:
            raise InvalidRequest(
                f"{self.name}: cannot be read ({type(error).__name__})",
                remedy="Check `path`; it is relative to the file",
            ) from None


@dataclass(frozen=True)
class Cases:
    """The cases chosen, in a fixed order, of how many there were; a line for everything that was left out."""

    cases: tuple[Case, ...]
    of: int
    notes: tuple[str, ...] = field(default=())
    trained_on: bool = False
    """Whether these are texts that the clause finder's weights were trained on."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over names, texts' places and labels: the same cases have the same one."""
        found = hashlib.sha256()
        for case in self.cases:
            text = case.text if case.text is not None else str(case.path)
            parts = (case.name, text, case.playbook, case.ask, case.labels.model_dump_json())
            found.update(json.dumps(parts).encode())
        return found.hexdigest()


class _Line(Frozen):
    """One line of JSONL."""

    path: str | None = None
    text: str | None = Field(default=None, max_length=1_500_000)
    name: str | None = Field(default=None, max_length=200)
    playbook: str | None = None
    ask: str = Field(default="", max_length=4000)
    labels: dict[str, Label] = Field(default_factory=dict)
    second: dict[str, Label] | None = None
    decision: Verdict | None = None

    @field_validator("labels", "second", mode="before")
    @classmethod
    def _words(cls, given: object) -> object:
        """A label may be one word."""
        if not isinstance(given, dict):
            return given
        return {clause: {"label": label} if isinstance(label, str) else label for clause, label in given.items()}

    @model_validator(mode="after")
    def _whole(self) -> "_Line":
        if (self.path is None) == (self.text is None):
            raise ValueError("path, text: give one of them")
        if not self.labels and self.decision is None:
            raise ValueError("labels, decision: give at least one of them")
        if self.decision is not None and self.decision not in _DECISIONS:
            raise ValueError("decision: must be approve, amend or reject")
        for clause, label in {**(self.second or {}), **self.labels}.items():
            if label.label not in LABELS:
                raise ValueError(
                    f"labels.{clause}: must be present, absent or a position ({', '.join(sorted(LABELS))})"
                )
        return self


def read_cases(source: Path, playbook: str, *, limit: int | None = None) -> Cases:
    """All cases of a JSONL file or a folder, or a seeded choice of `limit` of them.

    Raises:
        InvalidRequest: there is no such file or folder, it holds no cases, or a line is not one (its number is named).
    """
    if source.is_dir():
        found, notes = _folder(source, playbook)
    elif source.is_file():
        found, notes = list(_lines(source, playbook)), []
    else:
        raise InvalidRequest(f"There is no file or folder {source}", remedy="Name a JSONL file, or a folder with cuad/")
    if not found:
        raise InvalidRequest(f"There are no cases in {source}", remedy="See `countersign shadow run --help` for a line")
    chosen = found
    if limit is not None and limit < len(found):
        # Spread over all of them, and the same with each run.
        chosen = random.Random(SEED).sample(found, limit)  # noqa: S311 - not for secrets
    return Cases(tuple(chosen), len(found), tuple(notes), trained_on=source.is_dir())


def of_playbook(case: Case, families: Sequence[str]) -> Case:
    """The case with labels of these families alone: of others the playbook does not ask.

    It counts as evidence where the whole was judged: by a decision, or by a label for every family. That is settled
    here, before the agents have said anything; to choose by what they claim would leave out where they claim too much.
    """
    people = tuple(
        {clause: label for clause, label in person.items() if clause in families} for person in case.labels.people
    )
    whole = case.labels.decision is not None or bool(people and set(families) <= people[0].keys())
    labels = case.labels.model_copy(update={"people": people, "counts": case.labels.counts and whole})
    return Case(case.name, labels, case.playbook, case.path, case.text, case.ask)


def _lines(source: Path, playbook: str) -> Iterator[Case]:
    for number, raw in _rows(source):
        try:
            line = _Line.model_validate(raw)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            what = f"{where}: {problem['msg']}" if where else problem["msg"]
            raise InvalidRequest(
                f"{source.name} line {number}: {what}", remedy="See `countersign shadow run --help` for a line"
            ) from None
        people = tuple(person for person in (line.labels, line.second) if person)
        path = source.parent / line.path if line.path is not None else None
        yield Case(
            name=line.name or (Path(line.path).name if line.path else f"case {number}"),
            labels=CaseLabels(people=people, decision=line.decision),
            playbook=line.playbook or playbook,
            path=path,
            text=line.text,
            ask=line.ask,
        )


def _folder(folder: Path, playbook: str) -> tuple[list[Case], list[str]]:
    """The labelled texts of CUAD, in `cuad/` or in the folder itself."""
    cuad = folder / "cuad" if (folder / "cuad" / "contracts.jsonl").is_file() else folder
    listed, spans = cuad / "contracts.jsonl", cuad / "spans.jsonl"
    if not listed.is_file() or not spans.is_file():
        raise InvalidRequest(
            f"{folder}: holds no cuad/contracts.jsonl and cuad/spans.jsonl",
            remedy="Name a folder laid out like the shared data, or a JSONL file",
        )
    labels: dict[str, dict[str, Label]] = {}
    for _, row in _rows(spans):
        family = _FAMILY.get(str(row["category"]))
        if family is not None:
            own = labels.setdefault(str(row["contract_id"]), {})
            own[family] = Label(label=PRESENT if row["present"] else ABSENT, quote=_first_quote(row))
    cases, unlabelled = [], 0
    for _, row in _rows(listed):
        own = labels.get(str(row["contract_id"]), {})
        if not own:
            unlabelled += 1
            continue
        path = cuad / str(row["txt"])
        cases.append(Case(path.name, CaseLabels(people=(own,)), playbook, path))
    return cases, [f"{unlabelled} contracts without labels are left out"] if unlabelled else []


def _first_quote(row: Mapping[str, Any]) -> str:  # a row of JSON
    spans = row.get("spans") or []
    return str(spans[0]["text"])[:QUOTE_CHARS] if spans else ""


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:  # JSON objects with their line numbers
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise InvalidRequest(f"{path.name} line {number}: is not a JSON object", remedy="One object a line")
            yield number, row
