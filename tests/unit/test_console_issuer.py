"""Signing in at an OIDC issuer by redirect, against one on this machine that keeps the protocol or breaks it."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from helpers.gateway import World
from helpers.issuer import CLIENT_ID, MARKUP, SECRET, Provider
from pydantic import SecretStr

from countersign.access import redirect
from countersign.access.oidc import OidcPolicy, OidcVerifier
from countersign.access.redirect import FLOW_S, CodeFlow, FlowPolicy
from countersign.errors import InvalidRequest
from countersign.settings import Settings
from countersign.store.vault import Vault

START, CALLBACK, QUEUE = "/console/sign-in/start", "/console/sign-in/callback", "/console/queue"
PUBLIC = "https://gateway.example"
FLOW = "__Host-countersign-sign-in"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().running() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings_of(provider: Provider, **changes: Any) -> Settings:
    given = {
        "oidc_issuer": provider.url,
        "oidc_audience": "countersign",
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SecretStr(SECRET),
        "console_url": PUBLIC,
    }
    return Settings(**{**given, **changes})


@pytest.fixture
def world(provider: Provider, clock: Clock) -> World:
    settings = settings_of(provider)
    made = World(settings)
    made.verifier = OidcVerifier(OidcPolicy.of(settings))
    made.code_flow = CodeFlow(FlowPolicy.of(settings), made.verifier, Vault(bytes(range(32))), clock=clock)
    return made


@asynccontextmanager
async def browsing(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the public address; what the gateway is told of the host is another matter."""
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC, headers=headers) as client:
        yield client


async def leave(client: httpx.AsyncClient, there: str = QUEUE, **headers: str) -> str:
    """Begin a sign-in; the issuer's address."""
    answer = await client.get(START, params={"next": there}, headers=headers)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def come_back(address: str) -> str:
    """What the issuer answers to the browser: path and query of the console's."""
    async with httpx.AsyncClient() as outside:
        answer = await outside.get(address)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"{PUBLIC}{CALLBACK}?")
    return answer.headers["location"].removeprefix(PUBLIC)


async def round_trip(client: httpx.AsyncClient, there: str = QUEUE) -> httpx.Response:
    return await client.get(await come_back(await leave(client, there)), headers={"Sec-Fetch-Site": "cross-site"})


def signed_in(answer: httpx.Response) -> bool:
    return any(one.startswith("__Host-countersign=") for one in answer.headers.get_list("set-cookie"))


async def test_the_issuer_is_asked_by_the_book(world: World, provider: Provider) -> None:
    async with browsing(world) as client:
        address = await leave(client, Host="evil.example", **{"X-Forwarded-Host": "evil.example"})
        asked = {name: one for name, [one] in parse_qs(urlsplit(address).query).items()}
        cookie = client.cookies[FLOW]
    assert asked.pop("theme") == "calm"
    assert asked.pop("redirect_uri") == PUBLIC + CALLBACK
    assert (asked.pop("response_type"), asked.pop("client_id"), asked.pop("scope")) == ("code", CLIENT_ID, "openid")
    assert asked.pop("code_challenge_method") == "S256"
    assert {name: len(value) for name, value in asked.items()} == {"state": 43, "nonce": 43, "code_challenge": 43}
    assert not any(value in cookie for value in asked.values())


async def test_a_person_of_the_issuers_is_signed_in_with_the_roles_of_their_token(
    world: World, provider: Provider
) -> None:
    async with browsing(world) as client:
        answer = await round_trip(client)
        assert answer.status_code == 200
        [session] = [one for one in answer.headers.get_list("set-cookie") if one.startswith("__Host-countersign=")]
        assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(session.split("; "))
        assert f'content="0; url={QUEUE}"' in answer.text
        assert FLOW not in client.cookies
        page = await client.get(QUEUE)
        assert page.status_code == 200
        assert "Rita Keller" in page.text
        assert (await client.get("/console/limits")).status_code == 403
    assert provider.redeemed[0].keys() == {"grant_type", "code", "redirect_uri", "code_verifier"}


async def test_a_secret_goes_into_the_body_where_the_issuer_takes_no_header(world: World, provider: Provider) -> None:
    provider.does.add("post_only")
    async with browsing(world) as client:
        assert signed_in(await round_trip(client))
    assert provider.redeemed[0]["client_secret"] == SECRET


@pytest.mark.parametrize(
    ("does", "status"),
    [
        *((name, 401) for name in ("wrong_nonce", "no_nonce", "expired", "alg_none", "other_key", "access_token")),
        *((name, 401) for name in ("other_audience", "other_issuer", "other_party", "two_audiences", "no_tenant")),
        *((name, 401) for name in ("mix_up", "no_iss")),
        ("wrong_state", 400),
        ("deny", 403),
        ("no_role", 403),
        ("report", 502),
        ("large", 502),
        ("broken", 503),
    ],
)
async def test_nobody_is_signed_in_by_an_answer_that_does_not_hold(
    world: World, provider: Provider, does: str, status: int
) -> None:
    provider.does.add(does)
    async with browsing(world) as client:
        answer = await round_trip(client)
        assert answer.status_code == status
        assert not signed_in(answer)
        assert FLOW not in client.cookies
        assert "<script>alert" not in answer.text
        assert MARKUP not in answer.text
        assert "issuer&#34;" not in answer.text
        assert "Key or token" in answer.text
        assert f'href="{PUBLIC}{START}?next=' in answer.text
        assert (await client.get(QUEUE)).status_code == 303
    # What says who asked for it is looked at before anything is asked for.
    assert bool(provider.redeemed) is (does not in {"mix_up", "no_iss", "wrong_state", "deny", "report"})


async def test_a_code_counts_once(world: World, provider: Provider) -> None:
    async with browsing(world) as client:
        back = await come_back(await leave(client))
        kept = client.cookies[FLOW]
        assert signed_in(await client.get(back))
    async with browsing(world) as thief:
        again = await thief.get(back, headers={"Cookie": f"{FLOW}={kept}"})
        assert (again.status_code, signed_in(again)) == (401, False)
    assert len(provider.redeemed) == 2


async def test_a_code_of_another_sign_in_is_worth_nothing(world: World, provider: Provider) -> None:
    async with browsing(world) as mallory, browsing(world) as victim:
        theirs = parse_qs(urlsplit(await come_back(await leave(mallory))).query)
        state = parse_qs(urlsplit(await leave(victim)).query)["state"]
        given = {"code": theirs["code"], "state": state, "iss": provider.url}
        answer = await victim.get(CALLBACK, params=given)
    assert (answer.status_code, signed_in(answer)) == (401, False)


async def test_a_sign_in_is_finished_by_the_browser_that_began_it(world: World, provider: Provider) -> None:
    async with browsing(world) as mallory, browsing(world) as victim:
        back = await come_back(await leave(mallory))
        for kept in (None, "x", "A" * 5000):
            answer = await victim.get(back, headers={"Cookie": f"{FLOW}={kept}"} if kept else {})
            assert (answer.status_code, signed_in(answer)) == (400, False)
        await leave(victim)
        assert (await victim.get(back)).status_code == 400
    assert not provider.redeemed


async def test_a_session_is_no_sign_in_under_way_and_the_other_way_round(world: World) -> None:
    async with browsing(world) as client:
        back = await come_back(await leave(client))
        flow = client.cookies[FLOW]
        session = world.sessions.seal(world.sessions.begin("bob"))
        assert (await client.get(back, headers={"Cookie": f"{FLOW}={session}"})).status_code == 400
        cookie = {"Cookie": f"__Host-countersign={flow}"}
        assert (await client.get(QUEUE, headers=cookie)).status_code == 303


async def test_a_sign_in_runs_out(world: World, provider: Provider, clock: Clock) -> None:
    async with browsing(world) as client:
        back = await come_back(await leave(client))
        clock.now += FLOW_S
        assert (await client.get(back)).status_code == 400
    assert not provider.redeemed


async def test_a_parameter_that_is_there_twice_is_refused(world: World, provider: Provider) -> None:
    async with browsing(world) as client:
        back = await come_back(await leave(client))
        assert (await client.get(f"{back}&code=other")).status_code == 401
    assert not provider.redeemed


async def test_no_other_site_begins_a_sign_in(world: World, provider: Provider) -> None:
    async with browsing(world) as client:
        answer = await client.get(START, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 200
        assert "Continue with 127.0.0.1" in answer.text
        assert not client.cookies


@pytest.mark.parametrize(
    "there", ["https://evil.example/", "//evil.example", "/console//evil.example", "/console/\\evil", "/v1", "x" * 9000]
)
async def test_one_returns_to_pages_of_the_console_alone(world: World, there: str) -> None:
    async with browsing(world) as client:
        answer = await round_trip(client, there)
    assert re.findall(r'http-equiv="refresh" content="0; url=([^"]*)"', answer.text) == ["/console"]


async def test_while_the_issuer_is_away_a_key_works_and_a_retry_finds_it_again(
    world: World, provider: Provider, clock: Clock
) -> None:
    provider.does.add("down")
    async with browsing(world) as client:
        for _ in range(2):
            answer = await client.get(START, params={"next": QUEUE})
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "2"
            assert "Try again with 127.0.0.1" in answer.text
            assert f"{START}?next={QUEUE}" in answer.text
        given = await client.post("/console/sign-in", data={"credentials": "bob", "next": QUEUE})
        assert given.status_code == 303
        provider.does.clear()
        assert (await client.get(START)).status_code == 503, "asked again only after a moment"
        clock.now += redirect.ASK_AGAIN_S
        assert signed_in(await round_trip(client))


async def test_another_issuers_discovery_document_is_not_followed(world: World, provider: Provider) -> None:
    provider.does.add("other_discovery")
    async with browsing(world) as client:
        assert (await client.get(START)).status_code == 503


async def test_an_issuer_that_hangs_is_given_up(
    world: World, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.does.add("slow")
    async with browsing(world) as client:
        back = await come_back(await leave(client))
        monkeypatch.setattr(redirect, "FETCH_S", 0.1)
        answer = await client.get(back)
    assert (answer.status_code, signed_in(answer)) == (503, False)


async def test_the_session_ends_with_its_token(world: World, provider: Provider) -> None:
    token = provider.token("n")
    provider.does.add("expired")
    for given, status in ((token, 200), (provider.token("n"), 303), ("bob", 303)):
        session = world.sessions.seal(world.sessions.begin(given, from_issuer=True))
        async with browsing(world) as client:
            assert (await client.get(QUEUE, headers={"Cookie": f"countersign={session}"})).status_code == status


async def test_an_id_token_is_nobodys_bearer_token(world: World, provider: Provider) -> None:
    assert world.verifier is not None
    assert await world.verifier.verify(provider.token("n")) is None
    assert await world.verifier.verify_id_token(provider.token("n")) is not None


@pytest.mark.parametrize("offers", [True, False])
async def test_signing_out_ends_the_issuers_session_too_where_it_offers_that(
    world: World, provider: Provider, offers: bool
) -> None:
    provider.does |= set() if offers else {"no_logout"}
    async with browsing(world) as client:
        await round_trip(client)
        page = await client.get(QUEUE)
        [token] = set(re.findall(r'name="csrf" value="(\w+)"', page.text))
        kept = {"Cookie": f"__Host-countersign={client.cookies['__Host-countersign']}"}
        answer = await client.post("/console/sign-out", data={"csrf": token})
        assert "__Host-countersign" not in client.cookies
        assert (await client.get(QUEUE, headers=kept)).status_code == 303, "a copy is worth nothing either"
    if not offers:
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
        return
    [url] = re.findall(r'content="0; url=([^"]*)"', answer.text)
    asked = parse_qs(urlsplit(url.replace("&amp;", "&")).query)
    assert url.startswith(f"{provider.url}/logout?")
    assert asked["post_logout_redirect_uri"] == [f"{PUBLIC}/console/sign-in"]
    assert asked["client_id"] == [CLIENT_ID]
    assert asked["id_token_hint"][0].count(".") == 2


async def test_without_a_client_at_an_issuer_there_is_no_such_way_in() -> None:
    async with browsing(World()) as client:
        assert "Continue with" not in (await client.get("/console/sign-in")).text
        assert (await client.get(START)).status_code == 404
        assert (await client.get(CALLBACK)).status_code == 404


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"console_url": None}, "COUNTERSIGN_CONSOLE_URL"),
        ({"console_url": "http://gateway.example"}, "COUNTERSIGN_CONSOLE_URL"),
        ({"console_url": "https://gateway.example/somewhere"}, "COUNTERSIGN_CONSOLE_URL"),
        ({"oidc_issuer": None}, "COUNTERSIGN_OIDC_ISSUER"),
    ],
)
def test_half_set_it_is_said(provider: Provider, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        FlowPolicy.of(settings_of(provider, **changes))
