"""One running stack and one browser for all tests of the console; people of one tenant with a key each."""

import asyncio
from collections.abc import Iterator

import pytest
from helpers.browser import PROGRAM, Console, chromium
from helpers.stack import Dev, running_dev

from countersign.services import Services
from countersign.words import Role
from workers.endpoints import resolve

PEOPLE = {
    "ana": ("Ana Ferreira", Role.REQUESTER),
    "rita": ("Rita Keller", Role.REVIEWER),
    "sam": ("Sam Lindqvist", Role.REVIEWER),
    "olu": ("Olu Okafor", Role.OPERATOR),
    "gov": ("Grace Conti", Role.ADMIN),
    "aud": ("Eun-ji Park", Role.AUDITOR),
}


@pytest.fixture(scope="session")
def dev() -> Iterator[Dev]:
    """`countersign dev`, for a machine that has a browser."""
    pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
    pytest.importorskip("axe_playwright_python", reason="no axe: pip install axe-playwright-python")
    if PROGRAM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with running_dev() as running:
        yield running


@pytest.fixture(scope="module")  # Playwright's loop counts as running while it lives: no other test may meet it
def console(dev: Dev) -> Iterator[Console]:
    async def make() -> dict[str, str]:
        async with Services.open(dev.settings, resolve(dev.settings)) as services:
            return {
                who: (await services.keys.create("desk", name, [role], label=who, by="ops")).secret_text
                for who, (name, role) in PEOPLE.items()
            }

    keys = asyncio.run(make())
    with chromium() as browser:
        yield Console(dev.described["gateway"], browser, keys)


@pytest.fixture(autouse=True)
def nothing_to_complain_about(console: Console) -> Iterator[None]:
    """No page may ask for anything of others, nor have anything blocked by its own policy."""
    console.complaints.clear()
    yield
    assert console.complaints == []
