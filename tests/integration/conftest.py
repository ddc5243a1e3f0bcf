"""Shared by the integration tests: a directory that servers can live in, and waiting for a condition."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Protocol

import pytest
from helpers.stack import Dev, running_dev


class Eventually(Protocol):
    """Waits until `condition` holds; raises AssertionError, naming `what`, after `timeout_s` seconds."""

    async def __call__(self, what: str, condition: Callable[[], Awaitable[bool]], timeout_s: float = 30) -> None: ...


async def _eventually(what: str, condition: Callable[[], Awaitable[bool]], timeout_s: float = 30) -> None:
    deadline = monotonic() + timeout_s
    while not await condition():
        assert monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    return _eventually


@pytest.fixture(scope="module")
def homes() -> Iterator[Path]:
    """A directory for homes. Not pytest's own: that closes itself to other users whenever a session starts, and
    PostgreSQL, which refuses to run as root, has to pass through."""
    with tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def dev() -> Iterator[Dev]:
    """One `countersign dev` for all tests of a process that leave it running; they share the xdist group `dev`."""
    with running_dev() as running:
        yield running
