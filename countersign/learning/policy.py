"""Which corrections are in force: quorum, contradiction, supersession, expiry and withdrawal. Pure.

A correction that makes a finding graver costs people time; one that makes it milder can hide a risk. So the first is in
force at once, and the second when enough different people stand behind it. Nobody changes the severity of anything by
setting a correction against another one: both then rest, and the machine does what it did without either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from countersign.learning.lesson import Kind, Lesson
from countersign.learning.likeness import Likeness
from countersign.playbook.model import Learning
from countersign.words import ELEVATED_FROM, Position, Severity


class State(StrEnum):
    """What a correction is worth now."""

    IN_FORCE = "in force"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"
    ERASED = "erased"


@dataclass(frozen=True)
class Standing:
    """A correction, what it is worth now, why, and which others say the opposite."""

    lesson: Lesson
    state: State
    why: str = ""
    against: tuple[int, ...] = ()


def judged(lessons: Sequence[Lesson], policy: Learning, now: datetime) -> tuple[Standing, ...]:
    """Every correction under one playbook of a tenant as it stands at `now`, in the order given.

    - Withdrawn and expired ones count for nothing, nor do those whose contract was erased: nobody can tell any more
      which clauses are like theirs.
    - A milder one waits until as many people, and as many reviews, stand behind it as the playbook asks for at the
      severity it would take away. Who made it, who signed the same analysis, who confirmed it, and who made or signed
      another that goes as far on the same clause, count once each. Suspicious words cost one person more. A critical
      finding is never taken away.
    - Two in force that pull the same clause in opposite directions are both suspended.
    - Of those in force that start from the same severity and pull in one direction, the newest counts.
    """
    words = Likeness()
    standing = {lesson.correction_id: _alone(lesson, policy, now) for lesson in lessons}
    alive = [lesson for lesson in lessons if standing[lesson.correction_id] is None]
    for lesson in alive:
        missing = _missing(lesson, alive, policy, words)
        if missing:
            standing[lesson.correction_id] = Standing(lesson, State.WAITING, missing)
    in_force = [lesson for lesson in alive if standing[lesson.correction_id] is None]
    for lesson in in_force:
        against = tuple(
            other.correction_id
            for other in in_force
            if other.direction * lesson.direction < 0 and same_subject(lesson, other, words)
        )
        if against:
            named = ", ".join(str(number) for number in against)
            standing[lesson.correction_id] = Standing(lesson, State.SUSPENDED, f"says the opposite of {named}", against)
    left = [lesson for lesson in in_force if standing[lesson.correction_id] is None]
    for lesson in left:
        newer = [
            other.correction_id
            for other in left
            if other.correction_id > lesson.correction_id
            and (other.before, other.direction) == (lesson.before, lesson.direction)
            and lesson.direction != 0
            and same_subject(lesson, other, words)
        ]
        standing[lesson.correction_id] = (
            Standing(lesson, State.SUPERSEDED, f"{max(newer)} is newer") if newer else Standing(lesson, State.IN_FORCE)
        )
    return tuple(found for lesson in lessons if (found := standing[lesson.correction_id]) is not None)


def disputed(standings: Sequence[Standing]) -> tuple[str, ...]:
    """One line for each clause that people have corrected in opposite directions, for the reviewer."""
    by_clause: dict[str, set[int]] = {}
    for standing in standings:
        if standing.state is State.SUSPENDED:
            by_clause.setdefault(standing.lesson.clause, set()).update({standing.lesson.correction_id})
    return tuple(
        f"corrections {', '.join(map(str, sorted(numbers)))} on {clause} (suspended: they contradict each other)"
        for clause, numbers in sorted(by_clause.items())
    )


def same_subject(one: Lesson, other: Lesson, words: Likeness) -> bool:
    """Whether two corrections are about the same clause at the same position, in like words."""
    open_positions = (None, Position.UNCLEAR)
    same_position = one.position == other.position or one.position in open_positions or other.position in open_positions
    return one.clause == other.clause and same_position and words.same(one.quotes, other.quotes)


def _alone(lesson: Lesson, policy: Learning, now: datetime) -> Standing | None:
    """What a correction is worth without regard to the others; None when that depends on them."""
    if lesson.kind is None:
        return Standing(lesson, State.UNKNOWN, "was made by an older version, which did not keep what it changed")
    if lesson.withdrawn:
        return Standing(lesson, State.WITHDRAWN)
    if lesson.erased:
        return Standing(lesson, State.ERASED, "the contract that it was made on was erased")
    if now >= lesson.renewed_at + timedelta(days=policy.expire_days):
        return Standing(lesson, State.EXPIRED, f"nobody confirmed it for {policy.expire_days} days")
    return None


def _missing(lesson: Lesson, alive: Sequence[Lesson], policy: Learning, words: Likeness) -> str:
    """What a correction still wants before it is in force, in words; empty when nothing."""
    if lesson.direction >= 0 or lesson.before is None:
        return ""
    if lesson.kind is Kind.REMOVED and lesson.before is Severity.CRITICAL:
        return "a critical finding is never taken away by a correction"
    behind = [other for other in alive if other is lesson or _goes_as_far(other, lesson, words)]
    people = {person for other in behind for person in (other.by_hash, *other.signed_by, *other.confirmed_by)}
    reviews = {other.workflow_id for other in behind}
    wanted = policy.people.at(lesson.before) + (lesson.risk >= ELEVATED_FROM)
    lacking = [
        f"{more} more {what}"
        for more, what in (
            (wanted - len(people), "people" if wanted - len(people) > 1 else "person"),
            (policy.reviews.at(lesson.before) - len(reviews), "review(s)"),
        )
        if more > 0
    ]
    return f"wants {' and '.join(lacking)} to take a {lesson.before} finding down" if lacking else ""


def _goes_as_far(other: Lesson, lesson: Lesson, words: Likeness) -> bool:
    """Whether who stands behind `other` stands behind `lesson` too: it takes as grave a finding as far down."""
    if other.direction >= 0 or other.before is None or lesson.before is None:
        return False
    return (
        other.before.rank >= lesson.before.rank
        and _floor(other) <= _floor(lesson)
        and same_subject(lesson, other, words)
    )


def _floor(lesson: Lesson) -> int:
    """Rank of the severity a milder correction leaves; taken away is below all."""
    return -1 if lesson.kind is Kind.REMOVED or lesson.after is None else lesson.after.rank
