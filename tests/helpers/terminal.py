"""The command line in this process, on a client of the test's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from click.testing import CliRunner, Result

from countersign.settings import Settings
from starters.cli.main import cli

Run = Callable[..., Result]


def terminal(client: object, *command: str) -> Run:
    """Runs `countersign <command> <arguments>` with `client` in the place of `ReviewClient`."""

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncIterator[object]:
        yield client

    def factory(settings: Settings) -> AbstractAsyncContextManager[object]:
        return opened(settings)

    return lambda *arguments: CliRunner().invoke(cli, [*command, *arguments], obj=factory)
