"""What every command shares: options, JSON on request, errors with their exit codes, and the way into asyncio.

Imports nothing heavy, so that `countersign <command> --help` is as quick as the bare one.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from countersign.errors import CountersignError, InvalidRequest

if TYPE_CHECKING:
    from pydantic import ValidationError

    from countersign.settings import Settings
    from starters.client import ReviewClient

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class ReviewFailed(CountersignError):
    """The review that was waited for has ended as `failed`."""

    type = "ReviewFailed"


class ReviewBlocked(CountersignError):
    """The review that was waited for was blocked by the sentinel."""

    type = "ReviewBlocked"


class TrailBroken(CountersignError):
    """The trail does not hold together: a row is missing or was changed."""

    type = "TrailBroken"


class ReplayFailed(CountersignError):
    """A saved history cannot be replayed against this code."""

    type = "ReplayFailed"


def exit_code_of(error: CountersignError) -> int:
    """The documented exit code of an error; 1 for what has none of its own."""
    from starters.cli.main import EXIT_CODES

    return EXIT_CODES.get(error.type, 1)


def error_document(error: CountersignError) -> dict[str, str]:
    """An error as JSON shows it: {"type", "message", "remedy"}."""
    return {"type": error.type, "message": Exception.__str__(error), "remedy": error.remedy}


def show_error(error: CountersignError, *, as_json: bool) -> None:
    """Print an error to stderr: one line, or one JSON document."""
    click.echo(json.dumps(error_document(error)) if as_json else f"countersign: {error}", err=True)


class CommandError(click.ClickException):
    """An expected error on its way out of a command, which knows how its command wants it shown."""

    def __init__(self, error: CountersignError, *, as_json: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.as_json = as_json
        self.exit_code = exit_code_of(error)  # type: ignore[misc]  # click itself reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        show_error(self.error, as_json=self.as_json)


class _SpeaksJson(click.Command):
    """A command whose errors follow its `--json`, wrong usage included."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        as_json = "--json" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not as_json:
                raise
            usage = InvalidRequest(error.format_message().rstrip("."), remedy=f"See '{info_name} --help'")
            raise CommandError(usage, as_json=True) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CountersignError as error:
            raise CommandError(error, as_json=bool(ctx.params.get("as_json"))) from error


class Command(_SpeaksJson):
    """A command."""


class Group(click.Group):
    """A command with subcommands (`knowledge add`)."""

    command_class = Command


class ShowingGroup(_SpeaksJson, Group):
    """A command that shows something by itself, and has subcommands too (`circuits`, `circuits open`)."""


def json_option(command: F) -> F:
    """`--json`, passed on as `as_json`."""
    text = "One JSON document on stdout; errors as JSON on stderr."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def tenant_option(command: F) -> F:
    """`--tenant` of a command about one review; None means the tenant of the settings."""
    return click.option("--tenant", help="Tenant of the review.  [default: COUNTERSIGN_TENANT]")(command)


def tenant_filter(command: F) -> F:
    """`--tenant` of a command that lists; None means all tenants."""
    return click.option("--tenant", help="Only this tenant's.  [default: all tenants]")(command)


def first_problem(error: "ValidationError") -> str:
    """The first thing wrong with a model as "field: what" - never with the value, which may be a name."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    what = problem["msg"].removeprefix("Value error, ")
    return f"{field}: {what}" if field else what


def load_settings() -> "Settings":
    """The settings of the environment. Raises InvalidRequest that names the variable, not its value."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from countersign.settings import Settings

    remedy = "Set it right, or unset it for the default"
    try:
        return Settings()
    except ValidationError as error:
        field, _, what = first_problem(error).partition(": ")
        name, _, inside = field.partition(".")
        within = f"{inside}: " if inside else ""
        raise InvalidRequest(f"COUNTERSIGN_{name.upper()}: {within}{what}", remedy=remedy) from None
    except SettingsError:
        # Nothing but the circuits is written as JSON.
        raise InvalidRequest("COUNTERSIGN_CIRCUITS: is no JSON object of JSON objects", remedy=remedy) from None


def _only_our_words() -> None:
    """Keep the drivers' logs off the terminal: what they have to say reaches people as one of our errors."""
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)


def with_client(work: "Callable[[ReviewClient], Awaitable[T]]") -> T:
    """Run `work` with a client that is closed afterwards. Tests put another factory of clients into `ctx.obj`."""
    factory: Callable[[Settings], AbstractAsyncContextManager[ReviewClient]] | None = click.get_current_context().obj
    settings = load_settings()
    _only_our_words()

    async def run() -> T:
        from starters.client import ReviewClient

        async with (factory or ReviewClient.open)(settings) as client:
            return await work(client)

    return asyncio.run(run())


async def say_if_new(client: "ReviewClient", tenant: str | None, *, as_json: bool) -> None:
    """Note on stderr that a tenant has no review yet: it may be new, or mistyped."""
    if tenant is not None and not as_json and not await client.knows_tenant(tenant):
        click.echo(f"Note: tenant {tenant} has no review yet.", err=True)


def plain(value: Any) -> Any:
    """`value` as JSON knows it: models, dataclasses, times, enums and paths included."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def emit(document: Any) -> None:
    """Print one JSON document. ASCII only: no control character of a hostile document reaches a terminal."""
    click.echo(json.dumps(plain(document), indent=2))


def emit_rows(rows: Sequence[Any]) -> None:
    """Print rows (dataclasses or models) as one JSON array."""
    emit(list(rows))
