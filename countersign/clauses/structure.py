"""What stands in a contract by its place and form rather than its words: the title and the parties."""

import re
from collections.abc import Callable

from countersign.clauses.passages import passages

HEAD = 8000
"""Title and parties stand in so many characters from the beginning."""
SCORE = 0.93
"""Score of a title or of parties found: the share of CUAD contracts where what is found overlaps an expert's label."""

Span = tuple[int, int]

_KINDS = (
    "agreement|contract|addendum|amendment|lease|licen[cs]e|deed|charter|memorandum|undertaking|terms and conditions"
    "|terms of service|plan|guarantee|policy|letter of intent"
)
_KIND = re.compile(rf"\b(?:{_KINDS})s?\b", re.IGNORECASE)
_LINE = re.compile(r"[^\n\r]+")
_CAPITALS = re.compile(rf"\b(?:[A-Z&][A-Z&/,'’()\-]*\s+){{1,12}}(?:{_KINDS.upper()})S?\b")
_NAMED = re.compile(
    r"\b(?!(?:This|The|Said|Such|Exhibit)\b)"
    rf"((?:[A-Z][\w&/'’\-]*\s+(?:(?:of|and|for|to)\s+)?){{1,10}}?(?:{_KINDS.title().replace('[Cs]', '[cs]')}))\b"
)
_LONGEST_TITLE = 150
_BETWEEN = re.compile(
    r"\b(?:between|among|amongst|undersigned)\b"
    r"|\b(?:made|entered|executed|granted|issued|agreed)\b[^.]{0,80}?\bby\b"
    r"|\bparty\s+(?:a|b|1|2|of the first part)\b"
    r"|\b(?:seller|buyer|licensor|licensee|supplier|shipper|carrier|company|client|customer)\s*:",
    re.IGNORECASE,
)
_DEFINED = re.compile(r"[“\"'‘][^“”\"'‘’()]{2,60}[”\"'’]\s*\)|\(\s*(?:the\s+)?[“\"'‘]|\bherein(?:after|)\b")
_LEGAL_FORM = re.compile(
    r"\b(?:inc|corp|corporation|incorporated|llc|l\.l\.c|ltd|limited|gmbh|plc|lp|l\.p|company|b\.v|s\.a|ag|trust|bank|university)\b",
    re.IGNORECASE,
)


def _title_line(head: str) -> Span | None:
    """The first line that names a kind of contract and whose longer words all begin with a capital."""
    for match in _LINE.finditer(head):
        line = match.group().strip(" \t#*_")
        words = [word for word in re.findall(r"[^\W\d_]+", line) if len(word) > 3]
        if (
            len(line) <= _LONGEST_TITLE
            and _KIND.search(line)
            and line[-1] not in ".;,:"
            and all(w[0].isupper() for w in words)
        ):
            start = match.start() + match.group().index(line)
            return start, start + len(line)
    return None


def title(text: str) -> Span | None:
    """The title, verbatim: a line or run of capitals that names a kind of contract, else the first contract named."""
    head = text[:HEAD]
    spans = [span for span in (_title_line(head), *(m.span() for m in [_CAPITALS.search(head)] if m)) if span]
    if spans:
        return min(spans)
    named = _NAMED.search(head)
    return named.span(1) if named else None


def parties(text: str) -> Span | None:
    """The passage of the head that says between whom the contract is: one that names legal persons and defines them."""
    best: tuple[int, Span] | None = None
    for start, end in passages(text):
        if start >= HEAD:
            break
        piece = text[start:end]
        forms, names = len(_LEGAL_FORM.findall(piece)), len(_DEFINED.findall(piece))
        between = _BETWEEN.search(piece) is not None
        rank = 2 * between + min(forms, 2) + min(names, 2)
        if (between or forms + names >= 2) and rank >= 2 and (best is None or rank > best[0]):
            best = (rank, (start, end))
    return best[1] if best else None


STRUCTURAL: dict[str, Callable[[str], Span | None]] = {"document_name": title, "parties": parties}
"""Families found by form alone, by their keys."""
