"""`dev`, `worker`, `doctor`, `settings`: the servers and processes that reviews run on."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from countersign.errors import ServiceUnavailable
from starters.cli.common import Command, emit, emit_rows, json_option, load_settings

if TYPE_CHECKING:
    from countersign.settings import Settings
    from workers.embedded import EmbeddedStack

QUEUES = ("reviews", "agents", "batch")
FORCE_S = 25.0
"""A worker that was told to stop has ended after this long; less than its supervisor waits before it kills it."""
DEV_KEY = "dev"
"""Label of the key that `dev` makes."""


@click.command("dev", cls=Command)
@click.option("--no-worker", is_flag=True, help="No worker; run `countersign worker` yourself.")
@click.option("--no-gateway", is_flag=True, help="No HTTP gateway; run `countersign gateway` yourself.")
@click.option("--provider-lab", is_flag=True, help="A provider to test against, and the worker's models ask it.")
@click.option("--ui-port", type=click.IntRange(1024, 65535), help="Port of the Temporal UI.  [default: a free one]")
@json_option
def dev_command(no_worker: bool, no_gateway: bool, provider_lab: bool, ui_port: int | None, as_json: bool) -> None:
    """Run Temporal, PostgreSQL with pgvector, Valkey, a worker and the HTTP gateway here until Ctrl-C.

    State is kept in COUNTERSIGN_HOME. A server whose address is set (COUNTERSIGN_TEMPORAL_ADDRESS or _PROFILE,
    COUNTERSIGN_DATABASE_URL, COUNTERSIGN_REDIS_URL) is used as it is. Each start makes a key for the gateway, with all
    roles, and ends the last one's. With --json, one line is printed when all is up.

    With --provider-lab a local server plays Anthropic and OpenAI: it answers as the offline model does, is billed and
    priced as a provider, and misbehaves as the script says that is posted to it.
    """
    settings = load_settings()
    log_to_stderr()
    parts = Parts(worker=not no_worker, gateway=not no_gateway, lab=provider_lab)
    asyncio.run(_dev(settings, parts, ui_port=ui_port, as_json=as_json))


@click.command("worker", cls=Command)
@click.option("--queues", default=",".join(QUEUES), show_default=True, help="Task queues to serve, with commas.")
@json_option
def worker_command(queues: str, as_json: bool) -> None:
    """Run a worker alone until Ctrl-C; running steps get ten seconds to finish."""
    names = tuple(dict.fromkeys(name.strip() for name in queues.split(",")))
    if unknown := [name for name in names if name not in QUEUES]:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(QUEUES)}", param_hint="--queues")
    settings = load_settings()
    log_to_stderr()
    asyncio.run(_worker(settings, names, as_json=as_json))


@click.command("doctor", cls=Command)
@json_option
def doctor_command(as_json: bool) -> None:
    """Check every part by a real request, and say how to mend what fails.

    Exits with 0 when nothing fails, 5 when a server or worker does, 2 when only the installation or a setting does.
    """
    from workers.doctor import examine, verdict

    checks = asyncio.run(examine(load_settings()))
    if as_json:
        emit_rows(checks)
    else:
        from rich.table import Table

        from starters.cli.render import cell, show

        styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
        table = Table("part", "", "found", "how to mend it", box=None, pad_edge=False, header_style="bold")
        for check in checks:
            table.add_row(cell(check.part), cell(check.status, styles[check.status]), cell(check.detail), check.remedy)
        show(table)
    if (failure := verdict(checks)) is not None:
        raise failure


@click.command("settings", cls=Command)
@json_option
def settings_command(as_json: bool) -> None:
    """Show every setting, its variable and where its value comes from; secrets are masked."""
    settings = load_settings()
    given = settings.model_fields_set
    rows = {
        name: {
            "value": value,
            "env": f"COUNTERSIGN_{name.upper()}",
            "source": "environment" if name in given else "default",
        }
        for name, value in settings.shown().items()
    }
    if as_json:
        emit(rows)
        return
    from rich.table import Table

    from starters.cli.render import cell, show

    table = Table("variable", "value", "from", box=None, pad_edge=False, header_style="bold")
    for row in rows.values():
        table.add_row(
            cell(row["env"]), cell(row["value"]), cell(row["source"], "" if row["source"] != "default" else "dim")
        )
    show(table)


@dataclass(frozen=True)
class Parts:
    """What `dev` runs besides the servers."""

    worker: bool
    gateway: bool
    lab: bool


async def _dev(settings: "Settings", parts: Parts, *, ui_port: int | None, as_json: bool) -> None:
    from workers.embedded import EmbeddedStack

    with stop_signals() as stop:
        stack = EmbeddedStack(settings.state, settings, ui_port=ui_port)
        try:
            if not await _unless_stopped(stop, _bring_up(stack, parts, as_json=as_json)):
                return
            await stop.wait()
        finally:
            if stop.is_set() and not as_json:
                click.echo("Stopping …", err=True)
            await stack.stop()


async def _bring_up(stack: "EmbeddedStack", parts: Parts, *, as_json: bool) -> None:
    from starters.cli.render import progress

    settings = stack.settings
    model = settings.model
    if parts.lab:
        from workers.embedded.lab import KEYS, lab_models, require_lab

        require_lab()
        os.environ.update(KEYS)  # a model is refused here without its provider's key
        model = lab_models(model)
    if parts.worker:
        from countersign.agents.models import check_models

        check_models(model, settings.playbooks, settings.sentinel_model)
    if parts.gateway:
        require_gateway()
    key = None
    with progress("Starting the servers …", quiet=as_json):
        await stack.start()
        if parts.lab:
            await stack.run_lab()
        if parts.gateway:
            key = await _dev_key(stack)
            await stack.run_gateway()
        if parts.worker:  # after the gateway, to which its notifications lead
            await stack.run_worker()
    if as_json:
        click.echo(json.dumps({**_described(stack), **({"api_key": key} if key else {})}))
    else:
        _show_panel(stack, key)


def require_gateway() -> None:
    """Raises `ServiceUnavailable` when what the gateway runs on is not installed."""
    missing = [name for name in ("fastapi", "uvicorn", "python_multipart") if find_spec(name) is None]
    if missing:
        raise ServiceUnavailable(
            f"the gateway is not installed ({', '.join(missing)} missing)",
            remedy="Install 'countersign[gateway]', or run `countersign dev --no-gateway`",
        )


async def _dev_key(stack: "EmbeddedStack") -> str:
    """A new key of the settings' user with all roles; the one of the last start is no longer good."""
    from countersign.services import Services
    from countersign.words import Role

    settings = stack.settings
    async with Services.open(settings, stack.endpoints) as services:
        await services.keys.revoke_label(settings.tenant, DEV_KEY, by=settings.user)
        new = await services.keys.create(
            settings.tenant, settings.user, frozenset(Role), label=DEV_KEY, by=settings.user
        )
    return new.secret_text


async def _worker(settings: "Settings", queues: tuple[str, ...], *, as_json: bool) -> None:
    from workers.endpoints import resolve
    from workers.run import run_worker

    endpoints = resolve(settings)
    shown = {"temporal_address": endpoints.temporal_address, "queues": queues, "pid": os.getpid()}
    click.echo(json.dumps(shown) if as_json else f"Worker on {', '.join(queues)} of {endpoints.temporal_address}")
    sys.stdout.flush()
    with stop_signals() as stop, ended_by_force(stop):
        await run_worker(settings, queues, stop)


async def _unless_stopped(stop: asyncio.Event, work: Any) -> bool:
    """Run `work` to its end, or cancel it when `stop` is set before; whether it ended by itself."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return False
        task.result()
        return True
    finally:
        stopped.cancel()


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def ended_by_force(stop: asyncio.Event) -> Iterator[None]:
    """End the process when its block has not ended `FORCE_S` after `stop` was set.

    Temporal's client can wait for ever to say good-bye to a server that has gone; what the worker had begun is done
    again by another, as after any crash. In a thread, which does not depend on an event loop that may hang as well.
    """

    def end() -> None:
        click.echo("countersign: a server does not answer; the worker ends without saying good-bye", err=True)
        os._exit(5)

    timer = threading.Timer(FORCE_S, end)
    timer.daemon = True

    async def arm() -> None:
        await stop.wait()
        timer.start()

    watching = asyncio.create_task(arm())
    try:
        yield
    finally:
        watching.cancel()
        timer.cancel()


def _described(stack: "EmbeddedStack") -> dict[str, object]:
    """Where everything is, without passwords: `endpoints.json` in `home` has the full URLs."""
    endpoints = stack.endpoints
    return {
        "temporal_address": endpoints.temporal_address,
        "temporal_namespace": endpoints.temporal_namespace,
        "temporal_ui": endpoints.temporal_ui,
        **({"gateway": stack.gateway} if stack.gateway else {}),
        **({"provider_lab": stack.lab} if stack.lab else {}),
        "database": _masked(endpoints.database_url),
        "redis": _masked(endpoints.redis_url),
        "home": str(stack.home),
        "logs": str(stack.logs),
        "pids": stack.pids,
    }


def _show_panel(stack: "EmbeddedStack", key: str | None) -> None:
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from starters.cli.render import cell, show

    described = _described(stack)
    names = ("temporal_address", "temporal_ui", "gateway", "provider_lab", "database", "redis", "home", "logs")
    grid = Table.grid(padding=(0, 2))
    for name in (name for name in names if name in described):
        grid.add_row(cell(name.replace("_", " "), "bold"), cell(described[name]))
    grid.add_row(cell("running", "bold"), cell(", ".join(f"{name} ({pid})" for name, pid in stack.pids.items())))
    chosen = "" if Path(".countersign").resolve() == stack.home else f"export COUNTERSIGN_HOME={stack.home}\n"
    curl = f'curl {stack.gateway}/v1/reviews -H "Authorization: Bearer $KEY" -F file=@examples/nda-clean.md'
    http = f"\nexport KEY={key}\n{curl}\n" if key else ""
    lab = (
        f"\nMake the provider fail twice with 529:\ncurl {stack.lab}/lab/script -d '"
        f'[{{"do": "error", "status": 529, "times": 2}}]\'\ncurl {stack.lab}/lab/requests\n'
        if stack.lab
        else ""
    )
    hints = Text(
        f"\nIn another terminal:\n{chosen}countersign submit examples/nda-clean.md --wait\ncountersign queue\n"
        f"countersign doctor\ntemporal workflow list --address {stack.endpoints.temporal_address}\n{http}{lab}"
        "\nCtrl-C stops all."
    )
    show(Panel(Group(grid, hints), title="Countersign is up", title_align="left", expand=False))
    sys.stdout.flush()


def _masked(url: str) -> str:
    """The URL without its password."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"{parts.username or ''}:***@" if parts.password else ""
    return f"{parts.scheme}://{name}{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("countersign", "workers"):
        logging.getLogger(name).setLevel(logging.INFO)
    # A traceback for each connection, when a server restarts; what it means is said by our own lines.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
