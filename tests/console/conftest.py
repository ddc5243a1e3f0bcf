"""One running stack and one browser for all tests of the console; people of one tenant with a key each."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

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
    "bea": ("Bea Boss", Role.ADMIN),
}
FIRM = {
    "fay": ("Fay Odell", Role.REQUESTER),
    "eli": ("Eli Brandt", Role.REVIEWER),
    "dan": ("Dan Ruiz", Role.REVIEWER),
    "lea": ("Lea Novak", Role.REVIEWER),
}
"""Of a tenant with groups: Eli signs, Bo Winter is away and Dan stands in, Lea leads."""


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
            people = services.people
            for group, name in (("legal", "Eli Brandt"), ("legal", "Bo Winter"), ("leads", "Lea Novak")):
                await people.add_member("firm", group, name, by_hash="")
            until = datetime.now(UTC) + timedelta(days=7)
            await people.set_absence("firm", "Bo Winter", until, delegate="Dan Ruiz", by_hash="")
            return {
                who: (await services.keys.create(tenant, name, [role], label=who, by="ops")).secret_text
                for tenant, people_of in (("desk", PEOPLE), ("firm", FIRM))
                for who, (name, role) in people_of.items()
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
