"""Which of a playbook's positions a clause takes, judged by the signs that the playbook gives for each."""

import re
from functools import lru_cache

from countersign.playbook.model import Family
from countersign.words import Position

_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "\u00a0": " "})


_UPPER = re.compile(r"(?<!\\)[A-Z]")


def plain(text: str) -> str:
    """The text in lower case on one line, with plain quotes and dashes: what cues and signs are searched in."""
    return " ".join(text.translate(_PLAIN).lower().split())


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern of a cue or sign for plain text; as that is in lower case, most need no case-insensitive search."""
    pattern = pattern.translate(_PLAIN)
    return re.compile(pattern, re.IGNORECASE if _UPPER.search(pattern) else re.NOFLAG)


def judge_position(text_of_clause: str, family: Family) -> tuple[Position, float]:
    """The position the clause takes and how sure the judgement is, in [0, 1].

    The gravest position with a sign decides, save that a fallback's signs are general ones ("30 days", "consent") and
    yield to a preferred one's. A sign of the opposite position makes the judgement less sure, a second sign of the
    same position more. Without any sign the position is unclear, with certainty 0.
    """
    text = plain(text_of_clause)
    counts = {
        position: sum(1 for sign in stance.signs if compiled(sign).search(text))
        for position, stance in (
            (Position.WALK_AWAY, family.walk_away),
            (Position.PREFERRED, family.preferred),
            (Position.FALLBACK, family.fallback),
        )
    }
    for position, count in counts.items():
        if count:
            opposite = Position.PREFERRED if position is Position.WALK_AWAY else Position.WALK_AWAY
            conflict = position is not Position.FALLBACK and counts[opposite] > 0
            sure = 0.7 + 0.1 * min(count - 1, 2) - (0.2 if conflict else 0.0)
            return position, round(sure, 2)
    return Position.UNCLEAR, 0.0
