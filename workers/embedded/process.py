"""One child process that is kept alive: started, watched, started again when it dies, stopped in bounded time."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import psutil

from countersign.errors import ServiceUnavailable

log = logging.getLogger("countersign.stack")

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 5.0
STEADY_S = 30.0
"""A process that lived this long and then died is started again as if it had never failed."""
LOG_LIMIT = 10 * 2**20
"""Bytes after which a log is set aside (one generation) when its process starts."""
LAUNCHER = Path(__file__).with_name("launch.py")


async def _nothing() -> None:
    """No condition, no preparation."""


@dataclass(frozen=True)
class Command:
    """How to run one program, and how to end it."""

    name: str
    argv: tuple[str, ...]
    """Absolute path of the program, then its arguments."""
    log: Path
    env: Mapping[str, str] = field(repr=False)
    ready: Callable[[], Awaitable[None]] = _nothing
    """Returns once the program answers a real request; raises anything while it does not."""
    prepare: Callable[[], Awaitable[None]] = _nothing
    """Runs before every start."""
    stop_signal: signal.Signals = signal.SIGTERM
    abandoned_signal: signal.Signals = signal.SIGTERM
    """Sent when the supervisor has died."""
    user: tuple[int, int] | None = None
    """User and group id to run as; None: our own."""
    niceness: int = 0
    """How far it stands back when the processor is short, 0 to 19."""
    ready_s: float = 30.0
    stop_s: float = 10.0


class Child:
    """A running `Command`. `started` is told every pid; `restarts` counts deaths that were mended."""

    def __init__(self, command: Command, started: Callable[[str, int], None] = lambda _name, _pid: None) -> None:
        self.command = command
        self.restarts = 0
        self._started = started
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now, or None between two of them."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start, wait until it answers, keep it alive from then on. Raises `ServiceUnavailable` when it does not."""
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.command.name}")

    async def stop(self) -> None:
        """End it: its stop signal, then SIGKILL after `stop_s` seconds. Harmless when it does not run."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        await self._end()

    async def _launch(self) -> None:
        await self.command.prepare()
        await self._spawn()
        try:
            await self._answers()
        except BaseException:
            await self._end()
            raise

    async def _spawn(self) -> None:
        command = self.command
        user, group = command.user or (-1, -1)
        tie = (str(os.getpid()), str(int(command.abandoned_signal)), str(user), str(group), str(command.niceness))
        with _open_log(command.log) as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(LAUNCHER), *tie, *command.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(command.env),
                cwd="/" if command.user else None,
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which stops the others in order
            )
        self._started(command.name, self._process.pid)

    async def _answers(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101  for the type checker; `_spawn` has just set it
        deadline = monotonic() + self.command.ready_s
        while True:
            try:
                async with asyncio.timeout(max(0.1, deadline - monotonic())):
                    return await self.command.ready()
            except Exception as error:  # whatever it is, it does not answer yet; the last one is told
                if process.returncode is None and monotonic() < deadline:
                    await asyncio.sleep(0.03)
                    continue
                ended = "does not answer" if process.returncode is None else f"ended with {process.returncode}"
                raise ServiceUnavailable(
                    f"{self.command.name} {ended} ({type(error).__name__})", remedy=f"See {self.command.log}"
                ) from error

    async def _keep(self) -> None:
        backoff = FIRST_BACKOFF_S
        while True:
            assert self._process is not None  # noqa: S101  for the type checker; only `stop` ends this task
            since, pid = monotonic(), self._process.pid
            code = await self._process.wait()
            if monotonic() - since > STEADY_S:
                backoff = FIRST_BACKOFF_S
            log.warning("%s (pid %d) ended with %d; starting it again", self.command.name, pid, code)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF_S)
            try:
                await self._launch()
            except Exception as error:  # nothing may end the keeper; the next round tries again
                log.error("%s could not be started: %s", self.command.name, error)  # noqa: TRY400  a line for people
                continue
            self.restarts += 1
            log.warning("%s is back (pid %d)", self.command.name, self._process.pid)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            process.send_signal(self.command.stop_signal)
        try:
            async with asyncio.timeout(self.command.stop_s):
                await process.wait()
        except TimeoutError:
            log.warning("%s did not stop in %.0f s; killed", self.command.name, self.command.stop_s)
            process.kill()
            await process.wait()


def end_leftover(name: str, pid: int, marker: str, stop: signal.Signals, timeout_s: float = 10.0) -> bool:
    """End a process that a dead supervisor left behind, if `pid` still is it: one argument of it contains `marker`.

    Blocks for up to `timeout_s` seconds, then kills. Returns whether there was one.
    """
    try:
        process = psutil.Process(pid)
        if not any(marker in argument for argument in process.cmdline()):
            return False
        log.warning("%s (pid %d) of a stack that died is still there; ending it", name, pid)
        process.send_signal(stop)
        if not _gone(process, timeout_s):
            process.kill()
            _gone(process, timeout_s)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone, or another user's: not ours
        return False
    return True


def _gone(process: psutil.Process, timeout_s: float) -> bool:
    """Wait for a process that is no child of ours. A zombie is gone: its new parent may never ask for it."""
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        sleep(0.02)
    return False


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(path.name + ".1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
