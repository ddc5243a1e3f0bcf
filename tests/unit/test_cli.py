"""The command line without servers: a fake client stands where `ReviewClient` would."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.model import DocumentText, Page, Section
from countersign.errors import (
    CountersignError,
    DecisionRefused,
    DocumentError,
    InvalidRequest,
    NotFound,
    Overloaded,
    RateLimited,
)
from countersign.ledger.ledger import CostRow
from countersign.review.desk import apply_edits
from countersign.review.payloads import (
    AnalysisResult,
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    DocumentRef,
    Edit,
    Evidence,
    Failure,
    Finding,
    KnowledgeHit,
    ReadReport,
    Receipt,
    ReviewRequest,
    ReviewStatus,
    Screening,
)
from countersign.settings import Settings
from countersign.trail.trail import TrailCheck, TrailRow
from countersign.words import Autonomy, Outcome, RiskBand, Route, Severity, Stage, Verdict
from starters.cli.common import error_document
from starters.cli.edits import parse_edit
from starters.cli.files import read_bounded
from starters.cli.histories import explained
from starters.cli.main import COMMANDS, EXIT_CODES, cli
from starters.cli.records import parse_since
from starters.cli.render import money, printable, shortened, span
from starters.client import Standing, Submission

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TEXT = "The Receiving Party shall keep it secret."
REF = DocumentRef(document_id="doc-1", sha256="a" * 64, media_type="text/plain", size=len(TEXT))
ANALYSIS = AnalysisResult(
    summary="One-sided.",
    key_findings=(
        Finding(
            id="F1",
            clause="confidentiality",
            severity=Severity.HIGH,
            statement="Only we are bound.",
            evidence=(Evidence(quote="shall keep it secret", start=20, end=40, page=1),),
        ),
        Finding(id="F2", clause="term", severity=Severity.LOW, statement="No term.", searched=("1", "2")),
    ),
    confidence=0.7,
    requires_human_review=True,
)


def status_of(review_id: str = "r-1", **fields: Any) -> ReviewStatus:  # any field of ReviewStatus
    return ReviewStatus.model_validate(
        {
            "review_id": review_id,
            "workflow_id": f"review-default-{review_id}",
            "tenant": "default",
            "stage": Stage.SIGN,
            "route": Route.REVIEW,
            "document": REF,
            "read": ReadReport(chars=len(TEXT), pages=1, sections=1, text_sha256="b" * 64),
            "screening": Screening(risk_score=0.1, band=RiskBand.CLEAN),
            "analysis": ANALYSIS,
            "digest": "d" * 64,
            "waiting_for": "reviewer",
            "timings_ms": {"read": 12, "screen": 3},
            **fields,
        }
    )


class FakeClient:
    """What the commands see of `ReviewClient`, answering from memory. `calls` records what was asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.standing = Standing(status_of())
        self.refuse: CountersignError | None = None
        self.receipt = Receipt(review_id="r-1", stage=Stage.DONE, outcome=Outcome.APPROVED)
        self.check = TrailCheck(ok=True, rows=1)
        self.taken: set[str] = set()
        self.ahead = 0
        self.calls: list[tuple[Any, ...]] = []  # whatever a method was given

    async def submit(self, data: bytes, name: str, request: ReviewRequest) -> Submission:
        self.calls.append(("submit", data, Path(name).name, request))
        if self.refuse:
            raise self.refuse
        if data.startswith(b"\x7fELF"):
            raise DocumentError("the file is a program", remedy="Give a contract")
        review_id = request.review_id or f"new-{len(self.calls)}"
        existing = review_id in self.taken
        self.taken.add(review_id)
        workflow_id = f"review-{request.tenant}-{review_id}"
        return Submission(review_id, workflow_id, request.tenant, request.playbook, REF, existing, self.ahead, 90.0)

    async def status(self, tenant: str, review_id: str) -> Standing:
        self.calls.append(("status", tenant, review_id))
        if self.refuse:
            raise self.refuse
        return self.standing

    async def follow(self, tenant: str, review_id: str, *, timeout_s: float | None = None) -> AsyncIterator[Standing]:
        self.calls.append(("follow", tenant, review_id, timeout_s))
        yield Standing(status_of(stage=Stage.READ, waiting_for=None, analysis=None, timings_ms={}))
        yield self.standing

    async def decide(self, tenant: str, review_id: str, decision: Decision) -> Receipt:
        self.calls.append(("decide", tenant, review_id, decision))
        if self.refuse:
            raise self.refuse
        return self.receipt

    async def claim(self, tenant: str, review_id: str, claim: Claim) -> ClaimReceipt:
        self.calls.append(("claim", tenant, review_id, claim))
        until = None if claim.release else NOW
        return ClaimReceipt(review_id=review_id, token=3, until=until)

    async def answer(self, tenant: str, review_id: str, answer: Answer) -> Receipt:
        self.calls.append(("answer", tenant, review_id, answer))
        return Receipt(review_id=review_id, stage=Stage.SIGN)

    async def rows(self, **filters: Any) -> tuple[Any, ...]:  # passed on untouched
        self.calls.append(("rows", filters))
        return ()

    async def document(self, tenant: str, review_id: str) -> tuple[DocumentRef, DocumentText]:
        text = TEXT + "\nÄ\x1b[31m"
        return REF, DocumentText(
            text=text,
            pages=(Page(number=1, start=0, end=len(text)),),
            sections=(Section(label="1", heading="Secrecy", start=0, end=len(text)),),
        )

    async def trail(self, tenant: str, review_id: str) -> tuple[tuple[TrailRow, ...], TrailCheck]:
        row = TrailRow(
            workflow_id=f"review-{tenant}-{review_id}",
            sequence=1,
            tenant=tenant,
            review_id=review_id,
            stage="read",
            event="read",
            user_hash="u",
            input_hash="i",
            actor_hash=None,
            facts={"pages": 1},
            created_at=NOW,
            expires_at=NOW,
            prev_hash="0",
            row_hash="1",
        )
        return (row,), self.check

    async def costs(self, *, tenant: str | None, since: datetime | None) -> tuple[CostRow, ...]:
        self.calls.append(("costs", tenant, since))
        figures = {"requests": 2, "input_tokens": 30, "output_tokens": 4, "cache_read_tokens": 0}
        return tuple(
            CostRow(
                tenant="default",
                agent=agent,
                model="m",
                calls=1,
                failed_calls=0,
                cost_microusd=5,
                unpriced_calls=0,
                **figures,
            )
            for agent in ("intent", "plan")
        )

    async def add_knowledge(self, tenant: str | None, source: str, text: str) -> int:
        self.calls.append(("add_knowledge", tenant, source, text))
        return 1

    async def search_knowledge(self, tenant: str, query: str, limit: int) -> tuple[KnowledgeHit, ...]:
        return (KnowledgeHit(source="guide.md", passage="Keep [red]secrets[/red].", score=0.03),)

    async def knows_tenant(self, tenant: str) -> bool:
        return tenant == "acme"

    async def grant(self, *cell: object, by: str, reason: str) -> None:
        self.calls.append(("grant", *cell, by, reason))


class Terminal:
    """Runs commands against one fake client that the test may set up beforehand."""

    def __init__(self) -> None:
        self.client = FakeClient(Settings(tenant="default", user="me"))

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        @asynccontextmanager
        async def factory(settings: Settings) -> AsyncIterator[FakeClient]:
            yield self.client

        return CliRunner().invoke(cli, arguments, obj=factory, input=stdin)

    def call(self, name: str) -> tuple[Any, ...]:
        (found,) = [call for call in self.client.calls if call[0] == name]
        return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("COUNTERSIGN_TENANT", "COUNTERSIGN_USER", "COUNTERSIGN_MAX_DOCUMENT_MB"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    path = tmp_path / "nda.txt"
    path.write_text(TEXT)
    return path


# --- quick to start ---

HEAVY = {"temporalio", "pydantic_ai", "asyncpg", "redis", "rich", "pydantic", "pydantic_settings", "numpy"}


@pytest.mark.parametrize("arguments", [["--help"], ["submit", "--help"], ["amend", "--help"], ["knowledge", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, json\n"
        "from starters.cli.main import cli\n"
        f"cli({arguments!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(json.loads(done.stderr))
    assert "Usage:" in done.stdout


OURS = [name for name, (module, _) in COMMANDS.items() if module not in {"demo", "stack"}]


def leaves_of(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for inner in command.commands.values() for leaf in leaves_of(inner)]


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_there_and_speaks_json(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None and command.name == name
    for leaf in leaves_of(command):
        assert any("--json" in parameter.opts for parameter in leaf.params), leaf.name
        assert leaf.help


# --- errors ---


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("a", remedy="b"), 2),
        (NotFound("a", remedy="b"), 3),
        (DecisionRefused("a", remedy="b"), 4),
        (DocumentError("a", remedy="b"), 6),
        (CountersignError("a", remedy="b"), 1),
    ],
)
def test_errors_are_one_line_with_remedy_and_their_exit_code(run: Terminal, error: CountersignError, code: int) -> None:
    run.client.refuse = error
    plain = run("status", "r-1")
    assert (plain.exit_code, plain.stdout, plain.stderr) == (code, "", "countersign: a. b\n")
    as_json = run("status", "r-1", "--json")
    assert (as_json.exit_code, as_json.stdout) == (code, "")
    assert json.loads(as_json.stderr) == {"type": error.type, "message": "a", "remedy": "b"} == error_document(error)


def test_wrong_usage_follows_json(run: Terminal) -> None:
    result = run("approve", "r-1", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert json.loads(result.stderr)["type"] == "InvalidRequest"
    assert "--reviewer" in json.loads(result.stderr)["message"]


def test_a_wrong_setting_is_named_without_its_value(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_MAX_DOCUMENT_MB", "jane.doe@example.com")
    result = run("status", "r-1")
    assert result.exit_code == 2
    assert "COUNTERSIGN_MAX_DOCUMENT_MB" in result.stderr and "jane" not in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("TENANT", "A B"), ("TEMPORAL_ADDRESS", "nohost"), ("REDIS_URL", "foo"), ("REDIS_URL", "http://u:hunter2@h")],
)
def test_a_setting_that_cannot_be_is_refused_at_once(
    run: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    result = run("status", "r-1")
    assert result.exit_code == 2
    assert f"COUNTERSIGN_{name}: " in result.stderr
    assert value not in result.stderr


# --- submit ---


def test_submit_says_what_was_taken(run: Terminal, contract: Path) -> None:
    result = run("submit", str(contract), "--ask", "Is it mutual?", "--json")
    assert result.exit_code == 0
    taken = json.loads(result.stdout)
    assert taken["review_id"] == "new-1" and taken["workflow_id"] == "review-default-new-1"
    assert taken["existing"] is False and taken["document"] == REF.model_dump(mode="json")
    _, data, name, request = run.call("submit")
    assert (data, name) == (TEXT.encode(), "nda.txt")
    assert request == ReviewRequest(tenant="default", user="me", ask="Is it mutual?")


def test_submit_again_with_the_same_id_is_no_second_review(run: Terminal, contract: Path) -> None:
    assert json.loads(run("submit", str(contract), "--id", "abc-1", "--json").stdout)["existing"] is False
    again = run("submit", str(contract), "--id", "abc-1")
    assert again.exit_code == 0 and "is there already, as abc-1" in again.stdout


def test_submit_reads_standard_input(run: Terminal) -> None:
    assert run("submit", "-", stdin="A contract.").exit_code == 0
    assert run.call("submit")[1] == b"A contract."
    assert run("submit", "-", "-", stdin="x").exit_code == 2


def _missing(folder: Path) -> Path:
    return folder / "none.txt"


def _empty(folder: Path) -> Path:
    (folder / "empty.txt").touch()
    return folder / "empty.txt"


def _large(folder: Path) -> Path:
    (folder / "large.txt").write_bytes(b"x" * 20_000_001)
    return folder / "large.txt"


def _program(folder: Path) -> Path:
    (folder / "prog.txt").write_bytes(b"\x7fELF")
    return folder / "prog.txt"


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (_missing, "InvalidRequest", "there is no such file"),
        (lambda folder: folder, "InvalidRequest", "is a folder"),
        (_empty, "InvalidRequest", "is empty"),
        (_large, "DocumentError", "larger than the limit of 20 MB"),
        (_program, "DocumentError", "is a program"),
    ],
)
def test_a_bad_file_is_named(
    run: Terminal, tmp_path: Path, make: Callable[[Path], Path], kind: str, words: str
) -> None:
    path = make(tmp_path)
    result = run("submit", str(path), "--json")
    error = json.loads(result.stderr)
    assert (result.exit_code, result.stdout) == (EXIT_CODES[kind], "")
    assert error["type"] == kind and error["message"].startswith(f"{path}: ") and words in error["message"]
    assert error["remedy"]


def test_one_bad_file_does_not_stop_the_others(run: Terminal, tmp_path: Path) -> None:
    names = [tmp_path / f"c{number}.txt" for number in range(25)]
    for path in names:
        path.write_text(TEXT)
    names[3].write_bytes(b"\x7fELF")
    names[7].unlink()
    result = run("submit", *map(str, names), "--json")
    found = json.loads(result.stdout)
    assert [one["file"] for one in found["errors"]] == [str(names[3]), str(names[7])]
    assert [one["type"] for one in found["errors"]] == ["DocumentError", "InvalidRequest"]
    assert len(found["reviews"]) == 23
    assert result.exit_code == EXIT_CODES["DocumentError"]
    assert "2 of 25" in json.loads(result.stderr)["message"]


def test_of_many_the_first_that_did_not_come_through_gives_the_exit_code(run: Terminal, contract: Path) -> None:
    run.client.standing = Standing(status_of(outcome=Outcome.BLOCKED))
    result = run("submit", str(contract), "none.txt", "--wait", "--json")
    assert result.exit_code == EXIT_CODES["ReviewBlocked"]
    assert json.loads(result.stderr)["message"].startswith("2 of 2")
    found = json.loads(result.stdout)
    assert (len(found["reviews"]), found["reviews"][0]["outcome"], len(found["errors"])) == (1, "blocked", 1)


def test_one_id_for_many_files_is_numbered(run: Terminal, contract: Path) -> None:
    found = json.loads(run("submit", str(contract), str(contract), "--id", "batch", "--json").stdout)
    assert [one["review_id"] for one in found["reviews"]] == ["batch-1", "batch-2"]


def test_a_wrong_field_is_named_without_its_value(run: Terminal, contract: Path) -> None:
    result = run("submit", str(contract), "--tenant", "Jane Doe Ltd", "--json")
    assert result.exit_code == 2 and not run.client.calls
    assert json.loads(result.stderr)["message"].startswith("tenant: ") and "Jane" not in result.stderr


@pytest.mark.parametrize(
    ("fields", "code", "kind"),
    [
        ({}, 0, None),
        ({"outcome": Outcome.RELEASED, "waiting_for": None}, 0, None),
        ({"outcome": Outcome.FAILED, "failure": Failure(type="x", message="m", remedy="r")}, 6, "ReviewFailed"),
        ({"outcome": Outcome.BLOCKED}, 7, "ReviewBlocked"),
        ({"outcome": Outcome.RATE_LIMITED}, 8, "RateLimited"),
        ({"outcome": Outcome.OVERLOADED}, 8, "Overloaded"),
    ],
)
@pytest.mark.parametrize("words", [("submit", "FILE", "--wait"), ("watch", "r-1")])
def test_waiting_tells_how_it_went(
    *, run: Terminal, contract: Path, words: tuple[str, ...], fields: dict[str, Any], code: int, kind: str | None
) -> None:
    run.client.standing = Standing(status_of(**fields))
    arguments = [str(contract) if word == "FILE" else word for word in words]
    result = run(*arguments, "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout) == run.client.standing.status.model_dump(mode="json")
    assert kind is None or json.loads(result.stderr)["type"] == kind
    people = run(*arguments)
    assert people.exit_code == code
    assert "Only we are bound." in people.stdout and "12 ms" in people.stdout
    if "failure" in fields:
        assert people.stderr.endswith("is failed: m. r\n")


@pytest.mark.parametrize("refused", [RateLimited("user: too much", remedy="Wait"), Overloaded("full", remedy="Wait")])
def test_a_refusal_for_now_has_an_exit_code_of_its_own(
    run: Terminal, contract: Path, refused: CountersignError
) -> None:
    run.client.refuse = refused
    result = run("submit", str(contract), "--json")
    assert (result.exit_code, result.stdout) == (8, "")
    assert json.loads(result.stderr)["type"] == refused.type


def test_a_review_that_waits_for_its_turn_says_how_long(run: Terminal, contract: Path) -> None:
    run.client.ahead = 7
    assert "waits for its turn: 7 ahead, about 1m 30s" in run("submit", str(contract)).stdout
    fields: dict[str, Any] = {"stage": Stage.SUBMIT, "waiting_for": None, "analysis": None}
    run.client.standing = Standing(status_of(**fields, ahead=0, estimate_s=0.2))
    shown = run("status", "r-1").stdout
    assert "Waits for its turn: next, about 1s" in shown
    assert "countersign watch r-1" in shown


# --- status, lists, documents ---


def test_status_json_is_the_status(run: Terminal) -> None:
    result = run("status", "r-1", "--json")
    assert json.loads(result.stdout) == status_of().model_dump(mode="json")
    assert run.call("status") == ("status", "default", "r-1")


def test_status_for_people_says_what_to_do(run: Terminal) -> None:
    run.client.standing = Standing(status_of(tenant="acme", signatures_missing=2), live=False)
    result = run("status", "r-1", "--tenant", "acme")
    assert "“shall keep it secret”" in result.stdout and "2 signatures missing" in result.stdout
    assert "countersign approve r-1 --tenant acme --reviewer NAME" in result.stdout
    assert "\x1b" not in result.stdout
    assert "No worker answered" in result.stderr


def test_list_passes_its_filters_on(run: Terminal) -> None:
    result = run("list", "--stage", "sign", "--outcome", "failed", "--limit", "3", "--json")
    assert json.loads(result.stdout) == []
    expected = {"tenant": None, "stage": Stage.SIGN, "outcome": Outcome.FAILED, "limit": 3}
    assert run.call("rows")[1] == expected
    assert run("list", "--stage", "nowhere").exit_code == 2


def test_document_is_printed_exactly(run: Terminal) -> None:
    text = TEXT + "\nÄ\x1b[31m"
    assert run("document", "r-1", "--text").stdout_bytes == text.encode()
    found = json.loads(run("document", "r-1", "--json").stdout)
    assert set(found) == {"text", "pages", "sections"}
    assert found["text"] == text and found["pages"] == [{"number": 1, "start": 0, "end": len(text)}]
    assert "Secrecy" in run("document", "r-1").stdout


# --- decisions ---


def test_a_decision_carries_what_was_typed(run: Terminal) -> None:
    result = run("approve", "r-1", "--reviewer", "Bo", "--note", "fine", "--digest", "dddddddd", "--json")
    assert json.loads(result.stdout) == run.client.receipt.model_dump(mode="json")
    _, tenant, review_id, decision = run.call("decide")
    assert (tenant, review_id) == ("default", "r-1")
    assert decision == Decision(verdict=Verdict.APPROVE, reviewer="Bo", note="fine", digest="dddddddd")


def test_missing_signatures_are_counted(run: Terminal) -> None:
    run.client.receipt = Receipt(review_id="r-1", stage=Stage.SIGN, signatures_missing=1)
    assert "signed, 1 signature missing" in run("approve", "r-1", "--reviewer", "Bo").stdout


def test_a_refusal_exits_with_4_and_does_not_name_the_reviewer(run: Terminal) -> None:
    run.client.refuse = DecisionRefused("the requester may not decide on their own review", remedy="Ask another person")
    result = run("reject", "r-1", "--reviewer", "Jane Doe")
    assert result.exit_code == 4 and "Jane" not in result.stderr + result.stdout


def test_amend_takes_edits_from_options_and_file(run: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "edits.json"
    file.write_text('[{"action": "remove", "finding_id": "F2"}]')
    result = run("amend", "r-1", "--reviewer", "Bo", "--edits", str(file), "--edit", "F1:severity=low")
    assert result.exit_code == 0
    assert run.call("decide")[3].edits == (
        Edit(action="remove", finding_id="F2"),
        Edit(action="set", finding_id="F1", severity=Severity.LOW),
    )
    file.write_text('[{"action": "burn", "finding_id": "Jane"}]')
    wrong = run("amend", "r-1", "--reviewer", "Bo", "--edits", str(file))
    assert wrong.exit_code == 2 and "0.action" in wrong.stderr and "Jane" not in wrong.stderr
    assert run("amend", "r-1", "--reviewer", "Bo").exit_code == 2


def test_claim_and_give_back(run: Terminal) -> None:
    taken = run("claim", "r-1", "--reviewer", "Bo", "--minutes", "5")
    assert taken.stdout == "r-1: yours until 2026-11-22 12:00 UTC, claim 3\n"
    assert run.call("claim")[3] == Claim(reviewer="Bo", lease_s=300)
    assert run("claim", "r-1", "--reviewer", "Bo", "--release").stdout == "r-1: given back\n"
    assert run("claim", "r-1", "--reviewer", "Bo", "--minutes", "0").exit_code == 2
    run("approve", "r-1", "--reviewer", "Bo", "--claim", "3")
    assert run.call("decide")[3].claim == 3


def test_ask_and_answer(run: Terminal) -> None:
    assert run("ask", "r-1", "--reviewer", "Bo", "--question", "Which law?").exit_code == 0
    assert run.call("decide")[3].question == "Which law?"
    result = run("answer", "r-1", "--user", "me", "--text", "Ours.", "--json")
    assert json.loads(result.stdout)["stage"] == "sign"
    assert run.call("answer")[3] == Answer(user="me", text="Ours.")
    assert run("answer", "r-1", "--user", "me", "--text", "").exit_code == 2


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("F3:severity=low", Edit(action="set", finding_id="F3", severity=Severity.LOW)),
        ("F1: statement=a=b: c", Edit(action="set", finding_id="F1", statement="a=b: c")),
        ("F1:clause=term", Edit(action="set", finding_id="F1", clause="term")),
        ("F2:remove", Edit(action="remove", finding_id="F2")),
        (
            "add:law:HIGH:Not ours: at all",
            Edit(action="add", clause="law", severity=Severity.HIGH, statement="Not ours: at all"),
        ),
    ],
)
def test_edits_as_typed(text: str, edit: Edit) -> None:
    assert parse_edit(text) == edit


@pytest.mark.parametrize("text", ["", "F1", "F1:", ":remove", "F1:severity=grave", "F1:colour=red", "F1:statement="])
def test_what_is_no_edit(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--edit 2"):
        parse_edit(text, 2)


@pytest.mark.parametrize("text", ["add:law", "add:law:high", "add:law:high: ", "add::high:x", "add:law:x:y"])
def test_what_adds_nothing(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--edit 1"):
        parse_edit(text)


@given(st.text(max_size=200))
def test_any_text_is_an_edit_or_a_named_error(text: str) -> None:
    try:
        edit = parse_edit(text)
    except InvalidRequest as error:
        assert str(error).startswith("--edit 1: ")
    else:
        assert edit.finding_id or (edit.clause and edit.severity and edit.statement)


def test_typed_edits_apply() -> None:
    edited = apply_edits(ANALYSIS, [parse_edit("F1:severity=info"), parse_edit("F2:remove"), parse_edit("add:x:low:y")])
    assert [(one.id, one.severity) for one in edited.key_findings] == [("F1", Severity.INFO), ("H1", Severity.LOW)]


# --- records, memory, autonomy ---


def test_trail_that_does_not_verify_exits_with_1(run: Terminal) -> None:
    whole = run("trail", "r-1", "--json")
    assert whole.exit_code == 0
    assert json.loads(whole.stdout)["verified"] is True and len(json.loads(whole.stdout)["rows"]) == 1
    run.client.check = TrailCheck(ok=False, rows=1, problem="row 2 is missing")
    broken = run("trail", "r-1", "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["verified"] is False
    assert json.loads(broken.stderr)["type"] == "TrailBroken" and "row 2 is missing" in broken.stderr


def test_costs_are_summed(run: Terminal) -> None:
    found = json.loads(run("costs", "--since", "7d", "--json").stdout)
    assert found["total"]["cost_microusd"] == 10 and found["total"]["input_tokens"] == 60
    assert [row["agent"] for row in found["rows"]] == ["intent", "plan"]
    since = run.call("costs")[2]
    assert timedelta(days=7) <= datetime.now(UTC) - since < timedelta(days=7, minutes=5)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "7", "yesterday", "2026-13-01", "999999d", "2027-01-01", "-7d"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--since"):
        parse_since(text, NOW)


@given(st.text(max_size=40))
def test_any_text_is_a_past_moment_or_a_named_error(text: str) -> None:
    try:
        assert parse_since(text, NOW) <= NOW
    except InvalidRequest as error:
        assert str(error).startswith("--since: ")


def test_knowledge(run: Terminal, contract: Path) -> None:
    assert json.loads(run("knowledge", "add", str(contract), "--shared", "--json").stdout)[0]["passages"] == 1
    assert run.call("add_knowledge") == ("add_knowledge", None, "nda.txt", TEXT)
    assert run("knowledge", "add", str(contract), "--shared", "--tenant", "acme").exit_code == 2
    assert "Keep [red]secrets[/red]." in run("knowledge", "search", "secrets").stdout


def test_autonomy_grant(run: Terminal) -> None:
    cell = ("--tenant", "acme", "--playbook", "nda", "--type", "nda", "--level", "autonomous")
    result = run("autonomy", "grant", *cell, "--by", "Jane", "--reason", "50 agreed", "--json")
    assert json.loads(result.stdout)["autonomy"] == "autonomous" and "Jane" not in result.stdout
    assert run.call("grant") == ("grant", "acme", "nda", "nda", Autonomy.AUTONOMOUS, "Jane", "50 agreed")
    assert run("autonomy", "grant", *cell, "--by", "Jane", "--reason", " ").exit_code == 2
    assert "Note" not in run("autonomy", "grant", *cell, "--by", "Jane", "--reason", "r").stderr
    mistyped = [word if word != "acme" else "acne" for word in cell]
    assert "tenant acne has no review yet" in run("autonomy", "grant", *mistyped, "--by", "J", "--reason", "r").stderr


def test_replay_of_what_is_no_history_fails(run: Terminal, contract: Path) -> None:
    result = run("replay", str(contract), "--json")
    assert result.exit_code == 1
    (verdict,) = json.loads(result.stdout)
    assert verdict["ok"] is False and "is no saved history" in verdict["problem"]
    assert json.loads(result.stderr)["type"] == "ReplayFailed"


def test_a_replay_failure_says_what_core_says() -> None:
    told = 'Workflow activation failed: Failure { message: "[TMPRL1100] no \\"machine\\"", source: "" }'
    assert explained(RuntimeError(told)) == '[TMPRL1100] no "machine"'
    assert len(explained(RuntimeError("x" * 9000))) == 500


# --- small pure functions ---


@given(st.text())
def test_printable_keeps_length_and_steers_no_terminal(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not set(shown) & set("\x1b\x07\x08\r\x9b\u202e\u2066\u200b")
    assert all(other in (one, "\ufffd") for one, other in zip(text, shown, strict=True))


@given(st.text(), st.integers(2, 50))
def test_shortened_is_one_short_line(text: str, limit: int) -> None:
    line = shortened(text, limit)
    assert len(line) <= limit and "\n" not in line


def test_money_and_spans() -> None:
    assert money(1_234) == "$0.001234" and money(12_345_678_901) == "$12,345.68"
    assert span(timedelta(days=2, hours=3, minutes=9)) == "2d 3h" and span(-timedelta(minutes=10)) == "-10m"


def test_a_pipe_larger_than_the_limit_is_cut_off(tmp_path: Path) -> None:
    growing = Path("/dev/zero")
    with pytest.raises(DocumentError, match="larger than the limit"):
        read_bounded(str(growing), 1000)
