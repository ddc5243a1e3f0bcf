"""The console over HTTP, in process: what a page may do, who may send a form, and what is said when one is refused."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from helpers.gateway import ANA, AT, BOB, MARK, World

from countersign.document.model import DocumentText, Page
from countersign.errors import CountersignError, DecisionRefused, DocumentError, RateLimited, ServiceUnavailable
from countersign.review.payloads import AnalysisResult, Decision, DecisionRecord, Evidence, Finding, Receipt
from countersign.words import Outcome, Severity, Stage, Verdict
from starters.console.assets import FILES, VERSION, address_of
from starters.gateway.bodies import MAX_ACTION_JSON

HOSTILE = f'</textarea><script>alert("{MARK}")</script>\u202e'
REVIEW = "/console/reviews/r-1"


def finding(number: int = 1, **changes: Any) -> Finding:
    given = {"id": f"F{number}", "clause": "term", "severity": Severity.HIGH, "statement": f"It never ends {HOSTILE}"}
    return Finding.model_validate(
        {**given, "evidence": (Evidence(quote=MARK, start=3, end=3 + len(MARK), page=1),), **changes}
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    analysis = AnalysisResult(
        summary=HOSTILE, key_findings=(finding(), finding(2)), confidence=0.9, requires_human_review=True
    )
    made.projected = made.projected.model_copy(
        update={"analysis": analysis, "digest": "d" * 64, "waiting_for": "reviewer", "signatures_missing": 1}
    )
    return made


def form(world: World, client: httpx.AsyncClient, **fields: str) -> dict[str, str]:
    return {"csrf": world.form_token(client), "digest": "d" * 64, **fields}


def given(world: World) -> Decision:
    [(what, decision)] = world.given
    assert what == "decide"
    assert isinstance(decision, Decision)
    return decision


async def fields_of(client: httpx.AsyncClient) -> dict[str, str]:
    """What the review's form would send if nothing was typed."""
    page = (await client.get(REVIEW)).text
    return dict(re.findall(r'name="(was-F\d)" value="([^"]*)"', page))


# --- what a page may do ---


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/queue", REVIEW, "/console/nowhere", "/console/trail"])
async def test_a_page_may_load_files_of_ours_and_nothing_else(world: World, path: str) -> None:
    async with world.console() as client:
        client.cookies.clear() if path.endswith("sign-in") else None
        answer = await client.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy.pop("trusted-types") == "'none'"
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert set(policy.values()) <= {"'self'", "'none'"}
    assert answer.headers.get_list("content-security-policy", split_commas=False).__len__() == 1
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in answer.text
    assert not re.search(r"<[^>]*\s(?:style|on\w+)=", answer.text)
    assert re.findall(r"<script[^>]*>", answer.text) == [f'<script type="module" src="{address_of("console.js")}">']
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', answer.text)


async def test_files_are_kept_by_their_content(world: World) -> None:
    async with world.console(None) as client:
        for name in FILES:
            answer = await client.get(address_of(name))
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get(f"/console/static/{'0' * 12}/console.css")).headers["cache-control"] == "no-store"
        for path in ("console.py", "..%2fassets.py", ""):
            assert (await client.get(f"/console/static/{VERSION}/{path}")).status_code in (303, 404)


async def test_what_a_contract_says_is_text(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DocumentText(text=HOSTILE, pages=(Page(number=1, start=0, end=len(HOSTILE)),), sections=(), hidden=())
    monkeypatch.setattr("helpers.gateway.TEXT", text)
    world.projected = world.projected.model_copy(
        update={"question": HOSTILE, "claimed_by": HOSTILE, "claimed_until": datetime.now(UTC) + timedelta(hours=1)}
    )
    async with world.console() as client:
        page = (await client.get(REVIEW)).text
        queue = (await client.get("/console/queue")).text
    for shown in (page, queue):
        assert "<script>alert" not in shown
        assert "\u202e" not in shown
    assert page.count("&lt;script&gt;alert") >= 5
    assert "</textarea><script" not in page


# --- signing in ---


async def test_signing_in_gives_a_cookie_out_of_reach_of_scripts(world: World) -> None:
    async with world.console(None) as client:
        answer = await client.post("/console/sign-in", data={"credentials": " bob ", "next": REVIEW})
        assert (answer.status_code, answer.headers["location"]) == (303, REVIEW)
        [cookie] = answer.headers.get_list("set-cookie")
        name, *attributes = cookie.lower().split("; ")
        assert name.startswith("countersign=")
        assert {"httponly", "samesite=strict", "path=/console"} <= set(attributes)
        assert "bob" not in cookie
        assert (await client.get("/console/queue")).status_code == 200


async def test_behind_tls_the_cookie_is_of_this_host_alone(world: World) -> None:
    async with world.console(None) as client:
        answer = await client.post(
            "/console/sign-in", data={"credentials": "bob"}, headers={"Origin": "https://gateway.example"}
        )
    name, *attributes = answer.headers["set-cookie"].lower().split("; ")
    assert name.startswith("__host-countersign=")
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= set(attributes)


async def test_a_wrong_key_is_refused_without_being_repeated(world: World) -> None:
    async with world.console(None) as client:
        answer = await client.post("/console/sign-in", data={"credentials": MARK, "next": REVIEW})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert MARK not in answer.text
    assert f'value="{REVIEW}"' in answer.text


@pytest.mark.parametrize(
    "there",
    ["https://evil.example", "//evil.example", "/console/../v1", "/console//evil", "/console/\\evil", "/v1", "x"],
)
async def test_signing_in_leads_nowhere_else(world: World, there: str) -> None:
    async with world.console(None) as client:
        answer = await client.post("/console/sign-in", data={"credentials": "bob", "next": there})
    assert answer.headers["location"] in ("/console", "/console/../v1")
    assert httpx.URL("http://gateway").join(answer.headers["location"]).host == "gateway"


async def test_without_a_session_a_page_leads_to_the_door_and_back(world: World) -> None:
    async with world.console(None) as client:
        answer = await client.get(REVIEW)
        assert answer.headers["location"] == "/console/sign-in?next=/console/reviews/r-1"
        # From a mail, the browser kept the cookie to itself: the page asks for itself, once.
        elsewhere = await client.get(REVIEW, headers={"Sec-Fetch-Site": "cross-site"})
        assert elsewhere.status_code == 200
        assert f'content="0; url={REVIEW}"' in elsewhere.text
        posted = await client.post(f"{REVIEW}/decision", data={"verdict": "approve"})
        assert posted.status_code == 401
        assert "nothing was decided" in posted.text
    assert world.looked == 0


async def test_a_key_that_is_no_more_ends_the_session(world: World) -> None:
    async with world.console("nobody-any-more") as client:
        answer = await client.get("/console/queue")
    assert answer.headers["location"].startswith("/console/sign-in")
    assert "countersign=" in answer.headers["set-cookie"]


async def test_postgres_away_is_said_on_a_page(world: World) -> None:
    world.away = True
    async with world.console() as client:
        answer = await client.get("/console/queue")
    assert answer.status_code == 503
    assert "PostgreSQL" in answer.text
    assert "db.internal" not in answer.text
    assert answer.headers["retry-after"]


async def test_signing_out_ends_it_for_every_copy(world: World) -> None:
    async with world.console() as client:
        copied = client.cookies["countersign"]
        answer = await client.post("/console/sign-out", data=form(world, client))
        assert answer.headers["clear-site-data"] == '"cache", "storage"'
        client.cookies.set("countersign", copied)
        assert (await client.get("/console/queue")).headers["location"].startswith("/console/sign-in")


# --- who may send a form ---


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "", "Origin": "http://gateway"},
    ],
)
async def test_a_form_from_elsewhere_does_nothing(world: World, headers: dict[str, str]) -> None:
    async with world.console() as client:
        for path in ("decision", "claim"):
            answer = await client.post(f"{REVIEW}/{path}", data=form(world, client, verdict="approve"), headers=headers)
            assert answer.status_code == 403
    assert not world.given


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://gateway", 200), ("http://evil.example", 403), ("null", 403), ("", 403), ("http://[", 403)],
)
async def test_where_the_browser_tells_nothing_else_its_origin_counts(world: World, origin: str, status: int) -> None:
    async with world.console() as client:
        del client.headers["sec-fetch-site"]
        answer = await client.post(
            f"{REVIEW}/decision", data=form(world, client, verdict="approve"), headers={"Origin": origin}
        )
    assert answer.status_code == status
    assert len(world.given) == (status == 200)


async def test_a_form_of_another_session_does_nothing(world: World) -> None:
    other = world.sessions.form_token(world.sessions.begin("bob"))
    async with world.console() as client:
        for token in (other, "", "0" * 64):
            answer = await client.post(f"{REVIEW}/decision", data={"csrf": token, "verdict": "approve", "digest": "d"})
            assert answer.status_code == 403
    assert not world.given


async def test_a_form_is_bounded_and_of_one_kind(world: World) -> None:
    async with world.console() as client:
        large = await client.post(f"{REVIEW}/decision", data={"note": "x" * MAX_ACTION_JSON})
        many = await client.post(f"{REVIEW}/decision", data={f"f{number}": "" for number in range(3_000)})
        json = await client.post(f"{REVIEW}/decision", json={"verdict": "approve"})
        broken = await client.post(
            f"{REVIEW}/decision", content="note=%ff", headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
    assert [one.status_code for one in (large, many, json, broken)] == [413, 400, 415, 400]
    assert not world.given


# --- asking ---


async def send(client: httpx.AsyncClient, once: str = "a" * 32, **fields: str) -> httpx.Response:
    return await client.post(
        f"/console/submit?once={once}", data=fields, files={"file": ("nda.md", f"# {MARK}".encode())}
    )


async def test_a_contract_is_taken_in_once_however_often_its_form_is_sent(world: World) -> None:
    async with world.console("ana") as client:
        token = world.form_token(client)
        first = await send(client, csrf=token, playbook="nda", ask="May we sign?")
        again = await send(client, csrf=token, playbook="nda", ask="May we sign?")
        other = await send(client, "b" * 32, csrf=token)
    assert first.status_code == 303
    assert first.headers["location"] == again.headers["location"] != other.headers["location"]
    request, upload, name = next(iter(world.intake.taken.values()))
    assert (request.tenant, request.user, request.playbook, request.ask) == ("acme", ANA.user, "nda", "May we sign?")
    assert (upload.data, name) == (f"# {MARK}".encode(), "document.md")
    assert len(world.intake.taken) == 2


async def test_nothing_is_taken_in_from_elsewhere_or_without_the_sessions_token(world: World) -> None:
    async with world.console("ana") as client:
        for fields in ({}, {"csrf": "0" * 64}):
            assert (await send(client, **fields)).status_code == 403
        client.headers["sec-fetch-site"] = "cross-site"
        assert (await send(client, csrf=world.form_token(client))).status_code == 403
        del client.headers["sec-fetch-site"]
        client.headers["origin"] = "http://gateway"
        assert (await client.post("/console/submit", json={"text": MARK})).status_code == 415
    assert not world.intake.taken
    assert world.intake.entered == world.intake.left == 2  # what came from elsewhere was not even read


@pytest.mark.parametrize(
    "refusal",
    [DocumentError("it is encrypted", remedy="Send it open"), RateLimited("too much for now", retry_after_s=9)],
)
async def test_a_refused_document_leaves_what_was_typed(world: World, refusal: CountersignError) -> None:
    world.intake.refusal_at_last = refusal
    async with world.console("ana") as client:
        answer = await send(client, csrf=world.form_token(client), ask="typed before")
    assert answer.status_code in (422, 429)
    assert refusal.message[1:] in answer.text
    assert "typed before" in answer.text


# --- deciding ---


async def test_a_decision_is_bound_to_what_was_shown(world: World) -> None:
    async with world.console() as client:
        untouched = await fields_of(client)
        fields = form(
            world, client, verdict="approve", token="7", note="fine\r\nso", once="x",
            **untouched, **{f"severity-F{n}": "high" for n in (1, 2)},
        )  # fmt: skip
        answer = await client.post(f"{REVIEW}/decision", data=fields)
        again = await client.post(f"{REVIEW}/decision", data=fields)
    assert answer.status_code == again.status_code == 200
    first, second = (decision for _, decision in world.given)
    assert first == second  # the same id: it counts once
    assert isinstance(first, Decision)
    assert (first.reviewer, first.verdict, first.digest, first.claim) == (BOB.user, Verdict.APPROVE, "d" * 64, 7)
    assert (first.note, first.edits) == ("fine\nso", ())


async def test_typed_changes_become_edits_and_nothing_else_does(world: World) -> None:
    async with world.console() as client:
        untouched = await fields_of(client)
        changes = {
            "severity-F1": "low", "statement-F1": "It ends", "severity-F2": "high", "remove-F2": "on",
            "add-3-clause": "Governing law", "add-3-severity": "critical", "add-3-statement": "Not ours",
        }  # fmt: skip
        answer = await client.post(
            f"{REVIEW}/decision", data=form(world, client, verdict="amend", **untouched, **changes)
        )
    assert answer.status_code == 200
    assert [edit.model_dump(mode="json", exclude_none=True) for edit in given(world).edits] == [
        {"action": "set", "finding_id": "F1", "severity": "low", "statement": "It ends"},
        {"action": "remove", "finding_id": "F2"},
        {"action": "add", "clause": "governing_law", "severity": "critical", "statement": "Not ours"},
    ]


async def test_changes_are_not_lost_by_approving(world: World) -> None:
    async with world.console() as client:
        fields = form(world, client, verdict="approve", note=MARK, **await fields_of(client), **{"severity-F1": "low"})
        answer = await client.post(f"{REVIEW}/decision", data=fields)
    assert answer.status_code == 422
    assert "you changed 1 of the findings" in answer.text
    assert MARK in answer.text
    assert not world.given


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verdict": "sign"}, "Press one of the buttons"),
        ({"verdict": "approve", "digest": ""}, "names no version"),
        ({"verdict": "approve", "note": "x" * 4_001}, "note: more than"),
        ({"verdict": "amend", "severity-F1": "awful"}, "severity of F1: is none"),
        ({"verdict": "amend", "add-1-statement": "no clause"}, "needs a clause"),
    ],
)
async def test_what_is_incomplete_is_said_beside_what_was_typed(
    world: World, fields: dict[str, str], said: str
) -> None:
    async with world.console() as client:
        answer = await client.post(f"{REVIEW}/decision", data={**form(world, client), "question": "why?", **fields})
    assert answer.status_code == 422
    assert said in answer.text
    assert "why?" in answer.text
    assert not world.given


async def test_a_version_that_is_no_more_is_never_judged_against_another(world: World) -> None:
    last = DecisionRecord(verdict=Verdict.AMEND, reviewer="Sam", at=AT)
    world.projected = world.projected.model_copy(update={"digest": "e" * 64, "decisions": (last,)})
    async with world.console() as client:
        fields = form(world, client, verdict="amend", note=MARK, **{"severity-F1": "low", "was-F1": "high:0"})
        answer = await client.post(f"{REVIEW}/decision", data=fields)
    assert answer.status_code == 409
    assert "Sam signed with changes" in answer.text
    assert MARK in answer.text
    assert f'name="digest" value="{"e" * 64}"' in answer.text
    assert re.search(r'<option value="low" selected>Low</option>', answer.text)
    assert not world.given


@pytest.mark.parametrize(
    ("rule", "changes", "said"),
    [
        ("claimed", {"claimed_by": "Sam"}, "Sam was quicker"),
        ("claim_lapsed", {}, "Your claim lapsed"),
        ("decided", {"outcome": Outcome.REJECTED}, "It was rejected already"),
        ("signed_twice", {}, "You have signed this already"),
        ("requester", {}, "Nobody signs"),
    ],
)
async def test_a_refusal_is_explained(world: World, rule: str, changes: dict[str, Any], said: str) -> None:
    world.refusal = DecisionRefused("nobody signs their own", rule=rule, remedy="Ask another")
    world.projected = world.projected.model_copy(update=changes)
    async with world.console() as client:
        answer = await client.post(f"{REVIEW}/decision", data=form(world, client, verdict="approve", note="kept"))
    assert answer.status_code == 409
    assert said in answer.text
    assert 'role="alert"' in answer.text


async def test_a_claim_keeps_what_was_typed(world: World) -> None:
    async with world.console() as client:
        plain = await client.post(f"{REVIEW}/claim", data=form(world, client, claim="take"))
        assert plain.headers["location"] == REVIEW
        typed = await client.post(f"{REVIEW}/claim", data=form(world, client, claim="release", note="half a thought"))
    assert "half a thought" in typed.text
    assert [claim.release for _, claim in world.given if hasattr(claim, "release")] == [False, True]


async def test_who_asked_for_a_review_cannot_sign_it_and_sees_no_button(world: World) -> None:
    world.rows["r-1"] = world.rows["r-1"].model_copy(update={"user_hash": BOB.user_hash})
    async with world.console() as client:
        page = (await client.get(REVIEW)).text
    assert "somebody else signs it" in page
    assert 'value="approve"' not in page


async def test_a_requester_answers_and_never_learns_which_signals_fired(world: World) -> None:
    world.projected = world.projected.model_copy(update={"question": "Who signs?", "waiting_for": "requester"})
    async with world.console("ana") as client:
        page = (await client.get(REVIEW)).text
        assert "A reviewer asks you" in page
        assert "Audit trail" not in page
        empty = await client.post(f"{REVIEW}/answer", data=form(world, client, answer=" "))
        assert empty.status_code == 422
        done = await client.post(f"{REVIEW}/answer", data=form(world, client, answer="The Irish one"))
    assert done.headers["location"] == REVIEW
    [(what, answer)] = world.given
    assert (what, answer.user, answer.text) == ("answer", ANA.user, "The Irish one")  # type: ignore[union-attr]


async def test_what_was_looked_at_is_read_until_it_changes(world: World) -> None:
    async with world.console() as client:
        assert "Unread" in (await client.get("/console/queue")).text.split("data-rows")[1]
        await client.get(REVIEW)
        assert "Unread" not in (await client.get("/console/queue")).text.split("data-rows")[1]
        world.projected = world.projected.model_copy(update={"digest": "e" * 64})
        assert "Unread" in (await client.get("/console/queue")).text.split("data-rows")[1]


async def test_an_operator_sees_how_much_there_is_and_no_names(world: World) -> None:
    world.projected = world.projected.model_copy(
        update={"claimed_by": MARK, "claimed_until": datetime.now(UTC) + timedelta(hours=1)}
    )
    async with world.console("ops") as client:
        page = (await client.get("/console/queue")).text
    assert "r-1" in page
    assert MARK not in page
    assert "Mine" not in page


async def test_the_root_is_the_console_for_browsers_and_nothing_for_programs(world: World) -> None:
    async with world.console() as client:
        assert (await client.get("/")).headers["location"] == "/console"
        program = await client.get("/", headers={"Accept": "application/json"})
    assert program.status_code == 404
    assert program.headers["content-type"] == "application/problem+json"


async def test_nothing_of_what_was_sent_reaches_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    world.refusal = ServiceUnavailable("no worker answers")
    async with world.console() as client:
        answer = await client.post(f"{REVIEW}/decision", data=form(world, client, verdict="approve", note=MARK))
        again = await client.post(f"{REVIEW}/decision", data=form(world, client, verdict="approve", once="first"))
    assert answer.status_code == 503
    assert "This is not certain" in answer.text
    assert MARK in answer.text
    assert 'name="once" value="first"' in again.text
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "hypothesis"))]
    assert not [line for line in ours if MARK in line]


@pytest.mark.parametrize("counted", [True, False])
async def test_a_reviewer_is_told_of_a_probe_after_the_decision(
    world: World, monkeypatch: pytest.MonkeyPatch, *, counted: bool
) -> None:
    notice = "F2 was a vigilance probe, a finding known to be wrong"

    async def decide(tenant: str, review_id: str, decision: Decision) -> Receipt:
        outcome = Outcome.APPROVED if counted else None
        return Receipt(review_id=review_id, stage=Stage.SIGN, outcome=outcome, notice=notice, counted=counted)

    monkeypatch.setattr(world, "decide", decide)
    async with world.console() as client:
        answer = await client.post(f"{REVIEW}/decision", data=form(world, client, verdict="approve"))
    assert answer.status_code == (200 if counted else 409)
    assert f"{notice}." in answer.text
    assert ("The review has ended" in answer.text) is counted
