"""The published OpenAPI document, beyond what FastAPI derives: bodies that we read ourselves, problems, security."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from countersign.review.blind import CONCEALED
from countersign.words import Mode
from starters.gateway.problems import KINDS, MEDIA_TYPE, Problem

FILE = {
    "description": "The text (JSON), or with `raw=true` the bytes; always as an attachment.",
    "content": {
        kind: {"schema": {"type": "string", "format": "binary"}}
        for kind in ("application/pdf", "text/plain", "text/markdown")
    },
}
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 visible ASCII characters of your own; what is repeated with the same key counts once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_RETRY = {"Retry-After": {"description": "Seconds until it is worth asking again.", "schema": {"type": "integer"}}}
_RATE = {
    "RateLimit": {"description": 'What is left of the allowance: `"user";r=57;t=360`.', "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": 'The allowance: `"user";q=100;w=3600`.', "schema": {"type": "string"}},
}
FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "PDF, Markdown or plain text."},
        "playbook": {"type": "string", "pattern": "^[a-z][a-z0-9_]{1,47}$", "default": "nda"},
        "ask": {"type": "string", "maxLength": 4000},
        "session": {"type": "string", "maxLength": 200},
        "mode": {
            "enum": [mode.value for mode in Mode],
            "default": Mode.LIVE.value,
            "description": "`shadow`: a person judges it without seeing the analysis, and nothing is released.",
        },
    },
}
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "One event. `data` is JSON.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Number of the entry on the trail; not of `waiting`."},
        "event": {"enum": ["waiting", "stage", "ended"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_EXTRA_MODELS: list[type[BaseModel]] = []


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint that may answer with these problems, and with 500."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 500):
        titles = sorted({kind.title for kind in KINDS.values() if kind.status == status})
        found[status] = {
            "description": "; ".join(titles),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in (429, 503):
            found[status]["headers"] = {**_RETRY, **(_RATE if status == 429 else {})}
    return found


def rate_limited(answer: dict[str, Any]) -> dict[str, Any]:
    """`answer` with the RateLimit headers."""
    return {**answer, "headers": {**_RATE, **answer.get("headers", {})}}


def review_links(*operations: str, review: str) -> dict[str, Any]:
    """What can be done next with the review whose id stands at `review` in an answer's body."""
    return {
        operation: {"operationId": operation, "parameters": {"review_id": f"$response.body#{review}"}}
        for operation in operations
    }


def operation_id(route: APIRoute) -> str:
    """The name of the function: short, and what generated clients call it."""
    return route.name


def body_of(model: type[BaseModel], *, required: bool = True, idempotent: bool = False) -> dict[str, Any]:
    """The `openapi_extra` of an endpoint that reads a JSON body itself, after it knows who asks."""
    extra: dict[str, Any] = {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema_of(model)}}}
    }
    if idempotent:
        extra["parameters"] = [KEY_HEADER]
    return extra


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A reference to the model's schema, which the document will hold."""
    _EXTRA_MODELS.append(model)
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = made.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        models: list[type[BaseModel]] = [Problem, *_EXTRA_MODELS]
        for model in models:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer."}
        }
        _may_be_missing(schemas, schemas["ReviewView"], CONCEALED)
        for operations in made["paths"].values():
            for operation in operations.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"bearer": []}]
                # FastAPI's own validation answer; ours is a problem.
                answers = operation["responses"]
                if MEDIA_TYPE not in answers.get("422", {}).get("content", {MEDIA_TYPE: {}}):
                    del answers["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema


def _may_be_missing(schemas: dict[str, Any], schema: dict[str, Any], left_out: Any) -> None:
    """Take what may be left out of an answer from what its schema requires; `left_out` as pydantic's `exclude`."""
    fields = left_out if isinstance(left_out, dict) else dict.fromkeys(left_out, True)
    for name, inside in fields.items():
        if inside is True or inside is ...:
            schema["required"] = [one for one in schema.get("required", []) if one != name]
            continue
        inner = inside.get("__all__", inside) if isinstance(inside, dict) else inside
        for part in _refs(schema["properties"][name]):
            _may_be_missing(schemas, schemas[part], inner)


def _refs(schema: dict[str, Any]) -> list[str]:
    """Names of the schemas that a property refers to, also in a list or beside null."""
    inside = [schema, *schema.get("anyOf", []), schema.get("items", {})]
    return [one["$ref"].rsplit("/", 1)[-1] for one in inside if "$ref" in one]
