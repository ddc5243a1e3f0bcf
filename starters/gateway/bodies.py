"""Taking in request bodies: bounded in bytes, in time and in the memory they may hold together, never on disk.

Nothing here is read before the caller is known and the door has let the review in.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from countersign.errors import InvalidRequest, Overloaded
from starters.gateway.problems import MalformedBody, SlowBody, TooLarge, UnsupportedMedia

MAX_JSON = 2_000_000
"""Bytes of a JSON body that carries a contract's text."""
MAX_FORM_TEXT = 65_536
"""Bytes of all text fields of a form together."""
MAX_ACTION_JSON = 262_144
"""Bytes of a decision with its edits."""

GRACE_S = 20.0
"""Time for a body, however small."""
MIN_BYTES_PER_S = 50_000
"""Beyond that time a body must have come at least this fast."""
BUSY_RETRY_S = 2.0

IN_MEMORY = 64_000_000
"""Bytes that all bodies on their way in (or documents on their way out) may hold together."""
SHARE = 0.5
"""Of it, what one tenant may hold: the others always find room."""

T = TypeVar("T", bound=BaseModel)
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)


class ClientGone(Exception):
    """The client hung up, or takes nothing any more. Nobody is there to be answered."""


class Memory:
    """The memory set aside for bodies, shared out in reservations; a tenant gets at most its share."""

    def __init__(self, total: int = IN_MEMORY, share: float = SHARE) -> None:
        self._total = total
        self._per_tenant = int(total * share)
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes reserved now."""
        return self._held.total()

    @contextmanager
    def reserve(self, tenant: str, size: int) -> Iterator[None]:
        """Hold `size` bytes for as long as the block lasts. Raises `Overloaded` when they are not free."""
        if self.held + size > self._total or self._held[tenant] + size > self._per_tenant:
            raise Overloaded(
                "too many bodies are under way at once",
                remedy="Ask again after the seconds of Retry-After, with fewer uploads at a time",
                retry_after_s=BUSY_RETRY_S,
            )
        self._held[tenant] += size
        try:
            yield
        finally:
            self._held[tenant] -= size
            if not self._held[tenant]:
                del self._held[tenant]


@dataclass
class Body:
    """The body of one request, at most `limit` bytes of it.

    Attributes:
        what: names the limit in the error ("a JSON body").
        remedy: what to do about a body beyond it.
        grace_s, bytes_per_s: the slowest body that is waited for.
    """

    request: Request
    limit: int
    what: str
    remedy: str = "Send less"
    grace_s: float = GRACE_S
    bytes_per_s: float = MIN_BYTES_PER_S

    def __post_init__(self) -> None:
        if (self.stated or 0) > self.limit:
            raise self._too_large()

    @property
    def stated(self) -> int | None:
        """Content-Length, if there is one."""
        stated = self.request.headers.get("content-length", "")
        return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `TooLarge`, `SlowBody` and `ClientGone`."""
        loop = asyncio.get_running_loop()
        began, received, more = loop.time(), 0, True
        while more:
            try:
                async with asyncio.timeout_at(began + self.grace_s + received / self.bytes_per_s):
                    message = await self.request.receive()
            except TimeoutError:
                raise SlowBody(
                    f"{self.what} came more slowly than {self.bytes_per_s:g} bytes a second",
                    remedy="Send it again over a better connection; the same Idempotency-Key makes that safe",
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            received += len(chunk)
            if received > self.limit:
                raise self._too_large()
            if chunk:
                yield chunk

    async def whole(self) -> bytes:
        """All of it, for bodies small enough to be held."""
        return b"".join([chunk async for chunk in self.chunks()])

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self.what} may have {self.limit:,} bytes, and this is more", remedy=self.remedy)


def is_json(request: Request) -> bool:
    """Whether the body says it is JSON (in UTF-8, the only encoding JSON has between systems: RFC 8259, 8.1)."""
    return _JSON.fullmatch(request.headers.get("content-type", "").strip()) is not None


async def read_json(request: Request, model: type[T], *, limit: int = MAX_ACTION_JSON) -> T:
    """The JSON body as `model`.

    Raises `UnsupportedMedia`, `MalformedBody` (no JSON, or nested more than 200 deep, the parser's own bound) and
    `InvalidRequest`, which name the field and never the value.
    """
    if not is_json(request):
        raise UnsupportedMedia("the body is not application/json", remedy="Send JSON and say so in Content-Type")
    return parse_json(await Body(request, limit, "a JSON body").whole(), model)


def parse_json(data: bytes, model: type[T]) -> T:
    """`data` as `model`. Raises `MalformedBody` and `InvalidRequest` as `read_json` does."""
    try:
        parsed = model.model_validate_json(data)
    except ValidationError as error:
        raise refused(error) from None
    json.loads(data, object_pairs_hook=_each_once)  # no deeper than the parser above has let through
    return parsed


def _each_once(pairs: list[tuple[str, object]]) -> None:
    """Refuse an object with a name in it twice: readers differ in which of the two they take (RFC 8259, 4)."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise MalformedBody("an object in the body has a field twice", remedy="Send each field once")


def refused(error: ValidationError) -> InvalidRequest:
    """The first thing wrong, as "field: what": the name of a field of ours, never what was sent.

    A field that may not be there comes first: it says more than one that is missing beside it (`url` for `text`).
    """
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    problem = min(problems, key=lambda one: one["type"] != "extra_forbidden")
    if problem["type"] == "json_invalid":
        return MalformedBody("the body is no JSON that can be read", remedy="Send one JSON object in UTF-8")
    path = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        # Its name is the sender's own word.
        return forbidden_field(path[-1])
    where = ".".join(path)
    return InvalidRequest(
        f"{where}: {problem['msg']}" if where else problem["msg"], remedy="GET /openapi.json lists the fields"
    )


_NOT_BY_REFERENCE = "documents are not fetched from an address"
_NOT_STATED = "it follows from who asks"
_NAMED = {
    **dict.fromkeys(("url", "uri", "href", "link", "document_url", "file_url", "document"), _NOT_BY_REFERENCE),
    **dict.fromkeys(("tenant", "user", "reviewer", "roles"), _NOT_STATED),
    "review_id": "send an Idempotency-Key header instead",
}


def forbidden_field(name: str) -> InvalidRequest:
    """What a field is answered that is not taken. Only names known here are repeated."""
    if (why := _NAMED.get(name)) is not None:
        remedy = "Send the document itself" if why is _NOT_BY_REFERENCE else "Leave it out"
        return InvalidRequest(f"{name}: is not taken; {why}", remedy=remedy)
    return InvalidRequest("body: has a field that is not taken", remedy="GET /openapi.json lists the fields")
