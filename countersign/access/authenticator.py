"""From an Authorization header to a person, by API key or OIDC token. Every refusal has the same words."""

from typing import TYPE_CHECKING

from countersign.access.keys import PREFIX, KeyBook
from countersign.access.principal import Principal
from countersign.errors import Unauthenticated
from countersign.settings import Settings
from countersign.trail.pseudonym import Pseudonyms

if TYPE_CHECKING:
    from countersign.access.oidc import Identity, OidcVerifier

MAX_CREDENTIALS = 16_384
"""Characters that are looked at: several times the longest token in use."""


class Authenticator:
    """Says who is asking."""

    def __init__(self, keys: KeyBook, oidc: "OidcVerifier | None", pseudonyms: Pseudonyms) -> None:
        self._keys = keys
        self.oidc = oidc
        self._pseudonyms = pseudonyms

    @classmethod
    def of(cls, settings: Settings, keys: KeyBook, pseudonyms: Pseudonyms) -> "Authenticator":
        """API keys, and tokens of the issuer of the settings, if any. Raises `InvalidRequest` for one half set."""
        if settings.oidc_issuer is None:
            return cls(keys, None, pseudonyms)
        # Only here: it takes the packages of the gateway, and a fifth of a second.
        from countersign.access.oidc import OidcPolicy, OidcVerifier

        return cls(keys, OidcVerifier(OidcPolicy.of(settings)), pseudonyms)

    async def authenticate(self, authorization: str | None) -> Principal:
        """The person of an `Authorization: Bearer …` header.

        Raises `Unauthenticated` for none, and for a malformed, unknown, expired or revoked one alike; `Forbidden` for
        a person of the issuer's without a role here; `ServiceUnavailable` when nobody can tell just now.
        """
        scheme, _, credentials = (authorization or "").partition(" ")
        credentials = credentials.strip(" ")
        principal = None
        if scheme.lower() == "bearer" and len(credentials) <= MAX_CREDENTIALS:
            principal = await self._principal(credentials)
        if principal is None:
            raise Unauthenticated(
                "credentials: none, or none that are valid",
                remedy="Send 'Authorization: Bearer KEY' with a key or token that has not expired",
            )
        return principal

    async def _principal(self, credentials: str) -> Principal | None:
        if credentials.startswith(PREFIX):
            return await self._keys.authenticate(credentials)
        if self.oidc is None:
            return None
        identity = await self.oidc.verify(credentials)
        if identity is None:
            return None
        return self._person(identity)

    async def authenticate_id_token(self, token: str) -> Principal:
        """The person of an ID token that the console was given by the issuer. Raises as `authenticate` does."""
        identity = None if self.oidc is None else await self.oidc.verify_id_token(token)
        if identity is None:
            raise Unauthenticated("the sign-in has run out, or no longer counts", remedy="Sign in again")
        return self._person(identity)

    def _person(self, identity: "Identity") -> Principal:
        """Whom a verified token names."""
        return Principal(identity.tenant, identity.user, self._pseudonyms.of("user", identity.user), identity.roles)
