"""The servers behind every way in, connected to on first use: a command needs only those it asks."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from countersign.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

    from countersign.services import Services
    from workers.endpoints import Endpoints


def _quiet_core() -> None:
    """Keep the SDK's core from writing its own lines to standard error; a failed call is raised all the same."""
    from temporalio.runtime import Runtime, TelemetryConfig

    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)), error_if_already_set=False)


class Connections:
    """Temporal, and what is kept in Postgres and Redis. Safe to use from concurrent tasks of one event loop.

    They are closed with `stack`. `patience_s` is the time that Postgres has for each answer (None: a worker's).
    """

    def __init__(self, settings: Settings, stack: AsyncExitStack, patience_s: float | None = None) -> None:
        self.settings = settings
        self._stack = stack
        self._patience_s = patience_s
        self._lock = asyncio.Lock()
        self._endpoints: Endpoints | None = None
        self._temporal: Client | None = None
        self._services: Services | None = None

    def _servers(self) -> "Endpoints":
        if self._endpoints is None:
            from workers.endpoints import resolve

            self._endpoints = resolve(self.settings)
        return self._endpoints

    async def temporal(self) -> "Client":
        """The Temporal client. Raises `ServiceUnavailable` when no server answers."""
        from workers.endpoints import connect_temporal
        from workers.plugin import client_plugin

        async with self._lock:
            if self._temporal is None:
                _quiet_core()
                self._temporal = await connect_temporal(self.settings, self._servers(), plugins=[client_plugin()])
            return self._temporal

    async def services(self) -> "Services":
        """Stores, memory, trail and ledger. Raises `ServiceUnavailable` when Postgres does not answer."""
        from countersign.services import Services

        async with self._lock:
            if self._services is None:
                opening = Services.open(self.settings, self._servers(), patience_s=self._patience_s)
                self._services = await self._stack.enter_async_context(opening)
            return self._services
