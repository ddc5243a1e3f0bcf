"""The contracts of a data folder as cases for review: which file, which playbook, what the experts found in it.

The folder is laid out like the shared data. Three sources, each skipped with a note when it is not there:
`cuad/contracts.jsonl` names texts and `cuad/spans.jsonl` labels them; `cuad/pdf` and `kleister_nda/pdf` hold PDFs.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from countersign.clauses.cuad import CUAD_CATEGORY

TEXTS, PDFS, NDAS = "cuad_text", "cuad_pdf", "kleister_nda_pdf"
SOURCES = (TEXTS, PDFS, NDAS)
NDA_PLAYBOOK = "nda"
QUICK = {TEXTS: 24, PDFS: 8, NDAS: 4}
"""How many of each source `--quick` takes."""
SEED = 2

_FAMILY = {category: key for key, category in CUAD_CATEGORY.items()}


@dataclass(frozen=True)
class Case:
    """One contract. `present` says by clause family what the experts found; None where it has no labels."""

    source: str
    path: Path
    playbook: str
    present: Mapping[str, bool] | None = None


@dataclass(frozen=True)
class Cases:
    """What a folder holds, in a fixed order, and one line for every part that is missing."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = field(default=())


def load_cases(data: Path, playbook: str) -> Cases:
    """Every contract of `data`: those of CUAD for `playbook`, NDAs for the playbook `nda`."""
    notes: list[str] = []
    cases = [
        *_texts(data / "cuad", playbook, notes),
        *_pdfs(PDFS, data / "cuad" / "pdf", playbook, notes),
        *_pdfs(NDAS, data / "kleister_nda" / "pdf", NDA_PLAYBOOK, notes),
    ]
    return Cases(tuple(cases), tuple(notes))


def select(cases: Sequence[Case], *, quick: bool, limit: int | None) -> list[Case]:
    """The cases in a seeded order that mixes the sources; of `quick` so many of each as `QUICK` says; then `limit`."""
    order = random.Random(SEED)  # noqa: S311 - not for secrets
    chosen: list[Case] = []
    for source in SOURCES:
        own = [case for case in cases if case.source == source]
        chosen += order.sample(own, min(QUICK[source], len(own))) if quick else own
    order.shuffle(chosen)
    return chosen[:limit]


def _texts(folder: Path, playbook: str, notes: list[str]) -> Iterator[Case]:
    listed = folder / "contracts.jsonl"
    if not listed.exists():
        notes.append(f"no {listed}: no texts")
        return
    spans = folder / "spans.jsonl"
    if not spans.exists():
        notes.append(f"no {spans}: texts are reviewed, presence is not scored")
    labels = _labels(_rows(spans)) if spans.exists() else {}
    unlabelled = 0
    for row in _rows(listed):
        present = labels.get(str(row["contract_id"]))
        unlabelled += present is None
        yield Case(TEXTS, folder / str(row["txt"]), playbook, present)
    if labels and unlabelled:
        notes.append(f"{unlabelled} texts have no row in {spans}: reviewed, not scored")


def _labels(rows: Iterable[Mapping[str, object]]) -> dict[str, dict[str, bool]]:
    """By contract id and clause family, whether the experts found the clause."""
    labels: dict[str, dict[str, bool]] = {}
    for row in rows:
        family = _FAMILY.get(str(row["category"]))
        if family is not None:
            labels.setdefault(str(row["contract_id"]), {})[family] = bool(row["present"])
    return labels


def _pdfs(source: str, folder: Path, playbook: str, notes: list[str]) -> Iterator[Case]:
    if not folder.is_dir():
        notes.append(f"no {folder}: no {source.replace('_', ' ')}s")
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".pdf":
            yield Case(source, path, playbook)


def _rows(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
