"""Signing in at an OIDC issuer in a real browser: there and back through a gateway of its own, and out again."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from helpers.browser import Console, barriers
from helpers.issuer import CLIENT_ID, SECRET, Provider
from helpers.stack import BIN, CALL_S, Dev
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider().running() as running:
        running.claims = {"sub": "Ingrid Solheim", "tenant": "desk", "roles": ["reviewer"]}
        yield running


@pytest.fixture(scope="module")
def by_issuer(dev: Dev, console: Console, provider: Provider) -> Iterator[Console]:
    """A second gateway on the same servers, to which the issuer is known."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    environment = {
        **dev.environment,
        "COUNTERSIGN_OIDC_ISSUER": provider.url,
        "COUNTERSIGN_OIDC_AUDIENCE": "countersign",
        "COUNTERSIGN_OIDC_CLIENT_ID": CLIENT_ID,
        "COUNTERSIGN_OIDC_CLIENT_SECRET": SECRET,
        "COUNTERSIGN_CONSOLE_URL": url,
    }
    command = (str(BIN / "countersign"), "gateway", "--port", port, "--json")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["gateway"] == url
            yield Console(url, console.browser, console.keys)
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(CALL_S)


def test_one_is_signed_in_at_the_issuer_and_out_of_it_again(by_issuer: Console, provider: Provider) -> None:
    with by_issuer.visit(None, "/console/reviews") as page:
        assert barriers(page) == []
        page.get_by_role("link", name="Continue with").press("Enter")
        page.wait_for_url("**/console/reviews")
        expect(page.get_by_text("Ingrid Solheim")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Ingrid Solheim")).to_be_visible()
        page.get_by_role("button", name="Sign out").press("Enter")
        page.wait_for_url("**/console/sign-in")
        assert [one["client_id"] for one in provider.signed_out] == [CLIENT_ID]
        page.goto("/console/queue")
        expect(page.get_by_label("Key or token")).to_be_visible()
    # The issuer alone was asked besides us, and no policy stood in the way.
    assert all(one.startswith(f"asked for {provider.url}/") for one in by_issuer.complaints)


def test_an_issuer_that_refuses_leaves_the_key(by_issuer: Console, provider: Provider) -> None:
    provider.does.add("deny")
    with by_issuer.visit(None, "/console/queue") as page:
        page.get_by_role("link", name="Continue with").press("Enter")
        expect(page.get_by_role("heading", name="Your organisation did not sign you in")).to_be_visible()
        assert barriers(page) == []
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_label("Key or token").fill(by_issuer.keys["rita"])
        page.keyboard.press("Enter")
        expect(page.get_by_text("Rita Keller")).to_be_visible()
    provider.does.clear()
