"""`limits`: what is set for whom, in words and JSON; wrong ones refused before anything is asked."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from helpers.terminal import Run, terminal

from countersign.admission.limits import LimitBook, LimitChange
from countersign.trail.pseudonym import Pseudonyms

PSEUDONYMS = Pseudonyms(b"k" * 32)
BY = ("--by", "Olga", "--reason", "busy week")


@dataclass
class Table:
    """The two tables in memory, and the part of a database that a `LimitBook` asks of them."""

    limits: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[LimitChange] = field(default_factory=list)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Table"]:
        yield self

    async def fetch(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        if "FROM limits" in sql:
            return [{"scope": scope, "fields": fields} for scope, fields in self.limits.items()]
        scope, limit = args
        rows = [row for row in reversed(self.changes) if scope in {None, row.scope}]
        return [row.model_dump() for row in rows[:limit]]

    async def execute(self, sql: str, *args: Any) -> None:
        match sql.split()[:3]:
            case ["INSERT", "INTO", "limits"]:
                self.limits[args[0]] = args[1]
            case ["DELETE", "FROM", "limits"]:
                del self.limits[args[0]]
            case ["INSERT", "INTO", "limit_changes"]:
                names = ("scope", "before", "after", "by_hash", "reason")
                self.changes.append(
                    LimitChange(**dict(zip(names, args, strict=True)), changed_at=datetime(2026, 3, 4, tzinfo=UTC))
                )


@dataclass
class World:
    """What the command reaches: a client with its services."""

    table: Table = field(default_factory=Table)
    pseudonyms: Pseudonyms = PSEUDONYMS

    @property
    def limits(self) -> LimitBook:
        return LimitBook(self.table)  # type: ignore[arg-type]  # all of a database that it uses

    async def services(self) -> "World":
        return self

    async def knows_tenant(self, tenant: str) -> bool:
        return tenant == "acme"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world: World) -> Run:
    return terminal(world, "limits")


def test_what_is_set_is_shown_with_whom_it_was_set_for(run: Run, world: World) -> None:
    assert run("set", "user_per_hour=50", "room=2000000", *BY).exit_code == 2  # out of range: nothing of it is set
    assert world.table.limits == {}
    assert run("set", "user_per_hour=50", "weight=2.5", *BY).exit_code == 0
    changed = run("set", "user_per_hour=20", "--tenant", "acme", "--user", "Ana", *BY, "--json")
    rows = {row["name"]: (row["value"], row["set_for"]) for row in json.loads(changed.output)}
    assert rows["user_per_hour"] == (20, "user")
    assert rows["weight"] == (2.5, "everyone")
    assert rows["attention"] == (200, "default")
    assert set(world.table.limits) == {"", f"acme/{PSEUDONYMS.of('user', 'Ana')}"}
    lines = {line.split()[0]: line.split()[1:] for line in run("show", "--tenant", "acme").output.splitlines()}
    assert lines["user_per_hour"] == ["50", "everyone"]
    assert lines["cooldown_cap_s"] == ["86400", "default"]


def test_a_reset_takes_back_what_is_named_or_all(run: Run, world: World) -> None:
    run("set", "user_per_hour=50", "attention=7", "--tenant", "acme", *BY)
    assert run("reset", "attention", "--tenant", "acme", *BY).exit_code == 0
    assert world.table.limits == {"acme": {"user_per_hour": 50}}
    assert run("reset", "--tenant", "acme", *BY).exit_code == 0
    assert world.table.limits == {}


def test_the_history_says_who_and_why_without_a_name(run: Run) -> None:
    assert "No limit was ever changed" in run("history").output
    run("set", "user_per_hour=50", *BY)
    run("reset", *BY)
    shown = run("history").output
    assert "busy week" in shown
    assert "user_per_hour=50" in shown
    assert "Olga" not in shown
    rows = json.loads(run("history", "--json", "--limit", "1").output)
    assert [(row["before"], row["after"]) for row in rows] == [({"user_per_hour": 50}, None)]
    assert rows[0]["by_hash"] == PSEUDONYMS.of("user", "Olga")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nonsense",), "limits: one of them is not NAME=VALUE"),
        (("=5",), "limits: one of them is not NAME=VALUE"),
        (("user_per_hour=",), "limits: one of them is not NAME=VALUE"),
        (("user_per_huor=5",), "limits: one of the names is no limit's"),
        (("user_per_hour=-1",), "user_per_hour: -1 is not a whole number from 1 to 1,000,000"),
        (("user_per_hour=1.5",), "user_per_hour: 1.5 is not a whole number from 1 to 1,000,000"),
        (("cooldown_s=0",), "cooldown_s: 0 is not a number above 0 and up to 604,800"),
        (("weight=1000",), "weight: 1000 is not a number from 0.01 to 100"),
        (("room=Zanzibar",), "room: what was given is not a whole number from 1 to 1,000,000"),
        (("room=5", "--tenant", "acme"), "room: is a limit of the whole house"),
        (("weight=5", "--tenant", "acme", "--user", "Ana"), "weight: is a limit of a tenant"),
        (("user_per_hour=5", "--user", "Ana"), "user: has limits only within a tenant"),
        (("user_per_hour=5", "--tenant", "Acme Ltd"), "tenant: is no tenant's name"),
    ],
)
def test_what_cannot_be_set_is_refused(run: Run, world: World, arguments: tuple[str, ...], named: str) -> None:
    refused = run("set", *arguments, *BY)
    assert refused.exit_code == 2
    assert named in refused.output
    assert "Ana" not in refused.output
    assert world.table.changes == []


@pytest.mark.parametrize(
    "record", [("--by", "Olga"), ("--reason", "x"), ("--by", " ", "--reason", "x"), ("--by", "x", "--reason", " ")]
)
def test_nobody_changes_a_limit_without_name_and_reason(run: Run, world: World, record: tuple[str, ...]) -> None:
    assert run("set", "user_per_hour=5", *record).exit_code == 2
    assert run("reset", *record).exit_code == 2
    assert world.table.changes == []


def test_a_limit_given_twice_is_refused_and_a_new_tenant_is_noted(run: Run, world: World) -> None:
    twice = run("set", "user_per_hour=1", "user_per_hour=2", *BY)
    assert twice.exit_code == 2
    assert "given twice" in twice.stderr
    assert world.table.limits == {}
    assert "tenant zz has no review yet" in run("set", "user_per_hour=1", "--tenant", "zz", *BY).stderr
    assert run("set", "user_per_hour=1", "--tenant", "acme", *BY).stderr == ""
