"""The text of keys, and what the book does about Postgres: asks once, not for made-up keys, and not for long."""

import asyncio
import re
from typing import Any

import pytest
from helpers.store import PSEUDONYMS, VAULT
from hypothesis import given
from hypothesis import strategies as st

from countersign.access import keys
from countersign.access.keys import CACHE_KEYS, CACHE_S, KEY_PATTERN, KeyBook, KeyText
from countersign.errors import ServiceUnavailable

ID = "k7f3m2p9q4x8"
SECRET = "Ab3" + 40 * "x"
TEXT = KeyText(VAULT.derive("api key check"))
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_- \n\u00e9"


class Table:
    """A table that counts who asks; `answer` is what it says, an error what it raises."""

    def __init__(self, answer: Any = None) -> None:
        self.asked = 0
        self.answer = answer
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetchrow(self, sql: str, key_id: str) -> Any:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def book(table: Table, clock: Clock | None = None) -> KeyBook:
    return KeyBook(table, VAULT, PSEUDONYMS, clock=clock or Clock())  # type: ignore[arg-type]


def test_a_key_is_read_as_it_was_written() -> None:
    text = TEXT.write(ID, SECRET)
    assert TEXT.read(text) == (ID, SECRET)
    assert re.fullmatch(KEY_PATTERN, text)


@given(st.integers(0, 200), st.sampled_from(DIGITS))
def test_every_single_typo_is_told_apart(place: int, digit: str) -> None:
    text = TEXT.write(ID, SECRET)
    place %= len(text)
    wrong = text[:place] + digit + text[place + 1 :]
    assert (TEXT.read(wrong) is None) == (wrong != text)


@given(st.text(max_size=100))
def test_any_text_at_all_is_no_key(text: str) -> None:
    assert TEXT.read(text) is None
    assert TEXT.read(f"cs_{text}") is None


def test_the_check_digits_are_this_houses() -> None:
    assert KeyText(b"another key" * 3).read(TEXT.write(ID, SECRET)) is None


async def test_made_up_keys_never_reach_the_table() -> None:
    table = Table()
    theirs = KeyText(b"an attacker's guess at it")
    for number in range(300):
        assert await book(table).authenticate(theirs.write(ID, f"{number:043}")) is None
    assert table.asked == 0


async def test_the_table_is_asked_once_for_many_and_again_only_after_the_cache_time() -> None:
    table, clock = Table(), Clock()
    keys_of = book(table, clock)
    table.gate.clear()
    crowd = [asyncio.create_task(keys_of.authenticate(TEXT.write(ID, SECRET))) for _ in range(50)]
    await asyncio.sleep(0)
    crowd[0].cancel()  # the first one, for whom the question was put
    table.gate.set()
    assert await asyncio.gather(*crowd[1:]) == [None] * 49
    assert table.asked == 1
    clock.now += CACHE_S - 0.01
    await keys_of.authenticate(TEXT.write(ID, SECRET))
    assert table.asked == 1
    clock.now += 0.02
    await keys_of.authenticate(TEXT.write(ID, SECRET))
    assert table.asked == 2


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CACHE_KEYS == 10_000
    monkeypatch.setattr(keys, "CACHE_KEYS", 10)
    table = Table()
    keys_of = book(table)
    texts = [TEXT.write(f"{number:012}", SECRET) for number in range(11)]
    for text in [*texts, texts[10], texts[1]]:
        await keys_of.authenticate(text)
    assert table.asked == 11
    await keys_of.authenticate(texts[0])  # the one that had to go
    assert table.asked == 12
    await keys_of.authenticate(texts[1])  # asked for lately, so it stayed
    assert table.asked == 12


async def test_an_absent_postgres_is_told_apart_from_a_wrong_key_and_asked_again() -> None:
    table = Table(ServiceUnavailable("PostgreSQL does not answer"))
    keys_of = book(table)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await keys_of.authenticate(TEXT.write(ID, SECRET))
    assert table.asked == 2


async def test_a_silent_postgres_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOKUP_S", 0.01)
    table = Table()
    table.gate.clear()
    with pytest.raises(ServiceUnavailable) as away:
        await book(table).authenticate(TEXT.write(ID, SECRET))
    assert SECRET not in str(away.value)
