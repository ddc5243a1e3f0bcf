"""An OIDC provider on this machine that speaks the authorization code flow, and misbehaves when told to."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID = "countersign-console"
SECRET = "a secret: of 9+ %signs"
MARKUP = '<script>alert("issuer")</script>'
_KEY = rsa.generate_private_key(65537, 2048)
_OTHER = rsa.generate_private_key(65537, 2048)


class Provider:
    """The issuer. `does` names how it misbehaves; `claims` are those of whoever comes, unasked."""

    def __init__(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                provider.answer(self, parts.path, {name: one[0] for name, one in parse_qs(parts.query).items()})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.redeem(self, {name: one[0] for name, one in parse_qs(body).items()})

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.does: set[str] = set()
        self.claims: dict[str, Any] = {"sub": "Rita Keller", "tenant": "acme", "roles": ["reviewer"]}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[dict[str, str]] = []
        """Parameters of authorisation requests, the last one last."""
        self.redeemed: list[dict[str, str]] = []
        """Forms of token requests."""
        self.signed_out: list[dict[str, str]] = []
        self.released = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Provider"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, http: BaseHTTPRequestHandler, path: str, asked: dict[str, str]) -> None:
        if "down" in self.does:
            _send(http, 503, {})
        elif path == "/.well-known/openid-configuration":
            document = {
                "issuer": "https://elsewhere.example" if "other_discovery" in self.does else self.url,
                "authorization_endpoint": f"{self.url}/authorize?theme=calm",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "authorization_response_iss_parameter_supported": True,
            }
            if "no_logout" not in self.does:
                document["end_session_endpoint"] = f"{self.url}/logout"
            if "post_only" in self.does:
                document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
            _send(http, 200, document)
        elif path == "/keys":
            jwk = RSAAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
            _send(http, 200, {"keys": [{**jwk, "kid": "one", "use": "sig", "alg": "RS256"}]})
        elif path == "/authorize":
            self.asked.append(asked)
            _go(http, f"{asked['redirect_uri']}?{urlencode(self._said(asked))}")
        else:
            self.signed_out.append(asked)
            _go(http, asked["post_logout_redirect_uri"])

    def _said(self, asked: dict[str, str]) -> dict[str, str]:
        """The parameters that go back with the browser."""
        said = {"state": asked["state"], "iss": self.url}
        if "mix_up" in self.does:
            said["iss"] = "https://elsewhere.example"
        if "no_iss" in self.does:
            del said["iss"]
        if "wrong_state" in self.does:
            said["state"] = secrets.token_urlsafe(32)
        if "deny" in self.does or "report" in self.does:
            error = "access_denied" if "deny" in self.does else MARKUP
            return {**said, "error": error, "error_description": MARKUP}
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {**said, "code": code}

    def redeem(self, http: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        self.redeemed.append(form)
        if "slow" in self.does:
            self.released.wait(30)
        if "broken" in self.does:
            _send(http, 500, {})
            return
        pair = base64.b64encode(b"countersign-console:a%20secret%3A%20of%209%2B%20%25signs").decode()
        known = http.headers.get("Authorization") == f"Basic {pair}"
        if "post_only" in self.does:
            known = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, SECRET)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        asked = self.codes.pop(form["code"], None)  # once
        if (
            not known
            or form["grant_type"] != "authorization_code"
            or asked is None
            or asked["code_challenge_method"] != "S256"
            or asked["code_challenge"] != base64.urlsafe_b64encode(digest).decode().rstrip("=")
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            _send(http, 400, {"error": "invalid_grant", "error_description": MARKUP})
            return
        _send(http, 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self.token(asked["nonce"])})

    def token(self, nonce: str) -> str:
        """The ID token, as it is told to make it."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 3600, "nonce": nonce, **self.claims}
        wrong: dict[str, dict[str, Any]] = {
            "wrong_nonce": {"nonce": "another"},
            "no_nonce": {"nonce": None},
            "expired": {"iat": now - 7200, "exp": now - 3600},
            "other_audience": {"aud": "another-client"},
            "other_issuer": {"iss": "https://elsewhere.example"},
            "other_party": {"azp": "another-client"},
            "two_audiences": {"aud": [CLIENT_ID, "another-client"]},
            "no_role": {"roles": ["admin of something else"]},
            "no_tenant": {"tenant": None},
            "large": {"groups": [secrets.token_hex(16) for _ in range(100)]},
        }
        for name in self.does & wrong.keys():
            claims |= wrong[name]
        headers = {"kid": "one", "typ": "at+jwt" if "access_token" in self.does else "JWT"}
        if "alg_none" in self.does:
            return jwt.encode(claims, None, "none", headers=headers)
        return jwt.encode(claims, _OTHER if "other_key" in self.does else _KEY, "RS256", headers=headers)


def _send(http: BaseHTTPRequestHandler, status: int, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    http.send_response(status)
    http.send_header("Content-Type", "application/json")
    http.send_header("Content-Length", str(len(body)))
    http.end_headers()
    http.wfile.write(body)


def _go(http: BaseHTTPRequestHandler, url: str) -> None:
    http.send_response(302)
    http.send_header("Location", url)
    http.send_header("Content-Length", "0")
    http.end_headers()
