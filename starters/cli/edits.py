"""Amendments as people type them: `F3:severity=low`, `F2:remove`, `add:CLAUSE:SEVERITY:statement`, or a JSON file."""

from pydantic import TypeAdapter, ValidationError

from countersign.errors import InvalidRequest
from countersign.review.payloads import Edit
from countersign.words import Severity
from starters.cli.common import first_problem
from starters.cli.files import read_bounded

MAX_EDITS_BYTES = 1_000_000
FORMS = "Write F3:severity=low, F1:statement=TEXT, F1:clause=NAME, F2:remove or add:CLAUSE:SEVERITY:TEXT"
_FIELDS = ("severity", "statement", "clause")
_LIST = TypeAdapter(tuple[Edit, ...])


def parse_edit(text: str, number: int = 1) -> Edit:
    """One `--edit`, the `number`th of them. Raises InvalidRequest that names the edit, not its text."""
    where = f"--edit {number}"
    target, _, rest = text.partition(":")
    target = target.strip()
    if not target or not rest.strip():
        raise InvalidRequest(f"{where}: is no edit", remedy=FORMS)
    if target == "add":
        clause, _, rest = rest.partition(":")
        severity, _, statement = rest.partition(":")
        if not clause.strip() or not statement.strip():
            raise InvalidRequest(f"{where}: an added finding needs a clause, a severity and a statement", remedy=FORMS)
        fields = {"clause": clause.strip(), "severity": _severity(severity, where), "statement": statement.strip()}
        return _edit(where, {"action": "add", **fields})
    if rest.strip() == "remove":
        return _edit(where, {"action": "remove", "finding_id": target})
    field, equals, value = rest.partition("=")
    field = field.strip()
    if not equals or field not in _FIELDS or not value.strip():
        raise InvalidRequest(f"{where}: changes neither severity, statement nor clause", remedy=FORMS)
    changed = _severity(value, where) if field == "severity" else value.strip()
    return _edit(where, {"action": "set", "finding_id": target, field: changed})


def parse_edits(texts: tuple[str, ...], file: str | None) -> tuple[Edit, ...]:
    """All edits of a command line: those of `--edits FILE` first, then every `--edit`. Raises InvalidRequest."""
    typed = tuple(parse_edit(text, number) for number, text in enumerate(texts, start=1))
    edits = (*(read_edits(file) if file is not None else ()), *typed)
    if not edits:
        raise InvalidRequest("an amendment needs at least one edit", remedy=FORMS)
    return edits


def read_edits(file: str) -> tuple[Edit, ...]:
    """The edits of a JSON file: a list of `Edit`. Raises InvalidRequest that names file and field."""
    data = read_bounded(file, MAX_EDITS_BYTES)
    try:
        return _LIST.validate_json(data)
    except ValidationError as error:
        remedy = 'Write a list like [{"action": "set", "finding_id": "F3", "severity": "low"}]'
        raise InvalidRequest(f"{file}: {first_problem(error)}", remedy=remedy) from None


def _severity(text: str, where: str) -> Severity:
    try:
        return Severity(text.strip().lower())
    except ValueError:
        known = ", ".join(severity.value for severity in Severity)
        raise InvalidRequest(f"{where}: the severity is none of {known}", remedy=FORMS) from None


def _edit(where: str, fields: dict[str, object]) -> Edit:
    try:
        return Edit.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(f"{where}: {first_problem(error)}", remedy=FORMS) from None
