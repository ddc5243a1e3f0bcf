"""Where a playbook's cues match: passages that may hold a family's clause, found without any training."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from countersign.clauses.position import compiled
from countersign.playbook.model import Family

_SHORTEST_WORD = 3
_TOKEN = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\(\?[:=!]|\(\?<[=!]|\{[^}]*\}|[^\\]")
_UNREAD = re.compile(r"\(\?(?![:=!]|<[=!])|\\[xuUN0-9]")
"""Syntax that the reading below does not know: names, flags, back references and numbered characters."""
_OPTIONAL = frozenset("?*")


@lru_cache(maxsize=4096)
def required_words(cue: str) -> tuple[str, ...]:
    """Letters of which at least one run stands in every match of the cue; empty where none are sure.

    Looking for them first spares most passages the regular expression. Only what is certain counts: runs of plain
    letters, and groups of alternatives that each start with or contain one, unless a quantifier may leave them out.
    """
    if _UNREAD.search(cue):
        return ()
    parts = _TOKEN.findall(cue.lower())
    groups, position = _sequence(parts, 0)
    if position < len(parts):
        return ()
    return max(groups, key=lambda words: (min(map(len, words)), -len(words)), default=())


def _sequence(parts: list[str], position: int) -> tuple[list[tuple[str, ...]], int]:
    """Sets of which every match has a member, for the parts up to an unmatched `)`, and where that stands.

    For alternatives there is one set: the best of each alternative together.
    """
    alternatives: list[list[tuple[str, ...]]] = [[]]
    run = ""
    while position < len(parts) and parts[position] != ")":
        part = parts[position]
        after = parts[position + 1] if position + 1 < len(parts) else ""
        if part.isalpha() or part == " ":
            optional = after in _OPTIONAL or after.startswith("{")
            run = _closed(run, alternatives[-1]) if optional else run + part
            if after == "+":
                run = _closed(run, alternatives[-1])
        elif part in ("(", "(?:"):
            run = _closed(run, alternatives[-1])
            inner, position = _sequence(parts, position + 1)
            after = parts[position + 1] if position + 1 < len(parts) else ""
            if not (after in _OPTIONAL or after.startswith("{")):
                alternatives[-1].extend(inner)
        elif part.startswith("(?"):
            run = _closed(run, alternatives[-1])
            _, position = _sequence(parts, position + 1)
        else:
            run = _closed(run, alternatives[-1])
            if part == "|":
                alternatives.append([])
        position += 1
    _closed(run, alternatives[-1])
    if len(alternatives) == 1:
        return alternatives[0], position
    if not all(alternatives):
        return [], position
    best = (max(sets, key=lambda words: min(map(len, words))) for sets in alternatives)
    return [tuple(sorted({word for words in best for word in words}))], position


def _closed(run: str, found: list[tuple[str, ...]]) -> str:
    """The run kept if it is long enough; the next one starts empty."""
    if len(run.strip()) >= _SHORTEST_WORD:
        found.append((run,))
    return ""


def cue_counts(plain_texts: Sequence[str], family: Family) -> NDArray[np.int64]:
    """How many of the family's cues match in each passage; the passages are given as `plain` makes them."""
    counts = np.zeros(len(plain_texts), dtype=np.int64)
    for cue in family.cues:
        words, search = required_words(cue), compiled(cue).search
        for index, text in enumerate(plain_texts):
            if (not words or any(word in text for word in words)) and search(text):
                counts[index] += 1
    return counts


def signed(plain_texts: Sequence[str], cues: NDArray[np.int64], signs: Sequence[str]) -> NDArray[np.bool_]:
    """In which passages with a cue one of the signs matches too."""
    found = np.zeros(len(plain_texts), dtype=bool)
    for index in map(int, np.flatnonzero(cues)):
        found[index] = any(compiled(sign).search(plain_texts[index]) for sign in signs)
    return found
