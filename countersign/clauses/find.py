"""The clause finder: passages of a contract that hold the clauses a playbook asks for, with probabilities.

Title and parties are found by form; families that `weights.npz` was trained for by it and by the playbook's cues
together; all others by cues alone. A passage in which a cue and a sign of the walk-away position match always counts:
unusual words must not hide a dangerous clause.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from countersign.clauses import weights as trained
from countersign.clauses.cues import cue_counts, signed
from countersign.clauses.features import features
from countersign.clauses.passages import passages
from countersign.clauses.position import plain
from countersign.clauses.structure import SCORE, STRUCTURAL
from countersign.playbook.model import Family

MOST_HITS = 5
"""At most so many hits a family."""
STATED_ONCE = frozenset({"agreement_date", "effective_date"})
"""Families of which a further hit would only be a signature block or a mention."""
CUE_SCORES = (0.0, 0.55, 0.7, 0.8)
"""Score by number of cues that match, for a family without weights: a grade, not measured like a trained one's."""
SIGN_BONUS = 0.1
"""Added where one of the family's signs of a position matches too: the passage is likely to be the operative clause."""


@dataclass(frozen=True)
class ClauseHit:
    """A passage that holds a clause of the family: `text[start:end]`, and in [0, 1] how likely it does."""

    family: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class _Reading:
    """What every family's search shares: passages, the same made plain, and (passages, F) margins."""

    spans: tuple[tuple[int, int], ...]
    plain_texts: tuple[str, ...]
    margins: NDArray[np.float32]


_ONE_AT_A_TIME = Lock()
"""A team's specialists ask for the same text at once, from threads: the first reads it, the others wait for that."""


def _read(text: str) -> _Reading:
    with _ONE_AT_A_TIME:
        return _read_once(text)


@lru_cache(maxsize=16)
def _read_once(text: str) -> _Reading:
    spans = passages(text)
    pieces = [text[start:end] for start, end in spans]
    rows, hashes = features(pieces)
    margins = trained.margins(trained.committed(), rows, hashes, len(spans))
    return _Reading(spans=spans, plain_texts=tuple(plain(piece) for piece in pieces), margins=margins)


def find_clauses(text: str, families: Sequence[Family]) -> tuple[ClauseHit, ...]:
    """The hits of all families in the order of `families`, each family's best first, at most `MOST_HITS` of one.

    A family is in the contract, as far as can be told, exactly when it has a hit: only passages that reach the family's
    threshold are returned. Hits are whole passages of at most 1,000 characters. The same text and families always give
    the same hits.
    """
    reading = _read(text)
    if not reading.spans:
        return ()
    hits: list[ClauseHit] = []
    for family in families:
        if family.key in STRUCTURAL:
            span = STRUCTURAL[family.key](text)
            hits.extend([ClauseHit(family.key, *span, SCORE)] if span else [])
            continue
        most = 1 if family.key in STATED_ONCE else MOST_HITS
        scores, threshold = _scores(reading, family)
        best = sorted(np.flatnonzero(scores >= threshold), key=lambda index: (-scores[index], index))[:most]
        hits.extend(ClauseHit(family.key, *reading.spans[index], round(float(scores[index]), 4)) for index in best)
    return tuple(hits)


def _scores(reading: _Reading, family: Family) -> tuple[NDArray[np.float32], float]:
    """The (passages,) scores of one family, and the score from which a passage counts."""
    cues = cue_counts(reading.plain_texts, family)
    model = trained.committed()
    column = model.column(family.key)
    if column is None:
        return _grades(reading, family, cues), CUE_SCORES[1]
    logits = trained.passage_logits(reading.margins[:, column], cues > 0, model.passage[column])
    scores = trained.document_probabilities(logits, model.document[column])
    threshold = model.threshold[column]
    grave = signed(reading.plain_texts, cues, family.walk_away.signs)
    if grave.any():
        least = np.maximum(_grades(reading, family, cues), threshold)
        scores = np.where(grave, np.maximum(scores, least), scores)
    return scores, float(threshold)


def _grades(reading: _Reading, family: Family, cues: NDArray[np.int64]) -> NDArray[np.float32]:
    """The (passages,) scores by cues and signs alone."""
    grades = np.array(CUE_SCORES, dtype=np.float32)[np.minimum(cues, len(CUE_SCORES) - 1)]
    signs = [sign for stance in (family.preferred, family.fallback, family.walk_away) for sign in stance.signs]
    return np.asarray(grades + SIGN_BONUS * signed(reading.plain_texts, cues, signs), dtype=np.float32)
