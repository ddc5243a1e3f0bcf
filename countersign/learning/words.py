"""A person's words about a finding, as far as they may go into a prompt: bounded, and not at all when suspicious."""

from countersign.learning.lesson import WORDS_CHARS, Kind, Lesson
from countersign.words import ELEVATED_FROM


def words_for_prompt(lesson: Lesson) -> tuple[str, str]:
    """(change, note): in the person's words where the sentinel finds nothing in them, else in ours and without note."""
    if lesson.risk >= ELEVATED_FROM:
        return plain_words(lesson), ""
    return _bounded(lesson.change), _bounded(lesson.note)


def plain_words(lesson: Lesson) -> str:
    """The change in words of our own: "severity high -> low", "added high"."""
    match lesson.kind:
        case Kind.SEVERITY:
            return f"severity {lesson.before} -> {lesson.after}"
        case Kind.ADDED:
            return f"added {lesson.after}"
        case None:
            return "changed"
        case other:
            return str(other)


def _bounded(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= WORDS_CHARS else plain[: WORDS_CHARS - 1].rstrip() + "…"
