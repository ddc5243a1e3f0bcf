"""Whether two names mean one person. Pure."""

from collections.abc import Iterable

from countersign.sentinel.normalise import fold


def same_person(one: str, other: str) -> bool:
    """Whether two names mean the same person, whatever their case, blanks, look-alike letters or hidden characters.

    Names are not authenticated here (a gateway does that); this only keeps a spelling from passing for somebody else.
    """
    return plain_person(one) == plain_person(other)


def is_among(person: str, names: Iterable[str]) -> bool:
    """Whether one of the names means this person."""
    return any(same_person(person, name) for name in names)


def plain_person(name: str) -> str:
    """The name as it is compared."""
    return "".join(fold(name).text.casefold().split())
