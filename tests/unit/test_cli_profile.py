"""`profile`: facts in, facts out, and bad ones refused before anything is asked."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from click.testing import CliRunner, Result

from countersign.settings import Settings
from starters.cli.main import cli


class Memory:
    """The part of `ReviewClient` that profiles need, kept in a dictionary."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.facts: dict[str, str] = {}

    async def profile(self, tenant: str, user: str) -> dict[str, str]:
        return self.facts

    async def change_profile(self, tenant: str, user: str, changes: dict[str, str], *, limit: int) -> dict[str, str]:
        self.facts = {key: value for key, value in {**self.facts, **changes}.items() if value}
        return self.facts


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    memory = Memory()

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncIterator[Memory]:
        yield memory

    def factory(settings: Settings) -> AbstractAsyncContextManager[Memory]:
        return opened(settings)

    return lambda *arguments: CliRunner().invoke(cli, ["profile", *arguments], obj=factory)


def test_facts_are_kept_and_removed(run: Run) -> None:
    assert "Nothing is known" in run("show").output
    assert run("set", "our_side=Customer", "tone=short").exit_code == 0
    assert json.loads(run("set", "tone=", "--json").output) == {"our_side": "Customer"}
    assert run("show").output == "our_side = Customer\n"


@pytest.mark.parametrize("bad", ["nonsense", "=x", "a b=c", f"k={'x' * 300}"])
def test_bad_facts_are_refused_without_repeating_them(run: Run, bad: str) -> None:
    refused = run("set", bad)
    assert refused.exit_code == 2
    assert bad not in refused.output
