"""How alike two clauses are. A likeness alone decides nothing: it only bars a correction from an unlike clause.

Vectors see the subject of a clause and hardly its numbers: "three years" and "ten years" are next to each other. So
what makes a finding milder asks besides that the clause states no figure which the corrected one did not.
"""

import re
from collections.abc import Sequence

from countersign.memory.embedding import HashingEmbedder

ALIKE = {"minilm-l6-v2-int8": 0.9, HashingEmbedder.name: 0.7}
"""Cosine from which two quotations count as the same clause, by embedder; `benchmarks/learning.py` shows the errors."""
ALIKE_ELSE = 0.9
"""For an embedder that was not measured."""

_FOOTER = re.compile(
    r"^[ \t]*(?:-[ \t]*\d{1,3}[ \t]*-|page \d{1,3}(?: of \d{1,3})?)[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_LABEL = re.compile(
    r"\A\s*(?:\d+(?:\.\d+)+[.)]?|(?:\d+|[A-Z])[.)])\s|\([a-z]{1,4}\)|"
    r"\b(?:section|article|clause|paragraph|schedule|exhibit|annex|appendix)s?\s+\d+(?:\.\d+)*",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WORD = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|eighteen|twenty|thirty|forty|fifty|"
    r"sixty|seventy|eighty|ninety|hundred|thousand|million|unlimited|perpetual(?:ly)?|perpetuity|indefinite(?:ly)?|"
    r"irrevocabl[ey]|sole|exclusive(?:ly)?|not|no|never|without|except|unless)\b",
    re.IGNORECASE,
)


def threshold(embedder: str) -> float:
    """Cosine from which quotations embedded by this embedder count as alike."""
    return ALIKE.get(embedder, ALIKE_ELSE)


def figures(quotes: Sequence[str]) -> frozenset[str]:
    """What turns a clause's meaning without changing its subject: numbers, in digits and words, and negations.

    Numbers of sections and pages are left out: the same clause stands elsewhere in another contract.
    """
    found: set[str] = set()
    for quote in (_LABEL.sub(" ", _FOOTER.sub("", quote)) for quote in quotes):
        found.update(_FIGURE.findall(quote))
        found.update(word.casefold() for word in _NUMBER_WORD.findall(quote))
    return frozenset(found)


def margins(quotes: Sequence[str], corrected: Sequence[str], nearest: Sequence[float], embedder: str) -> list[float]:
    """By how much each quotation passes for the corrected clause: below 0 it does not.

    `nearest` are the cosines that the vectors of `embedder` give to the quotations. Shared words count beside them:
    sentence vectors move with the names of the parties, words do not, and neither takes unlike clauses for the same.
    """
    words = HashingEmbedder()
    own, others = words.embed(list(quotes)), words.embed(list(corrected))
    found = []
    for vector, cosine in zip(own, nearest, strict=True):
        shared = max(sum(a * b for a, b in zip(vector, other, strict=True)) for other in others)
        found.append(max(cosine - threshold(embedder), shared - threshold(words.name)))
    return found


class Likeness:
    """Whether corrected clauses are the same one, by their words. Remembers the vectors it has made."""

    def __init__(self) -> None:
        self._embedder = HashingEmbedder()
        self._vectors: dict[tuple[str, ...], list[float]] = {}

    def same(self, one: tuple[str, ...], other: tuple[str, ...]) -> bool:
        """True also where one of them has no text: two absences are the same, and of no text nobody knows."""
        if not one or not other:
            return True
        likeness = sum(a * b for a, b in zip(self._vector(one), self._vector(other), strict=True))
        return likeness >= ALIKE[self._embedder.name]

    def _vector(self, quotes: tuple[str, ...]) -> list[float]:
        if quotes not in self._vectors:
            (self._vectors[quotes],) = self._embedder.embed([" ".join(quotes)])
        return self._vectors[quotes]
