"""Where the servers are: the settings where they say so, else the embedded stack of `home`.

Imports no Temporal at module level: a command that only asks for an address must stay quick.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client, Plugin
    from temporalio.envconfig import ClientConnectConfig

ENDPOINTS_FILE = "endpoints.json"
"""In `home`: what the embedded stack serves. Written when it is up, removed on a clean stop, private to its owner."""
LOCK_FILE = "run.lock"
"""In `home`: locked (flock) while the stack's supervisor lives; the kernel lets go of it however that one dies."""

REMEDY = (
    "Start `countersign dev` in another terminal, or set COUNTERSIGN_TEMPORAL_ADDRESS, "
    "COUNTERSIGN_DATABASE_URL and COUNTERSIGN_REDIS_URL"
)
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Endpoints:
    """The servers of one process. The two URLs carry passwords and stay out of `repr`."""

    temporal_address: str
    """host:port of the gRPC frontend."""
    temporal_namespace: str
    temporal_ui: str | None
    """URL of the web UI, where it is known."""
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


def resolve(settings: Settings) -> Endpoints:
    """Where every server is. Raises `ServiceUnavailable` when one is neither set nor served by a living embedded stack.

    Raises `InvalidRequest` for a Temporal profile that cannot be loaded.
    """
    return combine(settings, published(settings.state))


def combine(settings: Settings, embedded: Mapping[str, str]) -> Endpoints:
    """The settings' servers, and `embedded` (the fields of `Endpoints` it serves) for those that are not set."""
    profile: ClientConnectConfig = _profile(settings.temporal_profile) if settings.temporal_profile else {}
    external = settings.temporal_address or profile.get("target_host")
    address = external or embedded.get("temporal_address")
    database = _plain(settings.database_url) or embedded.get("database_url")
    redis = _plain(settings.redis_url) or embedded.get("redis_url")
    if address is None or database is None or redis is None:
        servers = {"Temporal": address, "Postgres": database, "Redis": redis}
        missing = " and ".join(name for name, value in servers.items() if value is None)
        raise ServiceUnavailable(f"no address is known for {missing}", remedy=REMEDY)
    chosen = "temporal_namespace" in settings.model_fields_set
    named = settings.temporal_namespace if chosen else profile.get("namespace", settings.temporal_namespace)
    return Endpoints(
        temporal_address=address,
        temporal_namespace=named if external else embedded.get("temporal_namespace", named),
        temporal_ui=None if external else embedded.get("temporal_ui"),
        database_url=database,
        redis_url=redis,
    )


def published(home: Path) -> Mapping[str, str]:
    """What the embedded stack of `home` serves; empty when none is alive, whatever files a dead one left behind."""
    try:
        text = (home / ENDPOINTS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise ServiceUnavailable(
            f"The embedded stack of {home} belongs to another user", remedy="Use its user, or another COUNTERSIGN_HOME"
        ) from error
    if supervisor_pid(home) is None:
        return {}
    fields: dict[str, str] = json.loads(text)
    return fields


def supervisor_pid(home: Path) -> int | None:
    """The process that runs the stack of `home`, or None. Asks the kernel's lock, so a reused pid cannot mislead."""
    import fcntl  # not on Windows, where external servers still work

    try:
        lock = (home / LOCK_FILE).open(encoding="utf-8")
    except FileNotFoundError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            written = lock.read().strip()
            return int(written) if written.isdigit() else 0  # held, and its pid is being written
        return None


def is_external(settings: Settings) -> bool:
    """Whether Temporal is named by the settings, and so its profile or API key applies."""
    return settings.temporal_address is not None or settings.temporal_profile is not None


async def connect_temporal(
    settings: Settings,
    endpoints: Endpoints,
    plugins: "Sequence[Plugin]" = (),
    *,
    timeout_s: float = CONNECT_TIMEOUT_S,
) -> "Client":
    """A connected client, with TLS and key of the profile or of COUNTERSIGN_TEMPORAL_API_KEY for an external server.

    Raises `ServiceUnavailable` when the server gives no answer within `timeout_s` seconds.
    """
    from temporalio.client import Client
    from temporalio.service import RPCError

    options: ClientConnectConfig = _profile(settings.temporal_profile) if settings.temporal_profile else {}
    options["target_host"] = endpoints.temporal_address
    options["namespace"] = endpoints.temporal_namespace
    # The embedded server knows neither keys nor TLS, and a key would switch TLS on.
    if settings.temporal_api_key is not None and is_external(settings):
        options["api_key"] = settings.temporal_api_key.get_secret_value()
    try:
        async with asyncio.timeout(timeout_s):
            return await Client.connect(**options, plugins=plugins, connect_timeout=timedelta(seconds=timeout_s))
    except (TimeoutError, OSError, RuntimeError, RPCError) as error:
        raise ServiceUnavailable(
            f"Temporal at {endpoints.temporal_address} does not answer ({type(error).__name__})",
            remedy="Check the address, TLS and key; `countersign doctor` shows each part",
        ) from error


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _profile(name: str) -> "ClientConnectConfig":
    from temporalio.envconfig import ClientConfig

    try:
        return ClientConfig.load_client_connect_config(profile=name)
    except RuntimeError as error:
        raise InvalidRequest(
            f"Temporal profile {name!r} (COUNTERSIGN_TEMPORAL_PROFILE) cannot be loaded",
            remedy="List profiles with `temporal config list`, or unset the variable",
        ) from error
