"""`keys`: what was typed reaches the book, a new key is printed alone, and nothing secret is repeated."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from countersign.access.keys import KeyInfo, NewKey
from countersign.errors import InvalidRequest
from countersign.settings import Settings
from countersign.words import Role
from starters.cli.main import cli
from starters.cli.spans import parse_span

NEW = NewKey("k7f3m2p9q4x8", "cs_k7f3m2p9q4x8_" + "s" * 49)
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
INFO = KeyInfo(
    key_id=NEW.key_id,
    tenant="acme",
    user_hash="p1:" + "a" * 32,
    roles=(Role.REVIEWER, Role.AUDITOR),
    label="\x1b[31mci",
    state="ending",
    created_at=AT,
    expires_at=AT + timedelta(days=90),
    revoked_at=AT + timedelta(days=1),
    rotated_to="k0000000000z",
    last_used_on=AT.date(),
)


class Book:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.by: list[str] = []
        self.is_ready = False

    async def bring_up_to_date(self) -> None:
        """As the services do: a first key may come before the first worker."""
        self.is_ready = True

    async def create(self, *fields: Any, by: str) -> NewKey:
        self.calls.append(("create", *fields))
        self.by.append(by)
        return NEW

    async def list(self, *filters: str | None) -> tuple[KeyInfo, ...]:
        self.calls.append(("list", *filters))
        return (INFO,) if filters == (None, None) else ()

    async def rotate(self, *fields: Any, by: str) -> NewKey:
        self.calls.append(("rotate", *fields))
        self.by.append(by)
        return NEW

    async def revoke(self, key_id: str, *, by: str) -> None:
        self.calls.append(("revoke", key_id))
        self.by.append(by)


class Terminal:
    """Runs `countersign keys …` on a book of its own."""

    def __init__(self) -> None:
        self.book = Book()

    def __call__(self, *arguments: str) -> Result:
        @asynccontextmanager
        async def factory(settings: Settings) -> AsyncIterator[SimpleNamespace]:
            async def services() -> SimpleNamespace:
                return SimpleNamespace(keys=self.book, bring_up_to_date=self.book.bring_up_to_date)

            yield SimpleNamespace(services=services, settings=settings)

        return CliRunner().invoke(cli, ["keys", *arguments], obj=factory)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COUNTERSIGN_USER", "ops")
    return Terminal()


CREATE = ("create", "--tenant", "acme", "--user", "Ann", "--role", "reviewer", "--role", "auditor")


def test_a_new_key_stands_alone_on_stdout(run: Terminal) -> None:
    done = run(*CREATE, "--label", "ci")
    assert (done.exit_code, done.stdout) == (0, NEW.secret_text + "\n")
    assert "shown this once" in done.stderr and NEW.secret_text not in done.stderr
    assert run.book.is_ready
    assert run.book.calls == [("create", "acme", "Ann", [Role.REVIEWER, Role.AUDITOR], "ci", None)]
    assert run.book.by == ["ops"]


def test_an_expiry_is_counted_from_now(run: Terminal) -> None:
    before = datetime.now(UTC)
    shown = json.loads(run(*CREATE, "--expires", "90d", "--json").stdout)
    expires_at = run.book.calls[-1][-1]
    assert before + timedelta(days=90) <= expires_at <= datetime.now(UTC) + timedelta(days=90)
    assert (shown["key_id"], shown["key"]) == (NEW.key_id, NEW.secret_text)
    assert datetime.fromisoformat(shown["expires_at"]) == expires_at


@pytest.mark.parametrize(
    "wrong",
    [
        ("create", "--tenant", "acme", "--user", "Zoe"),
        (*CREATE, "--role", "owner"),
        (*CREATE, "--expires", "soon"),
        (*CREATE, "--expires", "-1d"),
        ("rotate", "k1", "--overlap", "1 day"),
        ("revoke",),
    ],
)
def test_wrong_usage_asks_nothing(run: Terminal, wrong: tuple[str, ...]) -> None:
    done = run(*wrong)
    assert (done.exit_code, done.stdout, run.book.calls) == (2, "", [])
    assert "Zoe" not in done.stderr


def test_a_list_shows_pseudonyms_and_steers_no_terminal(run: Terminal) -> None:
    done = run("list")
    assert done.exit_code == 0 and "\x1b" not in done.stdout
    for shown in (NEW.key_id, "p1:aaaaaaaaaaaa", "reviewer auditor", "ending", "2026-03-05 05:06:07Z", "2026-03-04"):
        assert shown in done.stdout
    assert json.loads(run("list", "--json").stdout)[0]["roles"] == ["reviewer", "auditor"]


def test_a_list_of_one_persons(run: Terminal) -> None:
    done = run("list", "--tenant", "acme", "--user", "Ann")
    assert run.book.calls == [("list", "acme", "Ann")]
    assert "No keys" in done.stdout and "Ann" not in done.stdout


def test_a_rotation_overlaps_a_day(run: Terminal) -> None:
    done = run("rotate", NEW.key_id)
    assert done.stdout == NEW.secret_text + "\n" and "works for another 24h" in done.stderr
    assert run("rotate", NEW.key_id, "--overlap", "0s", "--by", "pat", "--json").exit_code == 0
    assert run.book.calls == [("rotate", NEW.key_id, 86400.0), ("rotate", NEW.key_id, 0.0)]
    assert run.book.by == ["ops", "pat"]


@pytest.mark.parametrize("given", [NEW.key_id, f"cs_{NEW.key_id}", NEW.secret_text, f" {NEW.secret_text} "])
def test_a_key_is_revoked_by_id_or_whole_text_which_is_not_repeated(run: Terminal, given: str) -> None:
    done = run("revoke", given)
    assert (done.exit_code, done.output) == (
        0,
        f"{NEW.key_id}: revoked; running gateways refuse it within 5 s\n",
    )
    assert run.book.calls == [("revoke", NEW.key_id)]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), (" 7d ", 604800), ("2w", 1209600)]
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert parse_span("--overlap", text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "1.5h", "1h30m", "-1h", "999999d", "٣d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^--overlap: "):
        parse_span("--overlap", text)
