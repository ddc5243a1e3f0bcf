"""The Authorization header: what counts as credentials, and that every refusal reads the same."""

from collections.abc import Callable

import pytest
from helpers.store import PSEUDONYMS

from countersign.access.authenticator import MAX_CREDENTIALS, Authenticator
from countersign.access.oidc import Identity
from countersign.access.principal import Principal
from countersign.errors import InvalidRequest, Unauthenticated
from countersign.settings import Settings
from countersign.words import Role

ANN = Principal("acme", "Ann", "p1:ann", frozenset({Role.REVIEWER}), "k1")


LONGEST = "cs_" + "x" * (MAX_CREDENTIALS - 3)


class Book:
    """Knows one key, and takes long ones."""

    async def authenticate(self, text: str) -> Principal | None:
        return ANN if text == "cs_good" or text.startswith(LONGEST) else None


class Issuer:
    """Signed one token."""

    async def verify(self, token: str) -> Identity | None:
        return Identity("acme", "Bob", frozenset({Role.AUDITOR})) if token == "good.jwt" else None


def gate(*, oidc: bool = True) -> Authenticator:
    return Authenticator(Book(), Issuer() if oidc else None, PSEUDONYMS)  # type: ignore[arg-type]


@pytest.mark.parametrize("header", ["Bearer cs_good", "bearer cs_good", "BEARER  cs_good ", f"Bearer {LONGEST}"])
async def test_a_key_is_its_holder(header: str) -> None:
    assert await gate().authenticate(header) is ANN


async def test_a_token_is_whom_it_names() -> None:
    assert await gate().authenticate("Bearer good.jwt") == Principal(
        "acme", "Bob", PSEUDONYMS.of("user", "Bob"), frozenset({Role.AUDITOR}), ""
    )


REFUSED: list[tuple[str | None, bool]] = [
    (None, True),
    ("", True),
    ("Bearer", True),
    ("Bearer ", True),
    ("cs_good", True),
    ("Basic cs_good", True),
    ("Bearer cs_bad", True),
    ("Bearer cs_good cs_good", True),
    ("Bearer,cs_good", True),
    ("Bearer bad.jwt", True),
    ("Bearer good.jwt", False),
    (f"Bearer {LONGEST}x", True),
]


@pytest.mark.parametrize(("header", "oidc"), REFUSED)
async def test_every_refusal_has_the_same_words(header: str | None, oidc: bool) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await gate(oidc=oidc).authenticate(header)
    with pytest.raises(Unauthenticated) as other:
        await gate().authenticate(None)
    assert str(refused.value) == str(other.value)


def _settings(**fields: str) -> Callable[[], Authenticator]:
    return lambda: Authenticator.of(Settings(**fields), Book(), PSEUDONYMS)  # type: ignore[arg-type]


async def test_tokens_are_taken_where_an_issuer_is_set() -> None:
    with pytest.raises(Unauthenticated):
        await _settings()().authenticate("Bearer a.b.c")
    assert await _settings(oidc_issuer="https://id.example", oidc_audience="countersign")().authenticate(
        "Bearer cs_good"
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"oidc_issuer": "https://id.example"}, "COUNTERSIGN_OIDC_AUDIENCE"),
        ({"oidc_issuer": "http://id.example", "oidc_audience": "x"}, "COUNTERSIGN_OIDC_ISSUER"),
        ({"oidc_issuer": "https://u:p@id.example", "oidc_audience": "x"}, "COUNTERSIGN_OIDC_ISSUER"),
        ({"oidc_issuer": "file:///etc/passwd", "oidc_audience": "x"}, "COUNTERSIGN_OIDC_ISSUER"),
        ({"oidc_issuer": "https://[", "oidc_audience": "x"}, "COUNTERSIGN_OIDC_ISSUER"),
        (
            {"oidc_issuer": "https://id.example", "oidc_audience": "x", "oidc_jwks_url": "http://10.0.0.1/keys"},
            "COUNTERSIGN_OIDC_JWKS_URL",
        ),
    ],
)
def test_a_wrong_setting_is_named(fields: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        _settings(**fields)()
