"""Cutting a contract into passages: sentences with their heading, at most `LONGEST` characters, verbatim offsets.

Works for text with one line a paragraph, for text with hard line breaks, and for text taken out of a PDF, because a
single line break never ends a passage: sentence ends, blank lines and numbered items do.
"""

import re
from itertools import pairwise

LONGEST = 1000
"""No passage is longer, in characters."""
SHORTEST = 70
"""A shorter piece (a heading, "Term.") is joined to the sentence that follows it, in characters."""
WISHED = 500
"""Above this length a sentence is cut at its semicolons and enumerated parts, in characters."""

_ENUMERATOR = r"\(?(?:\d{1,2}|[a-zA-Z]|[ivxIVX]{1,5})[.)]\s"
_BREAK = re.compile(
    rf"""
    \n[ \t\r\f]*\n\s*                                             # a blank line
  | \f\s*                                                         # a new page
  | \n\s*(?=(?:article|section)\s+[\dIVX]+|\d{{1,2}}(?:\.\d{{1,2}})*[.)]?\s+["“]?[A-Z]|\([a-z]{{1,4}}\)\s)
  | \s{{3,}}(?={_ENUMERATOR}|\d{{1,2}}\.\d{{1,2}}\s)              # an item of a list set with spaces
  | (?<=[.!?])["”’)\]]{{0,2}}\s+(?=["“(\[]?[A-Z0-9])             # the end of a sentence
  | (?<=[.;:])\s+(?=\d{{1,2}}\.\d{{1,2}}(?:\.\d{{1,2}})*\.?\s)    # the next numbered clause
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Inc|Corp|Co|Ltd|LLC|L\.L\.C|L\.P|N\.A|S\.A|B\.V|No|Nos|Sec|Art|Mr|Mrs|Ms|Dr|St|Ave|vs|v|U\.S|U\.K|e\.g|i\.e"
    r"|cf|etc|Jr|Sr|Attn|Tel|approx|Section|Article|Exhibit|[A-Z])|(?:^|\s)\(?\d{1,2}(?:\.\d{1,2})*)\.[\"”’)\]]{0,2}$"
)
_PART = re.compile(rf";\s+|(?<=[,:])\s+(?={_ENUMERATOR})|(?<=\s)(?=\([a-z]{{1,4}}\)\s)")


def _breaks(text: str) -> list[int]:
    """Offsets at which a sentence or item starts."""
    starts = [0]
    for match in _BREAK.finditer(text):
        before = text[max(match.start() - 16, 0) : match.start()]
        gap = match.group()
        if "\n\n" not in gap and gap.strip(' \t\r\n"”’)]') == "" and _ABBREVIATION.search(before + gap.rstrip()):
            continue
        starts.append(match.end())
    starts.append(len(text))
    return starts


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
    cuts.append(end)
    pieces: list[tuple[int, int]] = []
    for left, right in pairwise(cuts):
        while right - left > LONGEST:
            space = max(text.rfind(" ", left + LONGEST // 2, left + LONGEST), text.rfind("\n", left + LONGEST // 2, left + LONGEST))
            cut = space + 1 if space > 0 else left + LONGEST
            pieces.append((left, cut))
            left = cut  # noqa: PLW2901
        pieces.append((left, right))
    return pieces


def passages(text: str) -> list[tuple[int, int]]:
    """(start, end) of every passage in the order of the text; none is empty or overlaps, each has a letter or digit."""
    merged: list[tuple[int, int]] = []
    held: int | None = None
    for left, right in pairwise(_breaks(text)):
        piece = text[left:right]
        if not piece.strip():
            continue
        start = held if held is not None else left + len(piece) - len(piece.lstrip())
        end = left + len(piece.rstrip())
        if end - start < SHORTEST:
            held = start
            continue
        held = None
        if end - start > WISHED:
            merged.extend(_shortened(text, start, end))
        else:
            merged.append((start, end))
    if held is not None:
        merged.extend(_shortened(text, held, len(text.rstrip())))
    found = []
    for start, end in merged:
        piece = text[start:end]
        if any(character.isalnum() for character in piece):
            found.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
    return found
