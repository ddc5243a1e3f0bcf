"""The tools there are and what each says of itself. Names are stored (policies, trail), so none is ever renamed."""

from collections.abc import Mapping

from countersign.errors import InvalidRequest
from countersign.words import Nature

SEARCH_PRECEDENTS = "search_precedents"
LOOK_UP_COUNTERPARTY = "look_up_counterparty"
RESOLVE_REFERENCE = "resolve_reference"
RESOLVE_TERM = "resolve_term"
CHECK_DATE = "check_date"
CHECK_NUMBER = "check_number"
SEND_NOTICE = "send_notice"
RECORD_OBLIGATION = "record_obligation"

NATURES: Mapping[str, Nature] = {
    SEARCH_PRECEDENTS: Nature.READ_ONLY,
    LOOK_UP_COUNTERPARTY: Nature.READ_ONLY,
    RESOLVE_REFERENCE: Nature.READ_ONLY,
    RESOLVE_TERM: Nature.READ_ONLY,
    CHECK_DATE: Nature.READ_ONLY,
    CHECK_NUMBER: Nature.READ_ONLY,
    SEND_NOTICE: Nature.EFFECT,
    RECORD_OBLIGATION: Nature.EFFECT,
}
OF_MEMORY = frozenset({SEARCH_PRECEDENTS, LOOK_UP_COUNTERPARTY})
"""Tools that answer from what the tenant has stored, beyond the document."""


def known_tool(name: str) -> str:
    """`name`, when there is such a tool. Raises `InvalidRequest` that lists the tools there are."""
    if name not in NATURES:
        raise InvalidRequest("tool: there is no such tool", remedy=f"The tools are {', '.join(NATURES)}")
    return name
