"""`corrections`: what was taught, what it is worth and why; taken back and confirmed in somebody's name."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from helpers.learning import lesson
from helpers.terminal import Run, terminal

from countersign.errors import NotFound
from countersign.learning.lesson import Event, Happened, Lesson
from countersign.learning.policy import Standing, judged
from countersign.playbook.model import Learning
from countersign.review.payloads import AnalysisResult, Evidence, Finding
from countersign.settings import Settings
from countersign.words import Severity
from starters.cli.render import analysis_panel, console

BY = ("--by", "Olga", "--reason", "a slip")


@dataclass
class Book:
    """What the command asks of a `CorrectionBook`, in memory."""

    kept: list[Lesson] = field(default_factory=list)

    async def lessons(self, tenant: str | None = None, **cell: Any) -> tuple[Lesson, ...]:
        return tuple(
            one
            for one in reversed(self.kept)
            if tenant in (None, one.tenant) and cell.get("playbook") in (None, one.playbook)
        )

    async def standings(self, tenant: str, playbook: str, *, policy: Learning, now: datetime) -> tuple[Standing, ...]:
        lessons = await self.lessons(tenant, playbook=playbook)
        return judged([one.model_copy(update={"made_at": now}) for one in lessons], policy, now)

    async def get(self, number: int, tenant: str | None = None) -> Lesson:
        for one in await self.lessons(tenant):
            if one.correction_id == number:
                return one
        raise NotFound(f"correction {number}: there is none")

    async def record(self, number: int, event: Event, *, by: str, reason: str, tenant: str | None) -> Lesson:
        one = await self.get(number, tenant)
        done = Happened(event=event, by_hash=f"hash of {by}", reason=reason, at=one.made_at)
        new = one.model_copy(update={"events": (*one.events, done)})
        self.kept[self.kept.index(one)] = new
        return new


@dataclass
class World:
    """What the command reaches: a client with its services."""

    settings: Settings = field(default_factory=Settings)
    corrections: Book = field(default_factory=Book)

    async def services(self) -> "World":
        return self


@pytest.fixture
def world() -> World:
    book = Book([lesson(16, change="severity high -> low", note="we accept it"), lesson(17, "medium", "low")])
    book.kept.append(lesson(18, "low", "high", tenant="other", clause="law", change="severity low -> high"))
    return World(corrections=book)


@pytest.fixture
def run(world: World) -> Run:
    return terminal(world, "corrections")


def test_the_list_says_what_each_is_worth_and_why(run: Run) -> None:
    rows = json.loads(run("list", "--json").output)
    assert [(row["correction_id"], row["state"]) for row in rows] == [
        (18, "in force"),
        (17, "in force"),
        (16, "waiting"),
    ]
    assert rows[2]["why"] == "wants 1 more person to take a high finding down"
    assert [row["correction_id"] for row in json.loads(run("list", "--tenant", "acme", "--json").output)] == [17, 16]
    assert [row["correction_id"] for row in json.loads(run("list", "--clause", "law", "--json").output)] == [18]
    assert "wants 1 more person" in " ".join(run("list").output.split())
    assert run("list", "--tenant", "none").output.strip() == "No corrections."


def test_one_is_shown_with_the_clause_it_was_made_on(run: Run) -> None:
    shown = " ".join(run("show", "16").output.split())
    for part in ("correction 16", "version 1", "severity high -> low", "we accept it", "five (5) years", "review r16"):
        assert part in shown
    assert run("show", "99").exit_code == 3
    assert run("show", "18", "--tenant", "acme").exit_code == 3


def test_it_is_withdrawn_restored_and_confirmed_by_name(run: Run, world: World) -> None:
    gone = json.loads(run("withdraw", "17", *BY, "--json").output)
    assert (gone["state"], gone["version"], gone["events"][0]["by_hash"]) == ("withdrawn", 2, "hash of Olga")
    assert json.loads(run("restore", "17", *BY, "--json").output)["state"] == "in force"
    confirmed = run("confirm", "16", *BY)
    assert confirmed.exit_code == 0
    assert "in force" in confirmed.output
    assert "a slip" in confirmed.output
    assert [len(one.events) for one in world.corrections.kept] == [1, 2, 0]


@pytest.mark.parametrize("command", ["withdraw", "restore", "confirm"])
@pytest.mark.parametrize("record", [(), ("--by", "x"), ("--by", " ", "--reason", "x"), ("--by", "x", "--reason", " ")])
def test_nobody_does_it_without_name_and_reason(run: Run, world: World, command: str, record: tuple[str, ...]) -> None:
    assert run(command, "17", *record).exit_code == 2
    assert not any(one.events for one in world.corrections.kept)


def test_a_reviewer_sees_which_correction_made_a_finding_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Finding(
        id="F2",
        clause="term",
        severity=Severity.INFO,
        statement="s",
        evidence=(Evidence(quote="q", start=0, end=1, page=1),),
        corrections=(17, 18),
        uncorrected=Severity.MEDIUM,
    )
    milder = quiet.model_copy(
        update={"id": "F1", "severity": Severity.LOW, "statement": "Ten years. (because of correction 17)"}
    )
    analysis = AnalysisResult(summary="", key_findings=(milder, quiet), confidence=0.9, requires_human_review=True)
    console().print(analysis_panel(analysis))
    shown = " ".join(capsys.readouterr().out.split())
    assert "low (was medium)" in shown
    assert "because of correction 17)" in shown
    assert "term (F2, was medium, because of correction 17 and 18)" in shown
