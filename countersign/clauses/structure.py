"""What stands in a contract by its place and form rather than its words: the title and the parties."""

import re
from collections.abc import Callable

from countersign.clauses.passages import passages

HEAD = 8000
"""Title and parties stand in so many characters from the beginning."""
SCORE = 0.95
"""Score of a title or of parties found: near the share of CUAD's contracts in which what is found is right."""

Span = tuple[int, int]

_KIND = (
    r"(?:agreement|contract|addendum|amendment|lease|licen[cs]e|deed|charter|memorandum|undertaking|terms and conditions"
    r"|terms of service|plan|guarantee|policy|letter of intent)"
)
_UPPER_TITLE = re.compile(rf"\b[A-Z][A-Z&/'’()\-]*(?:[ \t,]+(?:[A-Z&/'’()\-]+|\d{{1,2}}))*?[ \t]+{_KIND.upper()}S?\b|\b{_KIND.upper()}\b")
_TITLE_LINE = re.compile(
    rf"^[ \t#*_]*(?P<title>(?:[A-Z0-9(“\"][\w&/'’.\-“”\"()]*,?[ \t]+(?:(?:of|and|for|to|the|on|in|with)[ \t]+)*){{0,14}}{_KIND.capitalize()}s?)\b[ \t*_]*\r?$",
    re.MULTILINE | re.IGNORECASE,
)
_NAMED = re.compile(
    rf"\b[Tt]h(?:is|e)\s+[“\"]?(?P<title>(?:[A-Z][\w&/'’\-]*,?\s+(?:(?:of|and|for|to)\s+)?){{1,10}}(?:{_KIND.replace('(?:', '(?:(?i:', 1)}))\b"
)
_PARTIES = re.compile(
    r"\b(?:between|among|amongst)\b.{3,}?(?:\band\b|&)"
    r"|\b(?:made|entered|executed|granted|issued)\b.{0,80}?\bby\b.{3,300}?(?:\band\b|\bto\b|\bin favou?r of\b)"
    r"|\bby\s+and\s+(?:between|among)\b|\bthe\s+(?:undersigned|parties\s+(?:hereto|to\s+this))\b",
    re.IGNORECASE | re.DOTALL,
)
_DEFINED = re.compile(r"\(\s*(?:the|each|hereinafter|hereafter|collectively|together|as|a|an)?\b[^()]{0,60}[“\"'][^()]{2,60}[”\"'][^()]{0,60}\)")


def title(text: str) -> Span | None:
    """The title, verbatim: a line or run of capitals that names a kind of contract, or the name after "This"."""
    head = text[:HEAD]
    for pattern, group in ((_TITLE_LINE, "title"), (_UPPER_TITLE, 0), (_NAMED, "title")):
        match = pattern.search(head)
        if match:
            return match.span(group)
    return None


def parties(text: str) -> Span | None:
    """The passage of the head that says between whom the contract is, best with names defined in brackets."""
    best: tuple[int, int, Span] | None = None
    for start, end in passages(text):
        if start >= HEAD:
            break
        piece = text[start:end]
        if _PARTIES.search(piece):
            rank = (1 if _DEFINED.search(piece) else 0, -start)
            if best is None or rank > best[:2]:
                best = (*rank, (start, end))
    return best[2] if best else None


STRUCTURAL: dict[str, Callable[[str], Span | None]] = {"document_name": title, "parties": parties}
"""Families found by form alone, by their keys."""
