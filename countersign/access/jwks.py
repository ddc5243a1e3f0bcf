"""The keys an OIDC issuer signs with (JWKS, RFC 7517): fetched with bounds, kept, and fetched anew when they change.

A token's key id is written by whoever sends the token, so an unknown one may make us ask the issuer only so often
(`ASK_AGAIN_S`). While the issuer does not answer, the keys it gave last serve on, for `KEEP_S`.
"""

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt

from countersign.errors import InvalidRequest, ServiceUnavailable

logger = logging.getLogger(__name__)

FRESH_S = 300.0
"""After this the keys are fetched again, so that one the issuer withdrew is not taken for longer."""
KEEP_S = 86_400.0
"""The longest that old keys serve while the issuer is away."""
ASK_AGAIN_S = 10.0
"""The issuer is asked at most this often, whatever the tokens say and however it answers."""
FETCH_S = 5.0
"""Patience with the issuer, discovery and keys together."""
MAX_BYTES = 262_144
"""Largest answer that is read; a JWKS of ten RSA keys with certificates has a tenth of it."""
MAX_KEYS = 100

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS_OF: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS = tuple(name for names in _ALGORITHMS_OF.values() for name in names)
"""All that are taken: asymmetric ones, for with `HS256` anyone who knows the public key could sign."""

Keys = Mapping[tuple[str, str], jwt.PyJWK]
"""By key id and algorithm: a key verifies what it was made for and nothing else."""


class UnusableAnswer(Exception):
    """The issuer answered with something that cannot be used: no key set, no discovery document."""


def check_url(url: str, name: str) -> str:
    """`url`, if nobody on the way can change what it answers: https, or http to this machine.

    Raises `InvalidRequest` naming `name`.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    except ValueError:
        secure, host = False, ""
    if not secure or not host or parts.username is not None:
        raise InvalidRequest(
            f"{name}: is no https address", remedy="Write https://host/path; http only for 127.0.0.1 or localhost"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def usable_keys(document: Mapping[str, Any]) -> Keys:
    """The signing keys of a JWKS. Those for encryption, symmetric ones and kinds we do not know are left out."""
    listed = document.get("keys")
    keys: dict[tuple[str, str], jwt.PyJWK] = {}
    for data in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(data, dict) or not isinstance(data.get("kid"), str) or data.get("use", "sig") != "sig":
            continue
        for algorithm in _ALGORITHMS_OF.get((str(data.get("kty")), str(data.get("crv", ""))), ()):
            if data.get("alg", algorithm) == algorithm:
                try:
                    keys[data["kid"], algorithm] = jwt.PyJWK(data, algorithm)
                except jwt.PyJWTError:
                    logger.warning("a key of the OIDC issuer cannot be read and is left out")
                    break
    if not keys:
        raise UnusableAnswer("holds no key that can verify a token")
    return keys


def endpoint(document: Mapping[str, Any], issuer: str, name: str) -> str:
    """One address of the issuer's discovery document (OpenID Connect Discovery 1.0, 4.3). Raises `UnusableAnswer`."""
    url = document.get(name)
    if document.get("issuer") != issuer or not isinstance(url, str):
        raise UnusableAnswer(f"its discovery document is another issuer's, or names no {name}")
    if issuer.startswith("https:") and not url.startswith("https:"):
        raise UnusableAnswer("its discovery document leads away from https")
    return check_url(url, name)


def discovery_url(issuer: str) -> str:
    """Where an issuer's discovery document is."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def issuer_client() -> httpx2.AsyncClient:
    """A client that asks an issuer: patient for `FETCH_S`, follows no redirects, and takes nothing compressed.

    So what is counted is what must be held.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    return httpx2.AsyncClient(timeout=FETCH_S, headers=headers, follow_redirects=False)


class Jwks:
    """One issuer's keys. Safe to use from concurrent tasks of one event loop."""

    def __init__(self, issuer: str, url: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._url = url
        self._clock = clock
        self._keys: Keys = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def key(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """The issuer's key of this id for this algorithm; None when it has none.

        Only a request that no known key serves waits for the issuer. Raises `ServiceUnavailable` when there are no
        keys to go by: the issuer has not answered yet, or for longer than `KEEP_S`.
        """
        found = self._find(kid, algorithm)
        if found is None or self._age() >= FRESH_S:
            if self._asking is None and self._clock() - self._asked_at >= ASK_AGAIN_S:
                self._asking = asyncio.create_task(self._ask())
            if found is None and self._asking is not None:
                # Not cancelled with the request that waits for it: others wait for it too.
                await asyncio.shield(self._asking)
                found = self._find(kid, algorithm)
        if self._age() >= KEEP_S:
            raise ServiceUnavailable(
                "the OIDC issuer's keys cannot be fetched",
                remedy="Ask again in a moment; the gateway's log says why, and API keys work meanwhile",
            )
        return found

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _find(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        return self._keys.get((kid, algorithm)) if self._age() < KEEP_S else None

    async def _ask(self) -> None:
        """Fetch once. What goes wrong is logged, and leaves the keys as they are."""
        self._asked_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_S):
                self._keys = await self._fetch()
            self._fetched_at = self._clock()
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, UnusableAnswer, InvalidRequest) as error:
            reason = str(error) if isinstance(error, UnusableAnswer | InvalidRequest) else type(error).__name__
            logger.warning("the OIDC issuer's keys were not fetched: %s", reason)
        finally:
            self._asking = None

    async def _fetch(self) -> Keys:
        async with issuer_client() as client:
            url = self._url
            if url is None:
                document = await get_json(client, discovery_url(self._issuer))
                url = endpoint(document, self._issuer, "jwks_uri")
            return usable_keys(await get_json(client, url))


async def get_json(client: httpx2.AsyncClient, url: str) -> Mapping[str, Any]:
    """The JSON object at `url`. Raises `UnusableAnswer` when there is none, or a large one."""
    async with client.stream("GET", url) as response:
        if response.status_code != httpx2.codes.OK:
            raise UnusableAnswer(f"status {response.status_code}")
        return await bounded_json(response)


async def bounded_json(response: httpx2.Response) -> Mapping[str, Any]:
    """The JSON object of an answer that is still to be read. Raises `UnusableAnswer` as `get_json` does."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_BYTES:
            raise UnusableAnswer(f"more than {MAX_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise UnusableAnswer("is no JSON") from None
    if not isinstance(document, dict):
        raise UnusableAnswer("is no JSON object")
    return document
