"""Cutting a contract into passages: sentences with their heading, at most `LONGEST` characters, verbatim offsets.

Works for text with one line a paragraph, for text with hard line breaks, and for text taken out of a PDF, because a
single line break never ends a passage: sentence ends, blank lines and numbered items do.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

LONGEST = 1000
"""No passage is longer, in characters."""
SHORTEST = 70
"""A shorter piece (a heading, "Term.") is joined to the sentence that follows it, in characters."""
WISHED = 500
"""Above this length a sentence is cut at its semicolons and enumerated parts, in characters."""

SENTENCE_WORDS = 6
"""A short paragraph of so many words that ends like a sentence stands alone."""

_WORD = re.compile(r"\w+")
_ENUMERATOR = r"\(?(?:\d{1,2}|[a-zA-Z]|[ivxIVX]{1,5})[.)]\s"
_BREAK = re.compile(
    rf"""
    \n[ \t\r\f]*+\n\s*+                                                       # a blank line
  | \f\s*+                                                                    # a new page
  | \n\s*+(?=(?:ARTICLE|SECTION)\s+[\dIVX]+|\d{{1,2}}(?:\.\d{{1,2}})*[.)]?\s+["“]?[A-Z]|\([a-z]{{1,4}}\)\s)
  | (?<!\s)\s{{3,}}+(?={_ENUMERATOR}|\d{{1,2}}\.\d{{1,2}}\s)                  # an item of a list set with spaces
  | (?P<sentence>(?<=[.!?])["”’)\]]{{0,2}}\s++(?=["“(\[]?[A-Z0-9]))           # the end of a sentence
  | (?<=[.;:])\s++(?=\d{{1,2}}\.\d{{1,2}}(?:\.\d{{1,2}})*\.?\s)               # the next numbered clause
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Inc|Corp|Co|Ltd|LLC|L\.L\.C|L\.P|N\.A|S\.A|B\.V|No|Nos|Sec|Art|Mr|Mrs|Ms|Dr|St|Ave|vs|v|U\.S|U\.K|e\.g|i\.e"
    r"|cf|etc|Jr|Sr|Attn|Tel|approx|Section|Article|Exhibit|[A-Z])|(?:^|\s)\(?\d{1,2}(?:\.\d{1,2})*)\.[\"”’)\]]{0,2}$"
)
_PART = re.compile(rf";\s++|(?<=[,:])\s++(?={_ENUMERATOR})|(?<=\s)(?=\([a-z]{{1,4}}\)\s)")


@dataclass(frozen=True)
class _Piece:
    """A sentence, item or heading without the white space around it; `opens` says that a paragraph or item begins."""

    start: int
    end: int
    opens: bool


def _pieces(text: str) -> list[_Piece]:
    """The sentences, items and headings of the text, in order."""
    starts, opens = [0], [True]
    for match in _BREAK.finditer(text):
        sentence = match["sentence"]
        if sentence is not None:
            quotes = len(sentence) - len(sentence.lstrip('"”’)]'))
            before = text[max(match.start() - 16, 0) : match.start() + quotes]
            if _ABBREVIATION.search(before):
                continue
        starts.append(match.end())
        opens.append(sentence is None)
    found = []
    for (left, right), opened in zip(pairwise([*starts, len(text)]), opens, strict=True):
        piece = text[left:right]
        if piece.strip():
            found.append(_Piece(left + len(piece) - len(piece.lstrip()), left + len(piece.rstrip()), opened))
    return found


def _joined(text: str, pieces: Sequence[_Piece]) -> list[tuple[int, int]]:
    """Short pieces joined: a heading to what follows it, the last words of a paragraph to what they follow."""
    merged: list[tuple[int, int]] = []
    held: int | None = None
    for index, piece in enumerate(pieces):
        start = piece.start if held is None else held
        short = piece.end - start < SHORTEST
        last = index + 1 == len(pieces) or pieces[index + 1].opens
        if short and held is None and last and not piece.opens and merged and piece.end - merged[-1][0] <= LONGEST:
            merged[-1] = (merged[-1][0], piece.end)
        elif short and not (
            last and len(_WORD.findall(text, start, piece.end)) >= SENTENCE_WORDS and text[piece.end - 1] in ".;"
        ):
            held = start
        else:
            merged.append((start, piece.end))
            held = None
    if held is not None:
        merged.append((held, pieces[-1].end))
    return merged


def _shortened(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The stretch cut at its parts into pieces near `WISHED` and never above `LONGEST` characters."""
    if end - start <= WISHED:
        return [(start, end)]
    cuts = [start]
    previous = start
    for match in _PART.finditer(text, start, end):
        if match.end() - cuts[-1] > WISHED and previous > cuts[-1]:
            cuts.append(previous)
        if match.end() < end:
            previous = match.end()
    if end - cuts[-1] > WISHED and previous > cuts[-1]:
        cuts.append(previous)
    found: list[tuple[int, int]] = []
    for left, right in pairwise([*cuts, end]):
        at = left
        while right - at > LONGEST:
            half = at + LONGEST // 2
            space = max(text.rfind(" ", half, at + LONGEST), text.rfind("\n", half, at + LONGEST))
            cut = space + 1 if space > 0 else at + LONGEST
            found.append((at, cut))
            at = cut
        found.append((at, right))
    return found


@lru_cache(maxsize=4)
def passages(text: str) -> tuple[tuple[int, int], ...]:
    """(start, end) of every passage in the order of the text; none is empty or overlaps, each has a letter or digit."""
    found = []
    for whole_start, whole_end in _joined(text, _pieces(text)):
        for start, end in _shortened(text, whole_start, whole_end):
            piece = text[start:end]
            if any(character.isalnum() for character in piece):
                found.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
    return tuple(found)
