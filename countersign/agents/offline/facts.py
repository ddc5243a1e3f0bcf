"""Numbers, dates and places a clause states, as they stand in it. Pure patterns: nothing is inferred."""

import re

MOST = 5
"""No more facts than this are named in one statement."""

_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|eighteen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|hundred)"
)
_NUMBER = rf"(?:\d+|{_WORD}(?:(?:[\s-]+|\s+and\s+){_WORD})*)"
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DURATION = re.compile(
    rf"\b{_NUMBER}(?:\s*\(\s*\d+\s*\))?[\s-]+(?:(?:business|calendar|working|consecutive)\s+)?"
    r"(?:day|week|month|year)s?\b",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"(?:(?:US|USD|EUR|GBP|CAD|AUD|CHF)\s?\$?|[$€£])\s?\d[\d,.]*\d(?:\s?(?:million|billion))?|[$€£]\s?\d\b",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"\b\d+(?:\.\d+)?\s?(?:%|percent\b|per cent\b)", re.IGNORECASE)
_DATE = re.compile(rf"\b(?:{_MONTH}\s+\d{{1,2}},?\s+\d{{4}}|\d{{1,2}}\s+{_MONTH}\s+\d{{4}}|\d{{4}}-\d{{2}}-\d{{2}})\b")
_CAPITALS = r"(?:[A-Z][A-Za-z]+)(?:\s+(?:of\s+)?(?:the\s+)?[A-Z][A-Za-z]+){0,4}"
_LAW = re.compile(rf"\blaws?\s+(?:and\s+regulations\s+)?(?:of|in\s+force\s+in)\s+(?:the\s+)?({_CAPITALS})")
_COURTS = re.compile(rf"\bcourts?\s+(?:located\s+|sitting\s+)?(?:of|in)\s+(?:the\s+)?({_CAPITALS})")


def facts(clause: str) -> tuple[str, ...]:
    """What the clause states, each fact once: law, courts, amounts, shares, times and dates, in that order."""
    found: list[str] = []
    found += [f"law of {match.group(1)}" for match in _LAW.finditer(clause)]
    found += [f"courts of {match.group(1)}" for match in _COURTS.finditer(clause)]
    for pattern in (_AMOUNT, _PERCENT, _DURATION, _DATE):
        found += [match.group() for match in pattern.finditer(clause)]
    plain = (" ".join(fact.split()) for fact in found)
    unique = {fact.casefold(): fact for fact in reversed(list(plain))}
    return tuple(reversed(unique.values()))[:MOST]
