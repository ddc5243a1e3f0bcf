"""Sessions: what a value opens to and until when, and that signing out reaches every copy of it."""

from typing import Any

import pytest
from helpers.gateway import FakeRedis
from hypothesis import given
from hypothesis import strategies as st

from countersign.access.sessions import IDLE_S, LONGEST_S, MAX_CREDENTIALS, MAX_VALUE, RENEW_S, Sessions
from countersign.errors import InvalidRequest
from countersign.store.vault import Vault

KEY = "cs_0123456789ab_secret"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def sessions(clock: Clock | None = None, redis: FakeRedis | None = None, master: bytes = b"m" * 32) -> Sessions:
    given: Any = redis or FakeRedis()
    return Sessions(Vault(master), given, clock=clock or Clock())


def test_a_value_opens_to_what_was_sealed_and_shows_nothing_of_it() -> None:
    book = sessions()
    session = book.begin(KEY)
    value = book.seal(session)
    assert book.open(value) == session
    assert KEY not in value
    assert KEY not in repr(session)


@given(st.text(max_size=300), st.integers(0, 400))
def test_what_is_not_ours_or_was_changed_opens_to_nothing(noise: str, at: int) -> None:
    book = sessions()
    assert book.open(noise) is None
    value = book.seal(book.begin(KEY))
    place = at % len(value)
    other = "A" if value[place] != "A" else "B"
    changed = value[:place] + other + value[place + 1 :]
    # The last character of base64 may carry bits that count for nothing.
    assert book.open(changed) is None or place == len(value) - 1


def test_another_house_cannot_make_one() -> None:
    theirs = sessions(master=b"n" * 32)
    assert sessions().open(theirs.seal(theirs.begin(KEY))) is None


def test_it_ends_when_idle_and_at_last_whatever_happens() -> None:
    clock = Clock()
    book = sessions(clock)
    session = book.begin(KEY)
    clock.now += RENEW_S - 1
    assert book.renewed(session) is None
    clock.now += 1
    renewed = book.renewed(session)
    assert renewed is not None
    clock.now = renewed.seen + IDLE_S - 1
    assert book.open(book.seal(renewed)) == renewed
    clock.now += 1
    assert book.open(book.seal(renewed)) is None

    clock.now = session.began
    while (step := book.open(book.seal(session))) is not None:
        clock.now += IDLE_S / 2
        session = book.renewed(step) or step
    assert clock.now - session.began >= LONGEST_S
    assert clock.now - session.began < LONGEST_S + IDLE_S


async def test_signing_out_reaches_every_process_and_outlives_redis_here() -> None:
    redis = FakeRedis()
    here, there = sessions(redis=redis), sessions(redis=redis)
    session, other = here.begin(KEY), here.begin(KEY)
    assert not await there.has_ended(session)
    await here.end(session)
    assert await there.has_ended(session)
    assert not await there.has_ended(other)
    redis.is_away = True
    assert await here.has_ended(session)
    assert not await there.has_ended(session)  # it cannot know; the key's own end still counts everywhere
    await there.end(other)
    assert await there.has_ended(other)


def test_a_form_belongs_to_one_session() -> None:
    book = sessions()
    one, other = book.begin(KEY), book.begin(KEY)
    assert book.is_form_token(one, book.form_token(one))
    assert not book.is_form_token(other, book.form_token(one))
    assert not book.is_form_token(one, "")
    assert not book.is_form_token(one, "é")


@pytest.mark.parametrize("credentials", ["x" * (MAX_CREDENTIALS + 1), "schlüssel"])
def test_credentials_that_no_cookie_can_hold(credentials: str) -> None:
    with pytest.raises(InvalidRequest, match="credentials"):
        sessions().begin(credentials)


def test_the_longest_credentials_fit_into_a_cookie() -> None:
    book = sessions()
    value = book.seal(book.begin("x" * MAX_CREDENTIALS))
    assert len(value) <= MAX_VALUE
    assert book.open(value) is not None
