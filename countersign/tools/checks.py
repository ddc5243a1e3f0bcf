"""Dates, periods and numbers, checked by arithmetic instead of by a model. Pure.

A model reads "at least one hundred eighty (80) days before the end of the term" and may not notice; these do.
"""

import calendar
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any


def _words(words: str) -> list[str]:
    return words.split()


_ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
_VALUES = {word: value for value, word in enumerate(_ONES)} | {word: 10 * (i + 2) for i, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_NUMBER_WORD = "|".join(sorted((*_VALUES, *_SCALES), key=len, reverse=True))
_SAID_TWICE = re.compile(
    rf"\b((?:{_NUMBER_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_NUMBER_WORD}))*)"
    r"(?:\s+(?:percent|per\s+cent|dollars?|euros?|pounds?))?\s*\(\s*([A-Z$€£]{0,4}\s?)([\d][\d,.]*\d|\d)\s*%?\s*\)",
    re.IGNORECASE,
)
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_LONG_DATE = re.compile(
    rf"\b(?:({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?|(\d{{1,2}})(?:st|nd|rd|th)?\s+({_MONTH})\.?,?)\s+(\d{{4}})\b",
    re.I,
)
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_PERIOD = re.compile(
    rf"\b(?:(\d+)|((?:{_NUMBER_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_NUMBER_WORD}))*))(?:\s*\(\s*(\d+)\s*\))?"
    r"[\s-]+(?:(?:business|calendar|working|consecutive)\s+)?(day|week|month|year)s?\b",
    re.IGNORECASE,
)


def number_of(words: str) -> int | None:
    """The value of a number in English words ("one hundred and eighty"), or None for what is none."""
    total = current = 0
    seen = False
    for word in re.split(r"[\s-]+", words.strip().lower()):
        if word == "and" and seen:
            continue
        if word in _VALUES:
            current += _VALUES[word]
        elif word == "hundred":
            current = max(current, 1) * 100
        elif word in _SCALES:
            total += max(current, 1) * _SCALES[word]
            current = 0
        else:
            return None
        seen = True
    return total + current if seen else None


def check_numbers(text: str) -> Mapping[str, Any]:
    """Numbers that a passage gives twice, in words and in figures, and whether the two agree."""
    pairs = []
    for match in _SAID_TWICE.finditer(text):
        in_words, figures = number_of(match.group(1)), float(match.group(3).replace(",", ""))
        if in_words is not None:
            said = " ".join(match.group().split())
            pairs.append({"said": said, "in_words": in_words, "in_figures": figures, "agree": in_words == figures})
    return {"checked": len(pairs), "agree": all(pair["agree"] for pair in pairs), "numbers": pairs[:10]}


def dates_in(text: str) -> tuple[date | str, ...]:
    """The dates of a passage in their order; one that no calendar has as the text that names it."""
    found: list[tuple[int, date | str]] = []
    for match in _LONG_DATE.finditer(text):
        month, day = match.group(1) or match.group(4), match.group(2) or match.group(3)
        found.append((match.start(), _date(int(match.group(5)), _MONTHS[month.lower()], int(day), match.group())))
    for match in _ISO_DATE.finditer(text):
        year, month_number, day_number = (int(part) for part in match.groups())
        found.append((match.start(), _date(year, month_number, day_number, match.group())))
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def _date(year: int, month: int, day: int, said: str) -> date | str:
    try:
        return date(year, month, day)
    except ValueError:
        return " ".join(said.split())


def period_in(text: str) -> tuple[int, str] | None:
    """The first period of a passage as (count, unit), unit one of day, week, month and year; None without one."""
    match = _PERIOD.search(text)
    if match is None:
        return None
    count = int(match.group(1) or match.group(3) or 0) or number_of(match.group(2) or "")
    return (count, match.group(4).lower()) if count else None


def shifted(start: date, count: int, unit: str) -> date:
    """`start` and a period later (or, with a negative count, earlier); a month later is the last day at most.

    Raises OverflowError or ValueError beyond the calendar.
    """
    if unit in {"day", "week"}:
        return start + timedelta(days=count * (7 if unit == "week" else 1))
    months = start.month - 1 + count * (12 if unit == "year" else 1)
    year, month = start.year + months // 12, months % 12 + 1
    return date(year, month, min(start.day, calendar.monthrange(year, month)[1]))


def check_dates(text: str, today: date, *, start: date | None = None, before: bool = False) -> Mapping[str, Any]:
    """The dates and the first period of a passage: which are no dates, in which order they stand, and where they lead.

    `start` is what the period counts from (by default the first date); `before` counts backwards, as a notice before
    the end of a term does. `deadline` is where the period leads, None when there is nothing to count.
    """
    found = dates_in(text)
    real = [one for one in found if isinstance(one, date)]
    period = period_in(text)
    origin = start or (real[0] if real else None)
    deadline: date | None = None
    if origin is not None and period is not None:
        try:
            deadline = shifted(origin, -period[0] if before else period[0], period[1])
        except (OverflowError, ValueError):
            deadline = None
    return {
        "dates": [one.isoformat() for one in real][:10],
        "impossible": [one for one in found if isinstance(one, str)][:10],
        "in_order": real == sorted(real),
        "past": [one.isoformat() for one in real if one < today][:10],
        "period": f"{period[0]} {period[1]}{'s' if period[0] != 1 else ''}" if period else None,
        "deadline": deadline.isoformat() if deadline else None,
        "days_left": (deadline - today).days if deadline else None,
    }
