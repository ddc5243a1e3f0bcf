"""How alike two clauses are. A likeness alone decides nothing: it only bars a correction from an unlike clause.

Vectors see the subject of a clause and hardly its numbers: "three years" and "ten years" are next to each other. So
what makes a finding milder asks besides that the clause states no figure which the corrected one did not.
"""

import re
from collections.abc import Sequence

from countersign.memory.embedding import HashingEmbedder

ALIKE = {"minilm-l6-v2-int8": 0.75, HashingEmbedder.name: 0.6}
"""Cosine from which two quotations count as the same clause, by embedder; `benchmarks/learning.py` shows both errors."""
ALIKE_ELSE = 0.8
"""For an embedder that was not measured."""

_LABEL = re.compile(
    r"^\s*(?:\d+(?:\.\d+)*|[A-Z]\d*)[.)]\s|\(\w{1,3}\)|"
    r"\b(?:section|article|clause|paragraph|schedule|exhibit|annex|appendix)s?\s+\d+(?:\.\d+)*",
    re.IGNORECASE | re.MULTILINE,
)
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WORD = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|eighteen|twenty|thirty|forty|fifty|"
    r"sixty|seventy|eighty|ninety|hundred|thousand|million|unlimited|perpetual(?:ly)?|perpetuity|indefinite(?:ly)?|"
    r"irrevocabl[ey]|sole|exclusive(?:ly)?|not|no|never|without|except|unless)\b",
    re.IGNORECASE,
)
_words = HashingEmbedder()


def threshold(embedder: str) -> float:
    """Cosine from which quotations embedded by this embedder count as alike."""
    return ALIKE.get(embedder, ALIKE_ELSE)


def figures(quotes: Sequence[str]) -> frozenset[str]:
    """What turns a clause's meaning without changing its subject: numbers, in digits and words, and negations.

    Numbers of sections are left out: the same clause stands elsewhere in another contract.
    """
    found: set[str] = set()
    for quote in (_LABEL.sub(" ", quote) for quote in quotes):
        found.update(_FIGURE.findall(quote))
        found.update(word.casefold() for word in _NUMBER_WORD.findall(quote))
    return frozenset(found)


def same_words(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two corrected clauses are the same one, by their words; two absences are, and nobody knows of no text."""
    if not one or not other:
        return True
    first, *rest = _words.embed([" ".join(one), " ".join(other)])
    return sum(a * b for a, b in zip(first, rest[0], strict=True)) >= ALIKE[HashingEmbedder.name]
