"""The trained weights: n-gram weights per family, and the two small logistic steps that make them probabilities.

Made by `benchmarks/train_clauses.py` from CUAD v1 (see ATTRIBUTION.md here) and committed as `weights.npz`.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PATH = Path(__file__).with_name("weights.npz")
_ROWS_AT_ONCE = 512
_ABSENT = -12.0
"""Stands for a further passage where the document has too few, as a logit."""


@dataclass(frozen=True)
class Weights:
    """F families, V features.

    `table[v, f]` is the weight of feature `vocabulary[v]` (sorted 32-bit hashes) for family f. `passage[f]` holds
    (slope, cue, intercept) of the logit that a passage with margin m has the clause; `document[f]` holds (first, next,
    intercept) of the logit that the document has it, from its best passage's logit and the mean of the next two.
    `threshold[f]` is the probability from which the document counts as having it.
    """

    families: tuple[str, ...]
    vocabulary: NDArray[np.uint32]
    table: Floats
    bias: Floats
    passage: Floats
    document: Floats
    threshold: Floats

    def column(self, family: str) -> int | None:
        """The family's column, or None where it was not trained."""
        return self.families.index(family) if family in self.families else None


def save(path: Path, weights: Weights) -> None:
    """Write the weights, n-gram weights as one byte each with one scale per family."""
    scale = np.maximum(np.abs(weights.table).max(axis=0), 1e-6) / 127
    np.savez_compressed(
        path,
        families=np.array(weights.families),
        gaps=np.diff(weights.vocabulary, prepend=np.uint32(0)).astype(np.uint32),
        table=np.ascontiguousarray(np.round(weights.table / scale).astype(np.int8).T),
        scale=scale.astype(np.float32),
        bias=weights.bias,
        passage=weights.passage,
        document=weights.document,
        threshold=weights.threshold,
    )


def load(path: Path) -> Weights:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as data:
        return Weights(
            families=tuple(str(name) for name in data["families"]),
            vocabulary=np.cumsum(data["gaps"], dtype=np.uint32),
            table=np.ascontiguousarray(data["table"].T).astype(np.float32) * data["scale"],
            bias=data["bias"],
            passage=data["passage"],
            document=data["document"],
            threshold=data["threshold"],
        )


@lru_cache(maxsize=1)
def committed() -> Weights:
    """The weights that ship with the package."""
    return load(PATH)


def margins(weights: Weights, rows: NDArray[np.int64], hashes: NDArray[np.uint64], passages: int) -> Floats:
    """The (passages, F) margins: the sum of a passage's weights over the root of its number of features, plus bias.

    `rows` (sorted) and `hashes` are those of `features`.
    """
    counts = np.bincount(rows, minlength=passages).astype(np.float32)
    keys = hashes.astype(np.uint32)
    places = np.minimum(np.searchsorted(weights.vocabulary, keys), max(len(weights.vocabulary) - 1, 0))
    known = weights.vocabulary[places] == keys
    rows, places = rows[known], places[known]
    sums = np.zeros((passages, len(weights.families)), dtype=np.float32)
    for first in range(0, passages, _ROWS_AT_ONCE):
        left, right = np.searchsorted(rows, (first, first + _ROWS_AT_ONCE))
        if left < right:
            present, starts = np.unique(rows[left:right], return_index=True)
            sums[present] = np.add.reduceat(weights.table[places[left:right]], starts, axis=0)
    return np.asarray(sums / np.sqrt(np.maximum(counts, 1.0))[:, None] + weights.bias, dtype=np.float32)


def passage_logits(margin: Floats, cued: NDArray[np.bool_], coefficients: Floats) -> Floats:
    """Logits that each passage has the clause, for one family: from (n,) margins and whether a cue matched."""
    slope, cue, intercept = coefficients
    return np.asarray(slope * margin + cue * cued + intercept, dtype=np.float32)


def next_best(logits: Floats) -> float:
    """The mean of the second and third best logits of a document's passages."""
    padded = np.sort(np.concatenate([logits, np.full(3, _ABSENT, dtype=np.float32)]))[::-1]
    return float(padded[1:3].mean())


def document_probabilities(logits: Floats, coefficients: Floats) -> Floats:
    """For each passage the probability that the document has the clause, were this passage its best."""
    first, following, intercept = coefficients
    score = np.clip(first * logits + following * next_best(logits) + intercept, -30.0, 30.0)
    return np.asarray(1.0 / (1.0 + np.exp(-score)), dtype=np.float32)
