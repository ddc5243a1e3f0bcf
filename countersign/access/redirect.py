"""Signing in at the OIDC issuer by redirect: the authorization code flow with PKCE.

After OpenID Connect Core 1.0, 3.1, and the security practice of RFC 9700: S256 always (RFC 7636), `state` bound to the
browser by a sealed cookie, `nonce` bound to the ID token, the issuer's name in its answer looked at (RFC 9207), an
address to come back to that is configured and never taken from a request. Nothing the issuer writes for people is
repeated. What comes of it is an ID token, judged by the verifier that judges bearer tokens.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from countersign.access.jwks import (
    FETCH_S,
    FRESH_S,
    UnusableAnswer,
    bounded_json,
    check_url,
    discovery_url,
    endpoint,
    get_json,
    issuer_client,
)
from countersign.access.oidc import OidcVerifier
from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from countersign.store.vault import Vault, VaultError, context

logger = logging.getLogger(__name__)

CALLBACK = "/console/sign-in/callback"
"""Where the issuer sends people back to, below `COUNTERSIGN_CONSOLE_URL`; to be registered with it."""
AFTER_SIGN_OUT = "/console/sign-in"
FLOW_S = 600.0
"""How long somebody may take at the issuer."""
ASK_AGAIN_S = 2.0
"""An issuer that did not answer is asked again after this, whoever presses Retry how often."""
MAX_KEPT = 3_000
MAX_PARAMETER = 4_096
_PLACE = context("sign-in")

Why = Literal["denied", "expired", "other_browser", "refused", "issuer"]
"""Why a sign-in came to nothing: by the person or the issuer's rules; too late; begun elsewhere, or not at all; the
token did not hold; the issuer said that something is wrong with the request."""


class SignInFailed(Exception):
    """A sign-in came to nothing. Carries one word of ours and nothing that was sent."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


@dataclass(frozen=True)
class FlowPolicy:
    """What the console is at the issuer. Raises `InvalidRequest` for a public address without TLS or with a path.

    Attributes:
        public_url: where people reach the console, without a slash at its end.
        client_secret: if the issuer gave one.
    """

    issuer: str
    client_id: str
    public_url: str
    client_secret: str | None = field(default=None, repr=False)
    scope: str = "openid"

    def __post_init__(self) -> None:
        check_url(self.public_url, "COUNTERSIGN_CONSOLE_URL")
        parts = urlsplit(self.public_url)
        if parts.path or parts.query or parts.fragment:
            raise InvalidRequest(
                "COUNTERSIGN_CONSOLE_URL: is more than a host", remedy="Write https://host, or https://host:port"
            )

    @classmethod
    def of(cls, settings: Settings) -> "FlowPolicy":
        """The policy of settings that name issuer and client. Raises `InvalidRequest` when one of the others lacks."""
        issuer, client_id, secret = settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret
        if not issuer or not client_id or not settings.console_url:
            raise InvalidRequest(
                "COUNTERSIGN_OIDC_ISSUER, COUNTERSIGN_OIDC_CLIENT_ID, COUNTERSIGN_CONSOLE_URL: one of them is not set",
                remedy="Set all three for signing in at the issuer, or no client id",
            )
        return cls(
            issuer=issuer,
            client_id=client_id,
            public_url=settings.console_url.rstrip("/"),
            client_secret=secret.get_secret_value() if secret is not None else None,
            scope=settings.oidc_scope,
        )

    @property
    def redirect_uri(self) -> str:
        """Exactly as it is registered at the issuer."""
        return self.public_url + CALLBACK


@dataclass(frozen=True)
class Endpoints:
    """What the discovery document says that the flow needs.

    Attributes:
        names_itself: the issuer puts its name into every answer (RFC 9207), so one without is not its own.
        takes_basic: the secret goes into the header, and into the body where the issuer takes no header.
    """

    authorization: str
    token: str
    end_session: str | None
    names_itself: bool
    takes_basic: bool

    @classmethod
    def of(cls, document: Mapping[str, Any], issuer: str) -> "Endpoints":
        """Raises `UnusableAnswer` and `InvalidRequest` for a document that does not do."""
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return cls(
            authorization=endpoint(document, issuer, "authorization_endpoint"),
            token=endpoint(document, issuer, "token_endpoint"),
            end_session=(
                endpoint(document, issuer, "end_session_endpoint") if "end_session_endpoint" in document else None
            ),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
            takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
        )


@dataclass(frozen=True)
class _Flow:
    """One sign-in under way, as the browser keeps it sealed. `began` in seconds since 1970."""

    state: str
    nonce: str
    verifier: str = field(repr=False)
    there: str
    began: float


class CodeFlow:
    """Signs people in at one issuer. Safe to use from concurrent tasks. Remembers no sign-in: any process ends one."""

    def __init__(
        self, policy: FlowPolicy, verifier: OidcVerifier, vault: Vault, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.policy = policy
        self._verifier = verifier
        self._vault = vault
        self._key = vault.derive("console sign-in")
        self._clock = clock
        self._endpoints: Endpoints | None = None
        self._fetched_at = self._failed_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def host(self) -> str:
        """The issuer's host, to name it by."""
        return urlsplit(self.policy.issuer).hostname or ""

    async def begin(self, there: str) -> tuple[str, str]:
        """The issuer's address to send a person to, and what their browser is to keep meanwhile.

        `there` is where they want to go afterwards. Raises `ServiceUnavailable` when the issuer does not answer.
        """
        found = await self._discovered()
        flow = _Flow(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), there, self._clock()
        )
        asked = {
            "response_type": "code",
            "client_id": self.policy.client_id,
            "redirect_uri": self.policy.redirect_uri,
            "scope": self.policy.scope,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge(flow.verifier),
            "code_challenge_method": "S256",
        }
        return with_query(found.authorization, asked), self._seal(flow)

    async def finish(self, kept: str, given: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """The ID token and where to go, from what the browser kept and the parameters of the issuer's answer.

        Raises `SignInFailed`; `Forbidden` for a person without a role here; `ServiceUnavailable` when the issuer does
        not answer.
        """
        answer = dict(given)
        if len(answer) < len(given):
            raise SignInFailed("refused")  # RFC 6749, 3.1: no parameter twice
        flow = self._open(kept)
        if flow is None or not hmac.compare_digest(flow.state.encode(), answer.get("state", "").encode()):
            raise SignInFailed("other_browser")
        if not 0 <= self._clock() - flow.began < FLOW_S:
            raise SignInFailed("expired")
        found = await self._discovered()
        named = answer.get("iss")
        if named != self.policy.issuer and (named is not None or found.names_itself):
            raise SignInFailed("refused")
        if "error" in answer:
            # The one word that is compared is not repeated, and the sentence beside it is not read.
            raise SignInFailed("denied" if answer["error"] == "access_denied" else "issuer")
        if not 1 <= len(answer.get("code", "")) <= MAX_PARAMETER:
            raise SignInFailed("refused")
        token = await self._redeem(found, answer["code"], flow.verifier)
        if await self._verifier.verify_id_token(token, flow.nonce) is None:
            raise SignInFailed("refused")
        return token, flow.there

    async def sign_out_url(self, id_token: str) -> str | None:
        """Where the issuer ends its own session (OpenID Connect RP-Initiated Logout 1.0); None if it does not say."""
        try:
            found = await self._discovered()
        except ServiceUnavailable:
            return None  # signed out here all the same
        if found.end_session is None:
            return None
        return with_query(
            found.end_session,
            {
                "id_token_hint": id_token,
                "client_id": self.policy.client_id,
                "post_logout_redirect_uri": self.policy.public_url + AFTER_SIGN_OUT,
            },
        )

    async def _redeem(self, found: Endpoints, code: str, verifier: str) -> str:
        """The ID token for a code, once."""
        policy, headers = self.policy, {}
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": policy.redirect_uri,
            "code_verifier": verifier,
        }
        if policy.client_secret is not None and found.takes_basic:
            pair = f"{quote(policy.client_id, safe='')}:{quote(policy.client_secret, safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = policy.client_id
            if policy.client_secret is not None:
                form["client_secret"] = policy.client_secret
        try:
            async with (
                asyncio.timeout(FETCH_S),
                issuer_client() as client,
                client.stream("POST", found.token, data=form, headers=headers) as response,
            ):
                status = response.status_code
                body = await bounded_json(response) if status == httpx2.codes.OK else {}
        except (httpx2.HTTPError, TimeoutError, UnusableAnswer) as error:
            raise self._away("token endpoint", error) from None
        if status >= 500 or status == 429:
            raise self._away("token endpoint", UnusableAnswer(f"status {status}"))
        token = body.get("id_token")
        if not isinstance(token, str):
            # A code that was used, or a client id or secret that is not the issuer's: the latter is for the operator.
            logger.warning("the OIDC issuer gave no ID token for a code: status %d", status)
            raise SignInFailed("refused")
        return token

    async def _discovered(self) -> Endpoints:
        """The issuer's endpoints, asked for anew now and then. The last ones serve on while it is away."""
        async with self._asking:
            now = self._clock()
            if now - max(self._fetched_at + FRESH_S, self._failed_at + ASK_AGAIN_S) >= 0:
                try:
                    async with asyncio.timeout(FETCH_S), issuer_client() as client:
                        document = await get_json(client, discovery_url(self.policy.issuer))
                    self._endpoints = Endpoints.of(document, self.policy.issuer)
                    self._fetched_at = now
                except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, UnusableAnswer, InvalidRequest) as error:
                    self._failed_at = self._clock()
                    self._away("discovery document", error)
            if self._endpoints is None:
                raise _is_away()
            return self._endpoints

    def _away(self, what: str, error: Exception) -> ServiceUnavailable:
        reason = str(error) if isinstance(error, UnusableAnswer | InvalidRequest) else type(error).__name__
        logger.warning("the OIDC issuer's %s: %s", what, reason)
        return _is_away()

    def _seal(self, flow: _Flow) -> str:
        plain = json.dumps(astuple(flow)).encode()
        return base64.urlsafe_b64encode(self._vault.seal(self._key, plain, _PLACE)).decode().rstrip("=")

    def _open(self, kept: str) -> _Flow | None:
        if not kept or len(kept) > MAX_KEPT:
            return None
        try:
            sealed = base64.b64decode(kept + "=" * (-len(kept) % 4), altchars=b"-_", validate=True)
            return _Flow(*json.loads(self._vault.open(self._key, sealed, _PLACE)))
        except (binascii.Error, ValueError, VaultError):
            return None


def challenge(verifier: str) -> str:
    """The S256 code challenge of a code verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).decode().rstrip("=")


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """`url` with these fields beside those that it has."""
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(fields, quote_via=quote)) if part)
    return parts._replace(query=query, fragment="").geturl()


def _is_away() -> ServiceUnavailable:
    return ServiceUnavailable("the OIDC issuer does not answer as it should", remedy="Try again, or use an API key")
