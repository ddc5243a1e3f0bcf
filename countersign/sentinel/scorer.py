"""The statistical layer: passages that read like a request to a model rather than like what the channel carries.

Every token has a score, the sum of its features' weights: above 0 it speaks for a request, below for a contract. The
passages of a text are its maximal scoring subsequences (Ruzzo and Tompa, ISMB 1999): stretches that no shorter and no
longer stretch around them beats. So no length of a passage is fixed beforehand; and text added around a passage leaves
it as it was or makes it part of a passage that scores higher, never lower. Time is linear.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from countersign.sentinel.grams import Grams
from countersign.sentinel.weights import UNIT, Head

FAINTEST = 0.28
"""Passages of a lower risk are not reported: half of what holds a document, and common in benign ones."""

_LEXICON = {
    word: group
    for group, words in {
        "speaks to its reader": "you your yours yourself please dear hello hi hey u ur let lets",
        "speaks of itself as a person writing": "i me my mine myself im am",
        "speaks of answers and outputs": "answer answers reply replies respond response responses output outputs"
        " summary summarize summarise prompt prompts question questions message messages chat conversation string word"
        " words sentence letters text format repeat verbatim",
        "speaks of models and their rules": "ai llm gpt chatgpt openai bot chatbot assistant assistants model models"
        " dan jailbreak developer mode system persona character roleplay pretend act restrictions unrestricted filters"
        " uncensored ethical guidelines policies instructions instruction override",
        "gives commands": "ignore disregard forget say tell write print show give make create generate explain describe"
        " translate list send email post call run execute delete save include add append insert replace substitute use"
        " do start stop never always must now approve reject mark rate report",
    }.items()
    for word in words.split()
}
_MARKS = "holds signs that prose does not"
_OTHER = "uses words that are unusual there"


@dataclass(frozen=True)
class Passage:
    """A stretch of the original text, end-exclusive, with its risk in [0, 0.95] and what speaks for it, in words."""

    start: int
    end: int
    risk: float
    reasons: tuple[str, ...]


def passages(found: Grams, head: Head) -> list[Passage]:
    """The passages of a text whose risk is at least `FAINTEST`, in order of place; they do not overlap."""
    if not found.words:
        return []
    scores = token_scores(found, head)
    passages = []
    for first, last, total in maximal(scores, head.calibration.least_sum(FAINTEST) * UNIT):
        reasons = _reasons(found.words[first : last + 1], scores[first : last + 1])
        risk = head.calibration.risk(total / UNIT)
        passages.append(Passage(int(found.starts[first]), int(found.ends[last]), risk, reasons))
    return passages


def token_scores(found: Grams, head: Head) -> NDArray[np.int64]:
    """The score of every token, times UNIT."""
    return np.asarray(head.table[found.features].sum(axis=1, dtype=np.int64) + head.drift)


def excursions(scores: NDArray[np.int64], least: float) -> list[tuple[int, int, int]]:
    """(first, last, sum) of the best stretch of each excursion of the running sum above its minimum so far.

    Only those with a sum of at least `least`, and never an empty one. This is the cumulative-sum test (Page,
    Biometrika 41:100, 1954), quick because it is arithmetic on whole arrays.
    """
    return [
        (ground, ground + peak - 1, int(heights[peak]))
        for ground, heights in _high(scores, least)
        for peak in [int(heights.argmax())]
    ]


def _high(scores: NDArray[np.int64], least: float) -> list[tuple[int, NDArray[np.int64]]]:
    """Where each excursion that reaches `least` begins, and its heights: entry i is the sum of its first i tokens."""
    sums = np.concatenate([[0], np.cumsum(scores)])
    heights = sums - np.minimum.accumulate(sums)
    grounded = np.flatnonzero(heights == 0)
    high = np.maximum.reduceat(heights, grounded) >= max(least, 1)
    ends = np.append(grounded[1:], len(heights))
    return [
        (ground, heights[ground:end]) for ground, end in zip(grounded[high].tolist(), ends[high].tolist(), strict=True)
    ]


def maximal(scores: NDArray[np.int64], least: float) -> list[tuple[int, int, int]]:
    """(first, last, sum) of the maximal scoring subsequences with a sum of at least `least`, in order of place.

    None of them reaches beyond one excursion, because all its beginnings have a sum above 0; so the algorithm runs on
    the few excursions that are high enough.
    """
    found = []
    for ground, heights in _high(scores, least):
        found += [(ground + first, ground + last, total) for first, last, total in _subsequences(heights.tolist())]
    return [each for each in found if each[2] >= least]


def _subsequences(sums: list[int]) -> list[tuple[int, int, int]]:
    """Ruzzo and Tompa's algorithm on running sums, `sums[0]` standing before the first token."""
    firsts: list[int] = []
    lasts: list[int] = []
    below: list[int] = []
    """For each candidate the nearest one before it that begins at a lower sum, or -1: each link is followed once."""
    for token in range(len(sums) - 1):
        if sums[token + 1] <= sums[token]:
            continue
        first, at = token, len(firsts) - 1
        while True:
            while at >= 0 and sums[firsts[at]] >= sums[first]:
                at = below[at]
            if at < 0 or sums[lasts[at] + 1] >= sums[token + 1]:
                break
            first, last_kept = firsts[at], at
            del firsts[last_kept:], lasts[last_kept:], below[last_kept:]
            at = last_kept - 1
        firsts.append(first)
        lasts.append(token)
        below.append(at)
    return [(first, last, sums[last + 1] - sums[first]) for first, last in zip(firsts, lasts, strict=True)]


def _reasons(words: tuple[str, ...], scores: NDArray[np.int64]) -> tuple[str, ...]:
    """The two kinds of words that weigh most, heaviest first."""
    weight: Counter[str] = Counter()
    for word, score in zip(words, scores.tolist(), strict=True):
        if score > 0:
            weight[_LEXICON.get(word, _OTHER if word[0].isalnum() else _MARKS)] += score
    return tuple(reason for reason, _ in weight.most_common(2))
