"""What a batch is made of: the contracts of a folder or a CSV. Everything wrong with it is said before any is taken."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from countersign.batch.payloads import MAX_ITEMS
from countersign.errors import CountersignError, InvalidRequest
from starters.cli.files import DOCUMENT_LIMIT, read_bounded

SUFFIXES = (".pdf", ".md", ".markdown", ".txt", ".text")
"""Files of a folder that are taken; what is in them decides later."""
MAX_CSV_BYTES = 100_000_000
SHOWN = 5
"""Problems that are listed; the others are counted."""


@dataclass(frozen=True)
class Contract:
    """One contract: what it is called in the report, where it is, and its contents' SHA-256."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Source:
    """The contracts in order, and how many files of which suffix were left out."""

    contracts: tuple[Contract, ...]
    left_out: dict[str, int]


@dataclass(frozen=True)
class _Found:
    name: str
    path: Path
    where: str


def read_source(given: str, *, column: str, max_bytes: int) -> Source:
    """The contracts of a folder (with its subfolders) or of a CSV, each read once to see that it can be.

    Raises `InvalidRequest` that names file, line and column of what is wrong, up to five of them at once.
    """
    path = Path(given)
    if not path.exists():
        raise InvalidRequest(f"{given}: there is no such folder or file", remedy="Check the path")
    if path.is_dir():
        found, left_out = _of_folder(path)
        if not found:
            others = f"; it holds {sum(left_out.values())} of other kinds" if left_out else ""
            raise InvalidRequest(
                f"{given}: no contract in this folder{others}", remedy=f"Give a folder with {', '.join(SUFFIXES)} files"
            )
    else:
        found, left_out = list(_of_csv(path, column)), {}
        if not found:
            raise InvalidRequest(f"{given}: no contract below the header", remedy="Give one file a line")
    if len(found) > MAX_ITEMS:
        raise InvalidRequest(
            f"{given}: {len(found):,} contracts are more than {MAX_ITEMS:,}", remedy="Submit it in several batches"
        )
    return Source(tuple(_checked(found, max_bytes)), left_out)


def _of_folder(folder: Path) -> tuple[list[_Found], dict[str, int]]:
    found: list[_Found] = []
    left_out: Counter[str] = Counter()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or path.is_dir():
            continue
        if path.suffix.lower() in SUFFIXES:
            found.append(_Found(name, path, str(path)))
        else:
            left_out[path.suffix.lower() or "without a suffix"] += 1
    return found, dict(left_out)


def _of_csv(path: Path, column: str) -> Iterator[_Found]:
    """One contract a line; paths are relative to the CSV's own folder."""
    if path.suffix.lower() in SUFFIXES and path.suffix.lower() != ".txt":
        raise InvalidRequest(f"{path}: is one contract", remedy="Submit one with 'countersign submit'")
    data = read_bounded(str(path), MAX_CSV_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidRequest(f"{path} line {line}: is not UTF-8", remedy="Save the CSV as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if column not in header:
            raise InvalidRequest(
                f"{path} line 1: no column {column!r} among {', '.join(header) or 'no columns'}",
                remedy="Name the column with the paths by --column, or write a header",
            )
        place = header.index(column)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path} line {reader.line_num}, column {column}"
            name = row[place].strip() if place < len(row) else ""
            if not name or "\0" in name:
                raise InvalidRequest(f"{where}: no path", remedy="Give the path of a contract in every line")
            yield _Found(name, path.parent / name, where)
    except csv.Error as error:
        raise InvalidRequest(f"{path} line {reader.line_num}: is no CSV ({error})", remedy="Mend the line") from None


def _checked(found: Sequence[_Found], max_bytes: int) -> Iterator[Contract]:
    problems: list[CountersignError] = []
    seen: dict[Path, _Found] = {}
    contracts: list[Contract] = []
    for one in found:
        first = seen.setdefault(one.path.resolve(), one)
        if first is not one:
            problems.append(InvalidRequest(f"{one.where}: the same file as {first.where}"))
            continue
        try:
            data = read_bounded(str(one.path), max_bytes, setting=DOCUMENT_LIMIT)
        except CountersignError as error:
            message = Exception.__str__(error)
            problems.append(type(error)(message if one.where in message else f"{one.where}: {message}"))
            continue
        contracts.append(Contract(one.name, one.path, hashlib.sha256(data).hexdigest()))
    if problems:
        told = "; ".join(Exception.__str__(problem) for problem in problems[:SHOWN])
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise type(problems[0])(told + more, remedy="Mend or remove these, then submit again: nothing was taken yet")
    yield from contracts
