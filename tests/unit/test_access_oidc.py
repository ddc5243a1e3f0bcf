"""OIDC tokens against an issuer on this machine with real keys: what is taken, and how often the issuer is asked."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from countersign.access import jwks
from countersign.access.jwks import ASK_AGAIN_S, FRESH_S, KEEP_S, MAX_BYTES, Jwks, UnusableAnswer, endpoint
from countersign.access.oidc import LEEWAY_S, Identity, OidcPolicy, OidcVerifier
from countersign.errors import Forbidden, ServiceUnavailable
from countersign.words import Role

RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
NAME = "zanzibarquux@example.com"
ANN = Identity("acme", NAME, frozenset({Role.REVIEWER}))
AUDIENCE = "countersign"


def public(key: Any, kid: str, **fields: str) -> dict[str, Any]:
    kind = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((maker for of, maker in kind.items() if isinstance(key, of)), OKPAlgorithm)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **fields}


KEYS = [
    public(RSA, "rsa", use="sig", alg="RS256"),
    public(RSA, "any"),
    public(EC, "ec", use="sig"),
    public(ED, "ed"),
    public(SMALL, "small"),
    public(OTHER, "for-encryption", use="enc"),
    {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
    {"kty": "RSA", "kid": "damaged", "n": "!", "e": "AQAB"},
    {"kty": ["RSA"], "kid": "odd"},
    {"kty": "RSA"},
    "nonsense",
]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """An HTTP server: `pages` maps paths to (status, headers, body); `asked` counts. `held` paths are not answered."""

    def __init__(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked[self.path] += 1
                if self.path in issuer.held:
                    issuer.released.wait(30)
                status, headers, body = issuer.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                # A caller that had enough has hung up.
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}/realms/main"
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.held: set[str] = set()
        self.released = threading.Event()
        self.publish("/realms/main/.well-known/openid-configuration", {"issuer": self.url, "jwks_uri": self.jwks_url})
        self.publish("/keys", {"keys": KEYS})

    @property
    def jwks_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/keys"

    def publish(self, path: str, document: Any) -> None:
        self.pages[path] = (200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._thread.is_alive():
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    server = Issuer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def verifier(issuer: Issuer, clock: Clock | None = None, **fields: str | None) -> OidcVerifier:
    policy = OidcPolicy(
        **{"issuer": issuer.url, "audience": AUDIENCE, "jwks_url": issuer.jwks_url, **fields}  # type: ignore[arg-type]
    )
    return OidcVerifier(policy, Jwks(policy.issuer, policy.jwks_url, clock=clock or Clock()))


def claims(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    """A good token's claims with changes; None removes one."""
    now = int(time.time())
    good = {
        "iss": issuer.url,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 300,
        "sub": NAME,
        "tenant": "acme",
        "roles": ["reviewer", "offline_access"],
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    issuer: Issuer, *, key: Any = RSA, alg: str = "RS256", head: dict[str, Any] | None = None, **changes: Any
) -> str:
    return jwt.encode(claims(issuer, **changes), key, alg, headers={"kid": "rsa", **(head or {})})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(issuer: Issuer, head: dict[str, Any], sign: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """A token that no library would make."""
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims(issuer)).encode())}"
    return f"{signed}.{b64(sign(signed.encode()))}"


# --- what is taken ---


@pytest.mark.parametrize(
    ("key", "alg", "kid"),
    [(RSA, "RS256", "rsa"), (RSA, "PS384", "any"), (RSA, "RS512", "any"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")],
)
async def test_a_good_token_is_whom_it_names(issuer: Issuer, key: Any, alg: str, kid: str) -> None:
    assert await verifier(issuer).verify(token(issuer, key=key, alg=alg, head={"kid": kid})) == ANN


async def test_the_keys_are_where_the_discovery_document_says(issuer: Issuer) -> None:
    assert await verifier(issuer, jwks_url=None).verify(token(issuer)) == ANN
    assert issuer.asked == {"/realms/main/.well-known/openid-configuration": 1, "/keys": 1}


GOOD: dict[str, Callable[[Issuer], str]] = {
    "one audience of several": lambda it: token(it, aud=["account", AUDIENCE]),
    "expired by their clock alone": lambda it: token(it, exp=int(time.time()) - LEEWAY_S + 20),
    "begun by their clock alone": lambda it: token(it, nbf=int(time.time()) + LEEWAY_S - 20),
    "an access token by its type": lambda it: token(it, head={"typ": "at+JWT"}),
    "a name with space around it": lambda it: token(it, sub=f" {NAME} "),
    "roles as one text": lambda it: token(it, roles="profile reviewer"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_what_else_is_a_good_token(issuer: Issuer, name: str) -> None:
    assert await verifier(issuer).verify(GOOD[name](issuer)) == ANN


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}),
        ("resource_access.countersign.roles", {"resource_access": {"countersign": {"roles": ["admin"]}}}),
        ("https://example.com/roles", {"https://example.com/roles": ["admin"]}),
    ],
)
async def test_roles_come_from_the_claim_that_is_set_and_no_other(
    issuer: Issuer, path: str, found: dict[str, Any]
) -> None:
    identity = await verifier(issuer, role_claim=path).verify(token(issuer, **found))
    assert identity is not None and identity.roles == {Role.ADMIN}


@pytest.mark.parametrize("roles", [None, [], "", ["Reviewer", "owner"], {"reviewer": True}, 7, [["reviewer"]], True])
async def test_a_valid_person_without_a_role_is_forbidden_not_unknown(issuer: Issuer, roles: object) -> None:
    with pytest.raises(Forbidden) as refused:
        await verifier(issuer).verify(token(issuer, roles=roles))
    assert "roles" in str(refused.value) and NAME not in str(refused.value)


# --- what is not ---


def _public_pem() -> bytes:
    return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _with_public_key(data: bytes) -> bytes:
    return hmac.digest(_public_pem(), data, hashlib.sha256)


def _tampered(issuer: Issuer) -> str:
    head, _, signature = token(issuer).split(".")
    return f"{head}.{b64(json.dumps(claims(issuer, roles=['admin'])).encode())}.{signature}"


BAD: dict[str, Callable[[Issuer], str]] = {
    "wrong issuer": lambda it: token(it, iss="https://evil.example"),
    "issuer with a slash": lambda it: token(it, iss=it.url + "/"),
    "no issuer": lambda it: token(it, iss=None),
    "wrong audience": lambda it: token(it, aud="account"),
    "no audience": lambda it: token(it, aud=None),
    "expired": lambda it: token(it, exp=int(time.time()) - LEEWAY_S - 5),
    "no expiry": lambda it: token(it, exp=None),
    "not yet": lambda it: token(it, nbf=int(time.time()) + LEEWAY_S + 60),
    "alg none": lambda it: by_hand(it, {"alg": "none", "kid": "rsa"}),
    "alg None": lambda it: by_hand(it, {"alg": "None", "kid": "rsa"}),
    "alg a list": lambda it: by_hand(it, {"alg": ["RS256"], "kid": "rsa"}),
    "no alg": lambda it: by_hand(it, {"kid": "rsa"}),
    "the public key as a shared secret": lambda it: by_hand(it, {"alg": "HS256", "kid": "rsa"}, _with_public_key),
    "a symmetric key of the set": lambda it: by_hand(
        it, {"alg": "HS256", "kid": "shared"}, lambda data: hmac.digest(b"secret", data, hashlib.sha256)
    ),
    "another's signature": lambda it: token(it, key=OTHER),
    "no signature": lambda it: by_hand(it, {"alg": "RS256", "kid": "rsa"}),
    "changed claims": _tampered,
    "another algorithm than the key's": lambda it: token(it, alg="RS512"),
    "a key for encryption": lambda it: token(it, key=OTHER, head={"kid": "for-encryption"}),
    "a key too small": lambda it: token(it, key=SMALL, head={"kid": "small"}),
    "a damaged key": lambda it: token(it, head={"kid": "damaged"}),
    "unknown kid": lambda it: token(it, head={"kid": "nobody"}),
    "no kid": lambda it: by_hand(it, {"alg": "RS256"}),
    "kid a number": lambda it: by_hand(it, {"alg": "RS256", "kid": 7}),
    "its own key along": lambda it: token(it, key=OTHER, head={"kid": "x", "jwk": public(OTHER, "x")}),
    "its own address along": lambda it: token(it, key=OTHER, head={"kid": "x", "jku": it.url + "/evil"}),
    "unknown critical extension": lambda it: token(it, head={"crit": ["exp2"], "exp2": 1}),
    "a logout token": lambda it: token(it, head={"typ": "logout+jwt"}),
    "an encrypted token": lambda it: "a.b.c.d.e",
    "empty": lambda it: "",
    "dots": lambda it: "..",
    "no token": lambda it: "zanzibarquux",
    "deep header": lambda it: b64(b'{"a":' * 5000) + ".e30.",
    "not ASCII": lambda it: token(it) + "é",
    "half a character": lambda it: token(it) + "\ud800",
    "no tenant": lambda it: token(it, tenant=None),
    "tenant no text": lambda it: token(it, tenant=["acme"]),
    "tenant no tenant": lambda it: token(it, tenant="../acme"),
    "no user": lambda it: token(it, sub=None),
    "user empty": lambda it: token(it, sub=" "),
    "user endless": lambda it: token(it, sub=NAME * 100),
    "user with an invisible part": lambda it: token(it, sub=NAME + "\u200b"),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", BAD)
async def test_what_is_not_a_good_token(issuer: Issuer, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bad = BAD[name](issuer)
    assert await verifier(issuer).verify(bad) is None
    assert set(issuer.asked) <= {"/keys"}
    # Neither the name nor any part of the token is in the log, whatever goes wrong.
    assert NAME not in caplog.text
    assert not [part for part in bad.split(".") if len(part) > 20 and part in caplog.text]


# --- how the issuer is asked ---


async def test_random_key_ids_do_not_hammer_the_issuer(issuer: Issuer, clock: Clock) -> None:
    gate = verifier(issuer, clock)
    bad = [token(issuer, head={"kid": f"random-{number}"}) for number in range(60)]
    assert set(await asyncio.gather(*map(gate.verify, bad))) == {None}
    assert issuer.asked["/keys"] == 1
    clock.now += ASK_AGAIN_S
    assert set(await asyncio.gather(*map(gate.verify, bad))) == {None}
    assert issuer.asked["/keys"] == 2


async def test_a_new_key_of_the_issuer_is_found(issuer: Issuer, clock: Clock) -> None:
    gate = verifier(issuer, clock)
    assert await gate.verify(token(issuer)) == ANN
    issuer.publish("/keys", {"keys": [*KEYS, public(OTHER, "new")]})
    clock.now += ASK_AGAIN_S
    assert await gate.verify(token(issuer, key=OTHER, head={"kid": "new"})) == ANN


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - a server in another thread
            await asyncio.sleep(0.01)


async def test_a_withdrawn_key_is_dropped_without_anyone_waiting(issuer: Issuer, clock: Clock) -> None:
    gate = verifier(issuer, clock)
    old = token(issuer)
    assert await gate.verify(old) == ANN
    issuer.publish("/keys", {"keys": [public(OTHER, "new")]})
    clock.now += FRESH_S
    issuer.held.add("/keys")
    assert await gate.verify(old) == ANN  # the answer is on its way; this one does not wait for it
    issuer.released.set()

    async def dropped() -> bool:
        return await gate.verify(old) is None

    await until(dropped)


async def test_while_the_issuer_is_away_its_last_keys_serve_for_a_day(issuer: Issuer, clock: Clock) -> None:
    gate = verifier(issuer, clock)
    assert await gate.verify(token(issuer)) == ANN
    issuer.stop()
    clock.now += KEEP_S - 1
    assert await gate.verify(token(issuer)) == ANN
    assert await gate.verify(token(issuer, head={"kid": "nobody"})) is None
    clock.now += 1
    with pytest.raises(ServiceUnavailable):
        await gate.verify(token(issuer))


Answer = tuple[int, dict[str, str], bytes]
SET = json.dumps({"keys": KEYS}).encode()
USELESS: dict[str, Answer] = {
    "too large": (200, {}, SET[:-1] + b" " * MAX_BYTES + b"}"),
    "endless, as it says": (200, {"Content-Length": "999999999999"}, b"{" + b" " * MAX_BYTES),
    "packed": (200, {"Content-Encoding": "gzip"}, gzip.compress(SET)),
    "elsewhere": (302, {"Location": "/elsewhere"}, b""),
    "an error": (500, {}, SET),
    "no JSON": (200, {}, b"<html>"),
    "no text": (200, {}, b"\xff\xfe{"),
    "deep": (200, {}, b"[" * 100_000),
    "no object": (200, {}, b"[]"),
    "no keys": (200, {}, b"{}"),
    "keys no list": (200, {}, b'{"keys": {"kid": "rsa"}}'),
    "no usable key": (200, {}, json.dumps({"keys": KEYS[5:]}).encode()),
    "cut off": (200, {"Content-Length": str(len(SET) + 10)}, SET),
}


@pytest.mark.parametrize("name", USELESS)
async def test_without_usable_keys_nobody_can_tell_and_the_log_says_why(
    issuer: Issuer, clock: Clock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.publish("/elsewhere", {"keys": KEYS})
    issuer.pages["/keys"] = USELESS[name]
    gate = verifier(issuer, clock)
    with pytest.raises(ServiceUnavailable):
        await gate.verify(token(issuer))
    assert "the OIDC issuer's keys were not fetched: " in caplog.text
    # It is not asked again at once, and forgiven when it has mended.
    with pytest.raises(ServiceUnavailable):
        await gate.verify(token(issuer))
    assert issuer.asked == {"/keys": 1}
    issuer.publish("/keys", {"keys": KEYS})
    clock.now += ASK_AGAIN_S
    assert await gate.verify(token(issuer)) == ANN


async def test_a_slow_issuer_is_not_waited_for(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jwks, "FETCH_S", 0.1)
    issuer.held.add("/keys")
    with pytest.raises(ServiceUnavailable):
        await verifier(issuer).verify(token(issuer))
    assert "Timeout" in caplog.text


async def test_one_who_gives_up_does_not_end_the_others_wait(issuer: Issuer) -> None:
    gate = verifier(issuer)
    issuer.held.add("/keys")
    crowd = [asyncio.create_task(gate.verify(token(issuer))) for _ in range(3)]

    async def asked() -> bool:
        return issuer.asked["/keys"] == 1

    await until(asked)
    crowd[0].cancel()
    issuer.released.set()
    assert await asyncio.gather(*crowd[1:]) == [ANN, ANN]
    assert issuer.asked["/keys"] == 1


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"issuer": "https://evil.example", "jwks_uri": "KEYS"}, "another issuer's"),
        ({"jwks_uri": "KEYS"}, "another issuer's"),
        ({"issuer": "ISSUER"}, "no jwks_uri"),
        ({"issuer": "ISSUER", "jwks_uri": 7}, "no jwks_uri"),
        ({"issuer": "ISSUER", "jwks_uri": "http://169.254.169.254/latest/meta-data"}, "no https address"),
        ({"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}, "no https address"),
    ],
)
async def test_a_discovery_document_that_leads_astray_is_not_followed(
    issuer: Issuer, document: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = {"ISSUER": issuer.url, "KEYS": issuer.jwks_url}
    path = "/realms/main/.well-known/openid-configuration"
    issuer.publish(path, {name: words.get(value, value) for name, value in document.items()})
    with pytest.raises(ServiceUnavailable):
        await verifier(issuer, jwks_url=None).verify(token(issuer))
    assert issuer.asked == {path: 1}
    assert reason in caplog.text


def test_an_https_issuer_does_not_lead_to_this_machine() -> None:
    issuer = "https://id.example"
    assert endpoint({"issuer": issuer, "jwks_uri": f"{issuer}/keys"}, issuer, "jwks_uri") == f"{issuer}/keys"
    with pytest.raises(UnusableAnswer):
        endpoint({"issuer": issuer, "jwks_uri": "http://127.0.0.1:6379/"}, issuer, "jwks_uri")
