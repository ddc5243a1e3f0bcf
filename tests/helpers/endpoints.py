"""Every endpoint of the gateway, and what it answers to whom. A new endpoint needs a row here, or a test fails."""

from dataclasses import dataclass

WHO = ("nobody", "owner", "requester", "reviewer", "auditor", "operator", "admin", "rival")
"""Who asks about a review of tenant `acme`: without a key; the requester who submitted it; another one; one person of
each other role; and someone of another tenant with every role."""


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. `answers` has a column for each of `WHO`; `body` is JSON that it takes."""

    method: str
    path: str
    answers: tuple[int, ...]
    body: dict[str, object] | None = None

    def expected(self, who: str) -> int:
        """The status that `who` gets; 200 stands for whatever the endpoint does when it may."""
        return self.answers[WHO.index(who)]


CONTRACT: dict[str, object] = {"text": "1. Term"}
DECISION: dict[str, object] = {"verdict": "approve"}
ANSWER: dict[str, object] = {"text": "yes"}

ENDPOINTS = (
    #                                                         nobody owner requ rev  aud  oper admin rival
    Endpoint("POST", "/v1/reviews",                             (401, 202, 202, 403, 403, 403, 202, 202), CONTRACT),
    Endpoint("GET", "/v1/reviews",                              (401, 200, 200, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/v1/queue",                                (401, 403, 403, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/v1/reviews/{review_id}",                  (401, 200, 404, 200, 200, 403, 200, 404)),
    Endpoint("GET", "/v1/reviews/{review_id}/document",         (401, 200, 404, 200, 200, 403, 200, 404)),
    Endpoint("GET", "/v1/reviews/{review_id}/trail",            (401, 403, 403, 200, 200, 403, 200, 404)),
    Endpoint("GET", "/v1/reviews/{review_id}/events",           (401, 200, 404, 200, 200, 403, 200, 404)),
    Endpoint("POST", "/v1/reviews/{review_id}/claim",           (401, 403, 403, 200, 403, 403, 200, 404), {}),
    Endpoint("POST", "/v1/reviews/{review_id}/decision",        (401, 403, 403, 200, 403, 403, 200, 404), DECISION),
    Endpoint("POST", "/v1/reviews/{review_id}/view",            (401, 403, 403, 200, 403, 403, 200, 404), DECISION),
    Endpoint("POST", "/v1/reviews/{review_id}/answer",          (401, 200, 404, 403, 403, 403, 200, 404), ANSWER),
    Endpoint("POST", "/v1/reviews/{review_id}/effects/{effect}", (401, 403, 403, 200, 403, 403, 200, 404), DECISION),
    Endpoint("GET", "/v1/batches",                              (401, 403, 403, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/v1/batches/{batch_id}",                   (401, 403, 403, 200, 200, 200, 200, 404)),
    Endpoint("GET", "/metrics",                                 (401, 403, 403, 403, 200, 200, 200, 200)),
    Endpoint("GET", "/healthz",                                 (200, 200, 200, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/readyz",                                  (200, 200, 200, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/openapi.json",                            (200, 200, 200, 200, 200, 200, 200, 200)),
)  # fmt: skip
PAGE = "/console/reviews/{review_id}"
EFFECT_FORM: dict[str, object] = {"effect": "approve-E1", "bound-E1": "1:d"}
VIEW_FORM: dict[str, object] = {"view": "approve", "digest": "d"}
SIGNED_FORM: dict[str, object] = {"verdict": "approve", "digest": "d"}
CELL = "/console/autonomy/{playbook}/{contract_type}"
RUN, LIVE = "/console/shadow/runs/{run}", "/console/shadow/live/report"
SIGN_FORM: dict[str, object] = {"act": "sign", "level": "semi_autonomous", "reason": "a quarter without a correction"}
CONSOLE = (
    #                                        nobody owner requ rev  aud  oper admin rival
    Endpoint("GET", "/",                       (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("GET", "/console",                (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("GET", "/console/sign-in",        (200, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("POST", "/console/sign-in",       (401, 401, 401, 401, 401, 401, 401, 401), {}),
    Endpoint("GET", "/console/sign-in/start",    (404, 404, 404, 404, 404, 404, 404, 404)),
    Endpoint("GET", "/console/sign-in/callback", (404, 404, 404, 404, 404, 404, 404, 404)),
    Endpoint("POST", "/console/sign-out",      (401, 303, 303, 303, 303, 303, 303, 303), {}),
    Endpoint("GET", "/console/submit",         (303, 200, 200, 403, 403, 403, 200, 200)),
    Endpoint("POST", "/console/submit",        (401, 303, 303, 403, 403, 403, 303, 303), {"playbook": "nda"}),
    Endpoint("GET", "/console/queue",          (303, 403, 403, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/console/bulk",           (303, 403, 403, 200, 403, 403, 200, 200)),
    Endpoint("POST", "/console/bulk",          (401, 403, 403, 422, 403, 403, 422, 422), {}),
    Endpoint("GET", "/console/reviews",        (303, 200, 200, 200, 200, 200, 200, 200)),
    Endpoint("GET", PAGE,                      (303, 200, 404, 200, 200, 403, 200, 404)),
    Endpoint("GET", f"{PAGE}/events",          (303, 200, 404, 200, 200, 403, 200, 404)),
    Endpoint("GET", f"{PAGE}/claim",           (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("GET", f"{PAGE}/view",            (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("GET", f"{PAGE}/decision",        (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("GET", f"{PAGE}/effect",          (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("GET", f"{PAGE}/answer",          (303, 303, 303, 303, 303, 303, 303, 303)),
    Endpoint("POST", f"{PAGE}/claim",          (401, 403, 403, 303, 403, 403, 303, 404), {}),
    Endpoint("POST", f"{PAGE}/view",           (401, 403, 403, 303, 403, 403, 303, 404), VIEW_FORM),
    Endpoint("POST", f"{PAGE}/decision",       (401, 403, 403, 200, 403, 403, 200, 404), SIGNED_FORM),
    Endpoint("POST", f"{PAGE}/effect",         (401, 403, 403, 303, 403, 403, 303, 404), EFFECT_FORM),
    Endpoint("POST", f"{PAGE}/answer",         (401, 303, 404, 403, 403, 403, 303, 404), {"answer": "yes"}),
    Endpoint("GET", f"{PAGE}/why",             (303, 403, 403, 200, 200, 403, 200, 404)),
    Endpoint("GET", "/console/autonomy",       (303, 403, 403, 200, 200, 200, 200, 200)),
    Endpoint("GET", CELL,                      (303, 403, 403, 200, 200, 200, 200, 404)),
    Endpoint("POST", CELL,                     (401, 403, 403, 403, 403, 403, 303, 404), SIGN_FORM),
    Endpoint("GET", "/console/shadow",         (303, 403, 403, 200, 200, 403, 200, 200)),
    Endpoint("GET", "/console/shadow/live",    (303, 403, 403, 200, 200, 403, 200, 200)),
    Endpoint("GET", f"{LIVE}.{{kind}}",        (303, 403, 403, 200, 200, 403, 200, 200)),
    Endpoint("GET", RUN,                       (303, 403, 403, 200, 200, 403, 200, 404)),
    Endpoint("GET", f"{RUN}/report.{{kind}}",  (303, 403, 403, 200, 200, 403, 200, 404)),
    Endpoint("GET", "/console/circuits",       (303, 403, 403, 200, 200, 200, 200, 200)),
    Endpoint("GET", "/console/memory",         (303, 403, 403, 200, 200, 403, 200, 200)),
    Endpoint("GET", "/console/trail",          (303, 403, 403, 200, 200, 403, 200, 200)),
    Endpoint("GET", "/console/costs",          (303, 403, 403, 403, 200, 200, 200, 200)),
    Endpoint("GET", "/console/limits",         (303, 403, 403, 403, 200, 200, 200, 200)),
    Endpoint("GET", "/console/{rest:path}",    (303, 404, 404, 404, 404, 404, 404, 404)),
)  # fmt: skip
"""The same for the console's pages; `body` is a form. Streams that have no end, and files, are asked elsewhere."""
ROWS = {"owner": 1, "requester": 0, "rival": 0}
"""How many of acme's one review a list shows; to everybody else who may list, all of it."""
