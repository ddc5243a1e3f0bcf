"""What one can do with corrections, for every way in: see what each is worth, take it back or stand behind it."""

from datetime import UTC, datetime

from countersign.errors import InvalidRequest
from countersign.learning.lesson import Event, Lesson
from countersign.learning.policy import Standing, State
from countersign.playbook.load import learning_of
from starters.client import ReviewClient

MAX_REASON = 1_000


async def standings(client: ReviewClient, tenant: str | None, playbook: str | None = None) -> list[Standing]:
    """Corrections as they stand now, newest first, each judged among those of its tenant and playbook."""
    lessons = await (await client.services()).corrections.lessons(tenant, playbook=playbook)
    scopes = dict.fromkeys((lesson.tenant, lesson.playbook) for lesson in lessons)
    found = [standing for scope in scopes for standing in await _of_scope(client, *scope)]
    wanted = {lesson.correction_id for lesson in lessons}
    kept = [standing for standing in found if standing.lesson.correction_id in wanted]
    return sorted(kept, key=lambda standing: -standing.lesson.correction_id)


async def standing(client: ReviewClient, lesson: Lesson) -> Standing:
    """What one correction is worth now."""
    found = await _of_scope(client, lesson.tenant, lesson.playbook)
    rests = Standing(lesson, State.SUPERSEDED, "many newer ones have been made since")
    return next((one for one in found if one.lesson.correction_id == lesson.correction_id), rests)


async def record(  # noqa: PLR0913 - who did what, to which, why
    client: ReviewClient, number: int, event: Event, *, by: str, reason: str, tenant: str | None
) -> Standing:
    """Withdraw, restore or confirm a correction; what it is worth then.

    Raises `InvalidRequest` without a reason, `NotFound`, and `DecisionRefused` as `CorrectionBook.record` does.
    """
    for name, value in (("by", by), ("reason", reason)):
        if not value.strip():
            raise InvalidRequest(f"{name}: is empty", remedy="Say who does it, and why")
    if len(reason.strip()) > MAX_REASON:
        raise InvalidRequest(f"reason: more than {MAX_REASON:,} characters", remedy="Shorten it")
    book = (await client.services()).corrections
    lesson = await book.record(number, event, by=by.strip(), reason=reason.strip(), tenant=tenant)
    return await standing(client, lesson)


async def _of_scope(client: ReviewClient, tenant: str, playbook: str) -> tuple[Standing, ...]:
    policy = learning_of(client.settings.playbooks, playbook)
    book = (await client.services()).corrections
    return await book.standings(tenant, playbook, policy=policy, now=datetime.now(UTC))
