"""Errors as HTTP answers: problem details (RFC 9457) with stable types, and the headers that say when to come back.

One table says which error becomes which status. No answer repeats what was sent, and none names a server of ours.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field
from starlette.responses import Response

from countersign.admission.entry import Entry
from countersign.errors import (
    CountersignError,
    DecisionRefused,
    DocumentError,
    Forbidden,
    InvalidRequest,
    KeyReused,
    NotFound,
    Overloaded,
    PlaybookError,
    RateLimited,
    ServiceUnavailable,
    Unauthenticated,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:countersign:problem:"
SERVER_RETRY_S = 2.0
"""When to ask again after a server of ours did not answer: they come back within seconds."""
_SERVER_ADDRESS = re.compile(r" at [^\s()]+")


class MalformedBody(InvalidRequest):
    """The body cannot be parsed at all."""

    type = "MalformedBody"


class TooLarge(DocumentError):
    """More bytes than the limit."""

    type = "TooLarge"


class UnsupportedMedia(DocumentError):
    """A body of a type this endpoint does not take."""

    type = "UnsupportedMedia"


class SlowBody(CountersignError):
    """The body came slower than a client that is there would send it."""

    type = "SlowBody"


class NoSuchPath(CountersignError):
    """There is no such endpoint."""

    type = "NoSuchPath"


class MethodNotAllowed(CountersignError):
    """The endpoint is there, and takes other methods."""

    type = "MethodNotAllowed"


class Unexpected(CountersignError):
    """A mistake of ours. Says nothing of what happened: that is in the log, under the same request id."""

    type = "Unexpected"


@dataclass(frozen=True)
class Kind:
    """How one type of error is answered."""

    slug: str
    status: int
    title: str


KINDS: Mapping[type[CountersignError], Kind] = {
    MalformedBody: Kind("malformed-body", 400, "The body cannot be parsed"),
    Unauthenticated: Kind("unauthenticated", 401, "No valid credentials"),
    Forbidden: Kind("forbidden", 403, "Not allowed"),
    NotFound: Kind("not-found", 404, "Not found"),
    NoSuchPath: Kind("no-such-path", 404, "No such endpoint"),
    MethodNotAllowed: Kind("method-not-allowed", 405, "The endpoint takes other methods"),
    SlowBody: Kind("slow-body", 408, "The body came too slowly"),
    DecisionRefused: Kind("decision-refused", 409, "The decision does not count"),
    TooLarge: Kind("too-large", 413, "Too many bytes"),
    UnsupportedMedia: Kind("unsupported-media-type", 415, "Unsupported content type"),
    KeyReused: Kind("idempotency-key-reused", 422, "The Idempotency-Key was used for something else"),
    InvalidRequest: Kind("invalid-request", 422, "The request is not valid"),
    DocumentError: Kind("unreadable-document", 422, "The document cannot be reviewed"),
    PlaybookError: Kind("unknown-playbook", 422, "The playbook cannot be used"),
    RateLimited: Kind("rate-limited", 429, "Too many requests"),
    CountersignError: Kind("internal-error", 500, "Something went wrong on our side"),
    Overloaded: Kind("overloaded", 503, "No room at the moment"),
    ServiceUnavailable: Kind("service-unavailable", 503, "Something this needs does not answer"),
}
"""Error type to answer; an error without a row of its own is answered as the nearest of its bases."""


class Problem(BaseModel):
    """Problem details (RFC 9457). `type` never changes its meaning; `detail` and `remedy` are for people."""

    type: str = Field(examples=["urn:countersign:problem:not-found"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    remedy: str = ""
    instance: str = Field(examples=["urn:countersign:request:6f1c0d2a9b3e4f58"])
    """The request; the same id is in X-Request-Id and in our log."""
    reason: str | None = None
    """Of a 429: `user_rate`, `tenant_rate` or `cooldown`. Of a refused decision: the rule it broke."""


def kind_of(error: CountersignError) -> Kind:
    """How an error is answered."""
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def person_words(error: CountersignError) -> tuple[str, str]:
    """What went wrong and what to do about it, for who asked."""
    if kind_of(error).status == 500:
        return "Something went wrong on our side", "Repeat it, and give us the request id if that is no help"
    if isinstance(error, ServiceUnavailable):
        # The operator's words name servers, and are in the log.
        return _SERVER_ADDRESS.sub("", error.message), "Ask again after the seconds of Retry-After"
    return error.message, error.remedy


def problem_response(error: CountersignError, request_id: str) -> Response:
    """The answer to a request that ended in `error`."""
    kind = kind_of(error)
    detail, remedy = person_words(error)
    reason = getattr(error, "reason", "") or getattr(error, "rule", "") or None
    body = Problem(
        type=TYPE_PREFIX + kind.slug,
        title=kind.title,
        status=kind.status,
        detail=detail,
        remedy=remedy,
        instance=f"urn:countersign:request:{request_id}",
        reason=reason,
    )
    return Response(
        body.model_dump_json(exclude_none=True),
        kind.status,
        headers=_headers(error, kind.status),
        media_type=MEDIA_TYPE,
    )


def _headers(error: CountersignError, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="countersign"'
    if status in (429, 503):
        wait_s = getattr(error, "retry_after_s", SERVER_RETRY_S)
        headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    entry = getattr(error, "entry", None)
    if isinstance(entry, Entry):
        headers |= rate_headers(entry)
    return headers


def rate_headers(entry: Entry) -> dict[str, str]:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) of the user's hourly allowance."""
    if entry.limit < 1:
        return {}
    return {
        "RateLimit-Policy": f'"user";q={entry.limit};w=3600',
        "RateLimit": f'"user";r={max(0, entry.remaining)};t={math.ceil(entry.reset_s)}',
    }
