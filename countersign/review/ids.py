"""Ids of reviews and of their workflows."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def base32(value: int, digits: int) -> str:
    """`value` as lower-case base32 without i, l, o, u; strings of equal length sort as their numbers do."""
    return "".join(_ALPHABET[(value >> (5 * place)) & 31] for place in reversed(range(digits)))


def new_review_id(now_ms: int | None = None) -> str:
    """A short id that sorts by time: 9 characters of milliseconds (good until the year 3084), 5 of chance."""
    moment = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return base32(moment, 9) + base32(secrets.randbits(25), 5)


def workflow_id_of(tenant: str, review_id: str) -> str:
    """The one workflow of a review."""
    return f"review-{tenant}-{review_id}"
