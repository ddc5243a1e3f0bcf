"""What commands say: where a batch stands, until when somebody is away, whom an empty answer is about."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from countersign.batch.payloads import BatchStanding, BatchState
from countersign.errors import ServiceUnavailable
from countersign.playbook.load import governed
from countersign.settings import Settings
from starters.cli.batch_render import stands_at, wrong_table
from starters.cli.demo import next_lines
from starters.cli.main import cli
from starters.cli.people import end_of_absence
from starters.client import ReviewClient
from starters.refusals import nobody_answers
from workers.pollers import require_polling

PLAYBOOKS = Path(__file__).parents[1] / "playbooks"


def view(waiting: int, **fields: Any) -> Any:  # what `stands_at` reads of a BatchView
    standing = BatchStanding(tenant="acme", batch_id="b1", items=6, **fields)
    return SimpleNamespace(standing=standing, waiting=waiting)


def test_a_batch_whose_items_wait_for_people_is_analysed_and_not_done() -> None:
    ended = {"failed": 1, "waiting": 5}
    assert stands_at(view(5, state=BatchState.DONE, ended=ended)) == "analysed: 5 wait for a person, 1 failed"
    assert stands_at(view(0, state=BatchState.DONE, ended=ended)) == "done"
    assert stands_at(view(5, state=BatchState.RUNNING, ended=ended)) == "running"


def test_what_failed_in_a_batch_is_named_with_its_reason() -> None:
    item: Any = SimpleNamespace(name="a.pdf", review_id="b1-00001", ended="failed", message="no text", failure="")
    console = Console(record=True, width=120)
    console.print(*wrong_table([item], 21, "the report"))
    shown = console.export_text()
    assert all(word in shown for word in ("a.pdf", "b1-00001", "no text", "and 1 more: see the report"))
    assert wrong_table([], 0, "the report") == []


def test_a_date_alone_is_a_day_of_absence() -> None:
    assert end_of_absence("2026-12-24") == (datetime(2026, 12, 25, tzinfo=UTC), "the end of 2026-12-24 (UTC)")
    end, said = end_of_absence("2026-12-24T18:00+01:00")
    assert (end, said) == (datetime(2026, 12, 24, 17, tzinfo=UTC), "2026-12-24 17:00 UTC")


@pytest.mark.parametrize(("name", "is_governed"), [("grouped", True), ("undoable", True), ("strict", False)])
def test_a_playbook_says_whether_changes_of_people_concern_its_reviews(name: str, is_governed: bool) -> None:
    assert governed(PLAYBOOKS, name) is is_governed


def test_a_review_whose_playbook_cannot_be_read_is_concerned() -> None:
    assert governed(PLAYBOOKS, "gone")
    assert governed(PLAYBOOKS, None)


@pytest.mark.parametrize(
    ("all_concerned", "tenant_governs", "concerned"),
    [(False, False, ["w1"]), (True, False, ["w1", "w2"]), (False, True, ["w1", "w2"])],
)
async def test_only_reviews_that_a_change_concerns_are_told(
    monkeypatch: pytest.MonkeyPatch, all_concerned: bool, tenant_governs: bool, concerned: list[str]
) -> None:
    told: list[str] = []

    async def signal(name: str, **_: Any) -> None:
        told.append(name)

    async def services(_: Any) -> Any:
        under_way, governs = (("w1", "grouped"), ("w2", "strict")), tenant_governs
        return SimpleNamespace(reviews=_Answers(under_way=under_way), people=_Answers(governs=governs))

    async def temporal(_: Any) -> Any:
        def handle(workflow_id: str) -> Any:
            asked.append(workflow_id)
            return SimpleNamespace(signal=signal)

        return SimpleNamespace(get_workflow_handle=handle)

    asked: list[str] = []
    monkeypatch.setattr(ReviewClient, "services", services)
    monkeypatch.setattr(ReviewClient, "temporal", temporal)
    async with ReviewClient.open(Settings(playbooks=PLAYBOOKS)) as client:
        assert await client.reconsider_signing("acme", all_concerned=all_concerned) == (len(concerned), 0)
    assert asked == concerned
    assert told == ["reconsider_signing"] * len(concerned)


class _Answers:
    """Coroutines by name, each with its one answer."""

    def __init__(self, **answers: Any) -> None:
        for name, value in answers.items():
            setattr(self, name, self._answering(value))

    @staticmethod
    def _answering(value: Any) -> Any:
        async def answer(*_: Any) -> Any:
            return value

        return answer


async def test_a_worker_polls_when_its_own_process_does() -> None:
    class Service:
        async def describe_task_queue(self, request: Any, **_: Any) -> Any:
            assert request.namespace == "ns"
            polled = {"reviews": "12@host", "agents": "123@host"}
            return SimpleNamespace(pollers=[SimpleNamespace(identity=polled[request.task_queue.name])])

    client: Any = SimpleNamespace(workflow_service=Service(), namespace="ns")
    await require_polling(client, ["reviews"], 12)
    with pytest.raises(ServiceUnavailable, match="does not poll agents yet"):
        await require_polling(client, ["reviews", "agents"], 12)


def test_a_refusal_without_a_worker_says_that_one_may_be_starting() -> None:
    assert "just starting needs a few seconds: try again" in nobody_answers("r-1", "it waits").remedy


def test_what_the_demo_tells_to_do_next_names_its_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/countersign"])
    monkeypatch.setenv("PATH", "")
    lines = next_lines("r-1")
    assert ".venv/bin/countersign trail r-1 --tenant demo" in lines
    assert all("--tenant demo" in line for line in lines[:-1])


def run(*arguments: str, **services: Any) -> Result:
    async def answer() -> Any:
        return SimpleNamespace(**services)

    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def client(settings: Settings) -> Any:
        yield SimpleNamespace(settings=settings, services=answer)

    return CliRunner().invoke(cli, arguments, obj=client)


def test_an_empty_answer_names_the_tenant_that_it_is_about() -> None:
    effects = _Answers(obligations=(), notices=())
    assert run("effects", "obligations", effects=effects).output == "The register is empty (all tenants).\n"
    assert "(tenant demo)" in run("effects", "outbox", "--tenant", "demo", effects=effects).output
    assert run("absence", "list", people=_Answers(absences=())).output == "Nobody is away (tenant default).\n"


def test_a_key_is_written_with_its_public_half_or_not_at_all(tmp_path: Path) -> None:
    private, public = tmp_path / "bob.pem", tmp_path / "bob.pub"
    make = ("keys", "signing", "make", str(private), "--public", str(public))
    assert run(*make).exit_code == 0
    kept = public.read_text()
    assert kept.startswith("-----BEGIN PUBLIC KEY-----")
    again = run(*make)
    assert again.exit_code == 2
    assert f"signing key {private}: the file exists" in again.output
    private.unlink()
    refused = run(*make)
    assert f"public key {public}: the file exists" in refused.output
    assert not private.exists()
    assert public.read_text() == kept
