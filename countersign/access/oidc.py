"""OIDC tokens, bearer and ID: whether the issuer signed this one, for us, for now, and whom it names.

Tokens are verified as RFC 8725 says: asymmetric algorithms of our own list, a key of the issuer's, issuer and audience
required, and no address out of a token is ever fetched. Choose a role claim that speaks of this application alone
(`resource_access.countersign.roles`), since an `admin` of something else is not one here, and a user claim that the
issuer alone decides (`sub`): a name that people choose for themselves lets one person sign as two.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt

from countersign.access.jwks import ALGORITHMS, Jwks, check_url
from countersign.access.principal import check_person, known_roles
from countersign.errors import Forbidden, InvalidRequest
from countersign.settings import Settings
from countersign.words import Role

logger = logging.getLogger(__name__)

LEEWAY_S = 30
"""How far the issuer's clock may be from ours."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Kinds of JWT that may be a bearer token (RFC 9068): a logout token, say, is signed by the same keys."""
ID_TYPES = frozenset({"jwt"})
"""Kinds that may be an ID token: an access token is none."""


class Identity(NamedTuple):
    """Whom a token names."""

    tenant: str
    user: str
    roles: frozenset[Role]


@dataclass(frozen=True)
class OidcPolicy:
    """Whose tokens are taken, and where in them the facts are. Raises `InvalidRequest` for an address without TLS.

    Attributes:
        issuer, audience: exactly as a bearer token must name them.
        client_id: what the console is called at the issuer, and ID tokens are for; None: none are taken.
        jwks_url: where the issuer's keys are; None: where its discovery document says.
        role_claim, tenant_claim, user_claim: names of claims; dots lead into nested ones (`realm_access.roles`).
    """

    issuer: str
    audience: str
    jwks_url: str | None = None
    role_claim: str = "roles"
    tenant_claim: str = "tenant"
    user_claim: str = "sub"
    client_id: str | None = None

    def __post_init__(self) -> None:
        check_url(self.issuer, "COUNTERSIGN_OIDC_ISSUER")
        if self.jwks_url is not None:
            check_url(self.jwks_url, "COUNTERSIGN_OIDC_JWKS_URL")

    @classmethod
    def of(cls, settings: Settings) -> "OidcPolicy":
        """The policy of the settings. Raises `InvalidRequest` unless they name both issuer and audience."""
        issuer, audience = settings.oidc_issuer, settings.oidc_audience
        if not issuer or not audience:
            raise InvalidRequest(
                "COUNTERSIGN_OIDC_ISSUER, COUNTERSIGN_OIDC_AUDIENCE: one of the two is not set",
                remedy="Set both, or neither: tokens that were made for others are not for this gateway",
            )
        return cls(
            issuer=issuer,
            audience=audience,
            jwks_url=settings.oidc_jwks_url,
            role_claim=settings.oidc_role_claim,
            tenant_claim=settings.oidc_tenant_claim,
            user_claim=settings.oidc_user_claim,
            client_id=settings.oidc_client_id,
        )


class _Refused(Exception):
    """Why a token is not valid. Never quotes it."""


class OidcVerifier:
    """Verifies tokens under one policy. Fetches the issuer's keys when the first token comes."""

    def __init__(self, policy: OidcPolicy, keys: Jwks | None = None) -> None:
        self._policy = policy
        self._keys = keys or Jwks(policy.issuer, policy.jwks_url)

    async def verify(self, token: str) -> Identity | None:
        """Whom a bearer token names; None for one that is not valid here and now (the debug log says why).

        Raises `Forbidden` for a valid one without a role of ours, and `ServiceUnavailable` when the issuer's keys
        are not to be had.
        """
        try:
            return self._identity(await self._claims(token, TYPES, self._policy.audience, ["iss", "aud", "exp"]))
        except _Refused as refused:
            logger.debug("token refused: %s", refused)
            return None

    async def verify_id_token(self, token: str, nonce: str | None = None) -> Identity | None:
        """The same for an ID token (OpenID Connect Core 1.0, 3.1.3.7), which is for our client id and nobody's bearer.

        `nonce`, when it is fresh from the issuer: what was sent there. Raises as `verify` does.
        """
        client_id = self._policy.client_id
        if client_id is None:
            return None
        try:
            claims = await self._claims(token, ID_TYPES, client_id, ["iss", "aud", "exp", "iat", "sub"])
            _check_id_token(claims, client_id, nonce)
            return self._identity(claims)
        except _Refused as refused:
            logger.debug("ID token refused: %s", refused)
            return None

    async def _claims(
        self, token: str, kinds: frozenset[str], audience: str, required: Sequence[str]
    ) -> Mapping[str, Any]:
        """What a token of one of these kinds says that the issuer signed for us, for now."""
        try:
            kid, algorithm = _header(token, kinds)
            key = await self._keys.key(kid, algorithm)
            if key is None:
                raise _Refused("its key is not the issuer's")
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._policy.issuer,
                audience=audience,
                leeway=LEEWAY_S,
                options={"require": list(required), "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError) as error:
            # Only the kind of error: its text may quote the token.
            raise _Refused(type(error).__name__) from None

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        policy = self._policy
        tenant, user = _claim(claims, policy.tenant_claim), _claim(claims, policy.user_claim)
        if not isinstance(tenant, str) or not isinstance(user, str):
            raise _Refused("no tenant or user claim")
        try:
            user = check_person(tenant, user)
        except InvalidRequest:
            raise _Refused("tenant or user claim cannot be used") from None
        named = _claim(claims, policy.role_claim)
        roles = known_roles(named.split() if isinstance(named, str) else named if isinstance(named, list) else ())
        if not roles:
            raise Forbidden(
                f"the token gives no role: its claim {policy.role_claim} has none of {', '.join(Role)}",
                remedy="Have the issuer give the person one",
            )
        return Identity(tenant, user, roles)


def _check_id_token(claims: Mapping[str, Any], client_id: str, nonce: str | None) -> None:
    """What an ID token says beyond a bearer token. Raises `_Refused`."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else client_id) != client_id:
        raise _Refused("it was made for another client")
    if nonce is not None and claims.get("nonce") != nonce:
        raise _Refused("it answers another sign-in")


def _header(token: str, kinds: frozenset[str]) -> tuple[str, str]:
    """Key id and algorithm of a token that is worth looking at further."""
    header = jwt.get_unverified_header(token)
    kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
    if not isinstance(kid, str):
        raise _Refused("its key has no id")
    if algorithm not in ALGORITHMS:
        raise _Refused("its algorithm is not taken")
    if not isinstance(kind, str) or kind.lower() not in kinds:
        raise _Refused("it is another kind of token")
    return kid, algorithm


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, which may itself hold dots (`https://example.com/roles`), or else by a path of names."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
