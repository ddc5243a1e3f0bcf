"""POST /v1/reviews: forms and JSON, limits, idempotency, refusals; nothing is read before the door has let it in."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from helpers.gateway import BOUNDARY, MARK, World

from countersign.admission.entry import Entry, Refused
from countersign.admission.intake import refusal
from countersign.errors import DocumentError
from countersign.settings import Settings
from starters.gateway.bodies import MAX_FORM_TEXT, MAX_JSON

FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
DOCUMENT = b"1. Term\r\n--a-bound\r\n\r\n--" + MARK.encode() + b"\r\n-" * 20
"""Bytes that look like the boundary, and are not."""


def part(name: str, value: bytes, *more: str, filename: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    head = "\r\n".join((f"--{BOUNDARY}", disposition, *more)).encode()
    return head + b"\r\n\r\n" + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = part("file", DOCUMENT, filename="nda.md")


async def submit(world: World, content: Any, headers: dict[str, str] = FORM, key: str = "ana") -> httpx.Response:
    async with world.browser(key) as client:
        return await client.post("/v1/reviews", content=content, headers=headers)


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem details, which have this status and type and no word that was sent."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"urn:countersign:problem:{slug}"
    assert found["status"] == status
    assert found["title"]
    assert found["instance"] == f"urn:countersign:request:{answer.headers['x-request-id']}"
    assert MARK not in answer.text
    return found


@pytest.fixture
def world() -> World:
    return World()


# --- accepted ---


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_a_form_is_taken_in_whatever_pieces_it_comes_in(world: World, size: int) -> None:
    body = form(part("playbook", b"msa"), FILE, part("ask", "Können wir?".encode()), part("session", b"s-1"))
    answer = await submit(world, in_pieces(body, size))
    assert answer.status_code == 202, answer.text
    request, upload, name = world.intake.only
    assert upload.data == DOCUMENT
    assert (request.playbook, request.ask, request.session) == ("msa", "Können wir?", "s-1")
    assert (request.tenant, request.user) == ("acme", f"ana {MARK}")
    assert name == "document.md"


async def test_the_answer_says_where_it_stands_and_what_is_left(world: World) -> None:
    answer = await submit(world, form(FILE))
    body = answer.json()
    assert answer.headers["location"] == body["status_url"] == f"/v1/reviews/{body['review_id']}"
    assert body["workflow_id"] == f"review-acme-{body['review_id']}"
    assert body["existing"] is False
    assert (body["ahead"], body["estimate_s"]) == (3, 1.5)
    assert answer.headers["ratelimit-policy"] == '"user";q=100;w=3600'
    assert answer.headers["ratelimit"] == '"user";r=57;t=360'
    assert world.intake.left == 0


async def test_text_comes_as_json(world: World) -> None:
    given = {"text": f"1. {MARK} ü", "playbook": "nda", "ask": "?", "session": None}
    answer = await submit(world, json.dumps(given), {"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 202, answer.text
    request, upload, name = world.intake.only
    assert upload.data == f"1. {MARK} ü".encode()
    assert request.ask == "?"
    assert request.text is None
    assert name == ""


@pytest.mark.parametrize(
    ("filename", "kept"),
    [
        (f"../../etc/{MARK}.md", ".md"),
        (f"C:\\\\{MARK}\\\\x.MD", ".md"),
        (f"{MARK}.tar.pdf", ".pdf"),
        (f"x.{MARK}-not-a-suffix", ""),
        (f"{MARK}\r\nX-Evil: 1.md", ""),
        (f"{MARK}.md\0.exe", ".exe"),
        ("", ""),
    ],
)
async def test_of_a_file_name_only_the_suffix_is_kept(world: World, filename: str, kept: str) -> None:
    answer = await submit(world, form(part("file", b"x", filename=filename)))
    assert answer.status_code == 202, answer.text
    assert world.intake.only[2] == f"document{kept}"
    assert "x-evil" not in answer.headers


# --- idempotency ---


async def test_a_repeat_with_the_same_key_is_the_same_review(world: World) -> None:
    headers = {**FORM, "Idempotency-Key": "order-66"}
    first, again = await submit(world, form(FILE), headers), await submit(world, form(FILE), headers)
    assert first.status_code == again.status_code == 202
    assert first.json()["review_id"] == again.json()["review_id"]
    assert (first.json()["existing"], again.json()["existing"]) == (False, True)
    other_user = await submit(world, form(FILE), headers, key="eve")
    assert other_user.json()["review_id"] != first.json()["review_id"]
    assert "order" not in first.json()["review_id"]


async def test_a_key_does_not_stand_for_two_documents(world: World) -> None:
    headers = {**FORM, "Idempotency-Key": "order-66"}
    await submit(world, form(FILE), headers)
    answer = await submit(world, form(part("file", b"another", filename="x.md")), headers)
    problem(answer, 422, "idempotency-key-reused")


@pytest.mark.parametrize("key", ["", "a" * 256, "with blank", "tab\there"])
async def test_a_key_is_visible_ascii_of_bounded_length(world: World, key: str) -> None:
    problem(await submit(world, form(FILE), {**FORM, "Idempotency-Key": key}), 422, "invalid-request")
    assert world.intake.entered == 0


# --- refused at the door ---


class Unread:
    """A body that must not be asked for."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("the body was read")


def refused(why: Refused) -> Entry:
    return Entry(None, refused=why, retry_after_s=41.2, limit=100, remaining=0, reset_s=41.2)


@pytest.mark.parametrize(
    ("why", "status", "slug"),
    [
        (Refused.USER_RATE, 429, "rate-limited"),
        (Refused.TENANT_RATE, 429, "rate-limited"),
        (Refused.COOLDOWN, 429, "rate-limited"),
        (Refused.ROOM, 503, "overloaded"),
    ],
)
async def test_a_refusal_says_when_to_come_back(world: World, why: Refused, status: int, slug: str) -> None:
    world.intake.refusal = refusal(refused(why))
    answer = await submit(world, form(FILE))
    found = problem(answer, status, slug)
    assert answer.headers["retry-after"] == "42"
    assert answer.headers["ratelimit"] == '"user";r=0;t=42'
    assert found["remedy"]
    assert found.get("reason") == (None if why is Refused.ROOM else why)


async def ask_unread(world: World, headers: list[tuple[bytes, bytes]]) -> tuple[int, dict[str, str], int]:
    """POST with no body there; status, headers, and how often the body was asked for before the answer."""
    sent: list[dict[str, Any]] = []
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += not sent
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/reviews",
        "raw_path": b"/v1/reviews",
        "query_string": b"",
        "headers": headers,
    }
    await world.app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, asked


def head(
    *, key: bytes = b"ana", length: int = 5_000_000, kind: str = FORM["Content-Type"]
) -> list[tuple[bytes, bytes]]:
    return [
        (b"authorization", b"Bearer " + key),
        (b"content-type", kind.encode()),
        (b"content-length", str(length).encode()),
    ]


async def test_nothing_is_read_of_what_is_refused(world: World) -> None:
    world.intake.refusal = refusal(refused(Refused.ROOM))
    cases = [
        (head(), 503),
        (head(key=b"nobody"), 401),
        (head(key=b"aud"), 403),
        (head(length=500_000_000), 413),
        (head(kind="text/plain"), 415),
        (head(kind="application/json; charset=utf-16"), 415),
        (head(kind="multipart/form-data"), 400),
    ]
    for headers, status in cases:
        assert await ask_unread(world, headers) == (status, _any(connection="close"), 0)


class _any(dict[str, str]):
    """Equal to a mapping that has at least these items."""

    def __init__(self, **items: str) -> None:
        super().__init__(items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.items() <= other.items()

    __hash__ = None  # type: ignore[assignment]


async def test_the_connection_is_kept_when_little_is_left_to_read(world: World) -> None:
    world.intake.refusal = refusal(refused(Refused.ROOM))
    status, headers, _ = await ask_unread(world, head(length=50_000))
    assert status == 503
    assert "connection" not in headers
    status, headers, _ = await ask_unread(world, [*head(length=50_000), (b"expect", b"100-continue")])
    assert headers["connection"] == "close"


async def test_a_client_that_hangs_up_gives_its_place_back(world: World) -> None:
    with pytest.raises(IndexError):  # nobody was answered
        await ask_unread(world, head())
    assert world.intake.entered == world.intake.left == 1
    assert world.backend.incoming.held == 0


# --- refused bodies ---


def bad_forms() -> Iterator[tuple[str, bytes, int, str]]:
    yield "no file", form(part("ask", b"?")), 422, "invalid-request"
    yield "cut short", form(FILE)[:-6], 400, "malformed-body"
    yield "no form at all", b"x" * 100, 400, "malformed-body"
    yield "empty", b"", 400, "malformed-body"
    yield "file twice", form(FILE, FILE), 422, "invalid-request"
    yield "ask twice", form(part("ask", b"a"), part("ask", b"b"), FILE), 422, "invalid-request"
    yield "unknown part", form(FILE, part(MARK, b"x")), 422, "invalid-request"
    yield "many parts", form(*(part("ask", b"") for _ in range(10_000))), 422, "invalid-request"
    yield "long text", form(FILE, part("ask", b"a" * (MAX_FORM_TEXT + 1))), 413, "too-large"
    yield "ask too long", form(FILE, part("ask", MARK.encode() * 400)), 422, "invalid-request"
    yield "bad playbook", form(FILE, part("playbook", f"../{MARK}".encode())), 422, "invalid-request"
    yield "not UTF-8", form(FILE, part("ask", b"\xff\xfe")), 422, "invalid-request"
    yield (
        "base64",
        form(part("file", b"eA==", "Content-Transfer-Encoding: base64", filename="x.md")),
        422,
        "invalid-request",
    )
    yield "endless header", form(part("file", b"x", "X-Long: " + "a" * 9000)), 400, "malformed-body"
    yield "many headers", form(part("file", b"x", *(f"X-{n}: 1" for n in range(50)))), 400, "malformed-body"


@pytest.mark.parametrize(("body", "status", "slug"), [pytest.param(*case, id=name) for name, *case in bad_forms()])
async def test_a_bad_form_is_refused(world: World, body: bytes, status: int, slug: str) -> None:
    for pieces in (body, in_pieces(body, 11)):
        problem(await submit(world, pieces), status, slug)
    assert not world.intake.taken
    assert world.intake.left == world.intake.entered
    assert world.backend.incoming.held == 0


@pytest.mark.parametrize("name", ["url", "tenant", "user", "review_id"])
async def test_what_is_not_taken_is_named_with_the_reason(world: World, name: str) -> None:
    for body, headers in (
        (form(FILE, part(name, MARK.encode())), FORM),
        (json.dumps({name: MARK}).encode(), {"Content-Type": "application/json"}),
    ):
        found = problem(await submit(world, body, headers), 422, "invalid-request")
        assert found["detail"].startswith(f"{name}: is not taken; ")


async def test_a_file_over_the_limit_is_refused_as_it_comes() -> None:
    world = World(Settings(max_document_mb=0.01))
    problem(await submit(world, form(part("file", b"x" * 10_001, filename="x.md"))), 413, "too-large")
    found = problem(await submit(world, form(part("file", b"x" * 1_000_000, filename="x.md"))), 413, "too-large")
    assert "10,000 bytes" in found["remedy"]
    assert "COUNTERSIGN_MAX_DOCUMENT_MB" in found["remedy"]
    problem(await submit(world, in_pieces(b"x" * 1_000_000, 60_000)), 400, "malformed-body")
    answer = await submit(world, form(part("file", b"x" * 10_000, filename="x.md")))
    assert answer.status_code == 202


def bad_json() -> Iterator[tuple[str, bytes, int, str]]:
    yield "no JSON", b"{", 400, "malformed-body"
    yield "deep", b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "malformed-body"
    yield "a list", b"[]", 422, "invalid-request"
    yield "wrong encoding", '{"text": "ü"}'.encode("utf-16"), 400, "malformed-body"
    yield "lone surrogate", rb'{"text": "\ud800"}', 400, "malformed-body"
    yield "no text", b"{}", 422, "invalid-request"
    yield "unknown field", json.dumps({"text": "x", MARK: 1}).encode(), 422, "invalid-request"
    yield "wrong type", json.dumps({"text": [MARK]}).encode(), 422, "invalid-request"
    yield "too large", b" " * (MAX_JSON + 1), 413, "too-large"


@pytest.mark.parametrize(("body", "status", "slug"), [pytest.param(*case, id=name) for name, *case in bad_json()])
async def test_bad_json_is_refused(world: World, body: bytes, status: int, slug: str) -> None:
    for pieces in (body, in_pieces(body, 60_000)):
        problem(await submit(world, pieces, {"Content-Type": "application/json"}), status, slug)
    assert not world.intake.taken


async def test_the_store_may_refuse_in_the_middle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: Any, chunk: bytes) -> None:
        raise DocumentError("the file is an HTML page, which cannot be reviewed", remedy="Give a PDF")

    monkeypatch.setattr("helpers.gateway.FakeUpload.write", full)
    found = problem(await submit(world, form(FILE)), 422, "unreadable-document")
    assert found["remedy"] == "Give a PDF"
    assert world.intake.left == 1


# --- many at once ---


async def test_bodies_under_way_share_their_memory(world: World) -> None:
    with world.backend.incoming.reserve("rival", 32_000_000), world.backend.incoming.reserve("acme", 31_900_000):
        answer = await submit(world, form(FILE))
        problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert world.intake.entered == 0
    assert (await submit(world, form(FILE))).status_code == 202


@pytest.mark.parametrize("as_form", [True, False])
async def test_the_mode_is_live_unless_it_is_said(world: World, as_form: bool) -> None:
    async def ask(mode: str | None) -> httpx.Response:
        if as_form:
            return await submit(world, form(FILE, *([part("mode", mode.encode())] if mode is not None else [])))
        body = {"text": "1. Term", **({"mode": mode} if mode is not None else {})}
        return await submit(world, json.dumps(body), {"Content-Type": "application/json"})

    for given, meant in ((None, "live"), ("live", "live"), ("shadow", "shadow")):
        world.intake.taken.clear()
        assert (await ask(given)).status_code == 202
        assert world.intake.only[0].mode == meant
    assert problem(await ask(MARK), 422, "invalid-request")["detail"] == "mode: Input should be 'live' or 'shadow'"
