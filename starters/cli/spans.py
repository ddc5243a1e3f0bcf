"""Lengths of time as people write them."""

import re
from datetime import timedelta

from countersign.errors import InvalidRequest

_SPAN = re.compile(r"(\d{1,5})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_span(option: str, text: str) -> timedelta:
    """A length of time: 30m, 24h, 90d, 12w. Raises InvalidRequest that names the option."""
    span = _SPAN.fullmatch(text.strip())
    if span is None:
        raise InvalidRequest(f"{option}: {text[:40]!r} is no length of time", remedy="Write for example 24h or 90d")
    return timedelta(**{_UNITS[span[2]]: int(span[1])})
