"""Who is asking: a person of one tenant, with roles. Made by the authenticator, believed by everything behind it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from countersign.errors import InvalidRequest
from countersign.review.payloads import ReviewRequest
from countersign.words import Role


@dataclass(frozen=True)
class Principal:
    """An authenticated person.

    Attributes:
        tenant: the one tenant they see anything of.
        user: their name as decisions and requests carry it. Personal: not in `repr`, never in a log.
        user_hash: their pseudonym, for limits, logs and the comparison with a review's requester.
        roles: at least one.
        key_id: of the API key they came with; "" for an OIDC token.
    """

    tenant: str
    user: str = field(repr=False)
    user_hash: str
    roles: frozenset[Role]
    key_id: str = ""


def check_person(tenant: str, user: str) -> str:
    """`user` without the space around it, if a review request may carry the two; else raises `InvalidRequest`.

    A name of which a part cannot be seen is refused: one person must not be able to pass for two (four eyes).
    """
    name = user.strip()
    try:
        ReviewRequest(tenant=tenant, user=name)
    except ValidationError as error:
        # The field is named; the value is not repeated, since one of the two is a name.
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise InvalidRequest(f"{wrong['loc'][0]}: {wrong['msg']}") from None
    if not name.isprintable():
        raise InvalidRequest("user: holds characters that cannot be seen", remedy="Give the name without them")
    return name


def known_roles(words: Iterable[object]) -> frozenset[Role]:
    """The roles among `words`; anything else is ignored, as are roles of a newer version than this one."""
    return frozenset(Role(word) for word in words if isinstance(word, str) and word in Role._value2member_map_)
