"""Parsing documents in processes of their own, under limits, from an asyncio program that must not be harmed by them.

See `confined` for what runs on the other side and which limits hold there.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countersign.document.model import DocumentText
from countersign.document.wire import FAILED, HEADER, OUT_OF_MEMORY, READY, REFUSED, REPORT, TEXT
from countersign.errors import DocumentError, ServiceUnavailable

WALL: Final = 2.0
"""Time of day that a document gets, as a multiple of its computing time: a busy machine is not the document's fault."""
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Longest answer of a child, in bytes: six million characters with their sections fit."""
_CHUNK: Final = 256 * 1024
_START_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 5.0
"""When a child's time of day is over, the kernel ends it; this much later its whole process group is killed."""
_MAX_TEXT: Final = 300
"""Characters of an error text that are taken over from a child."""
_CONFINED: Final = "countersign.document.confined"
_ENVIRONMENT: Final = frozenset({"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"})
_REMEDY: Final = "Print it to a new PDF, or give its text"


@dataclass
class Usage:
    """What the documents read so far have taken."""

    documents: int = 0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    """The most memory that one of them needed, with the 40 MB of the reader itself."""


@dataclass(frozen=True)
class _End:
    """How a child ended: its exit code, negative for a signal, and its peak memory in KB."""

    code: int
    peak_kb: int


class Sandbox:
    """Reads documents, each in a process of its own that ends with it. For one event loop; close it when done.

    The processes start with the first document. At most `at_once` documents are read at the same time, others wait. A
    reader that is cancelled, hangs or dies takes nothing else with it.
    """

    def __init__(self, memory_mb: int, seconds: float, *, at_once: int | None = None) -> None:
        """Set the limits.

        Args:
            memory_mb: memory of one document's process, in MB.
            seconds: its computing time; the time of day it may take is `WALL` times as long.
            at_once: documents read at the same time; by default one for each processor, and at least two.
        """
        self.usage = Usage()
        self._memory_mb = memory_mb
        self._seconds = seconds
        self._idle: list[_Reader] = []
        self._places = asyncio.Semaphore(at_once or max(os.cpu_count() or 1, 2))

    async def read(self, data: bytes, media_type: str, *, max_bytes: int) -> DocumentText:
        """The text of a contract; see `read_document` and `assert_contract`. Cancelling it kills the process.

        Raises:
            DocumentError: it cannot be read, is no contract, or exceeds a limit, which the message names.
            ServiceUnavailable: the process that reads does not start, or died of itself.
        """
        header = HEADER.pack(max_bytes, len(media_type.encode())) + media_type.encode()
        async with self._places:
            reader = await self._take()
            try:
                async with asyncio.timeout(self._seconds * WALL + _GRACE_SECONDS):
                    answer, report = await reader.read(header, data)
            except BaseException as error:
                reader.kill()
                if isinstance(error, TimeoutError):
                    raise self._exceeded_time() from None
                if isinstance(error, OSError):
                    raise ServiceUnavailable(
                        "the process that reads documents has died", remedy="It starts again with the next attempt"
                    ) from None
                raise
            self._idle.append(reader)
        status, peak_kb, cpu_us = REPORT.unpack(report)
        self.usage.documents += 1
        self.usage.cpu_seconds += cpu_us / 1e6
        self.usage.peak_mb = max(self.usage.peak_mb, peak_kb / 1024)
        return self._text(answer, _End(os.waitstatus_to_exitcode(status), peak_kb))

    def close(self) -> None:
        """End the waiting processes. Documents being read are not waited for; cancel them first."""
        while self._idle:
            self._idle.pop().kill()

    async def _take(self) -> "_Reader":
        while self._idle:
            reader = self._idle.pop()
            if reader.is_alive():
                return reader
            reader.kill()
        return await _Reader.start(self._memory_mb, self._seconds)

    def _text(self, answer: bytes, end: _End) -> DocumentText:
        if end.code == 0:
            return parse_answer(answer)
        if end.code == -signal.SIGXCPU:
            raise DocumentError(
                f"the document takes more than {self._seconds:,g} s of computing time to read",
                remedy=f"{_REMEDY}; an operator may raise COUNTERSIGN_READ_SECONDS",
            )
        if end.code == -signal.SIGALRM:
            raise self._exceeded_time()
        # PDFium ends itself by various signals when it is refused memory; SIGKILL is the kernel short of memory.
        if end.code in {OUT_OF_MEMORY, -signal.SIGKILL} or end.peak_kb > self._memory_mb * 1024 / 2:
            raise DocumentError(
                f"the document takes more than {self._memory_mb:,} MB of memory to read",
                remedy=f"{_REMEDY}; an operator may raise COUNTERSIGN_READ_MEMORY_MB",
            )
        raise _crashed(signal.Signals(-end.code).name if end.code < 0 else f"exit code {end.code}")

    def _exceeded_time(self) -> DocumentError:
        return DocumentError(
            f"the document takes more than {self._seconds * WALL:,g} s to read",
            remedy=f"{_REMEDY}; an operator may raise COUNTERSIGN_READ_SECONDS",
        )


class _Reader:
    """The worker's end of a process that reads one document after the other, each in a child of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self._process = process
        self._control = control

    @classmethod
    async def start(cls, memory_mb: int, seconds: float) -> "_Reader":
        """Start the process and wait until it has loaded the readers."""
        reader = _spawn([str(memory_mb), str(seconds), str(seconds * WALL)])
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await asyncio.get_running_loop().sock_recv(reader._control, len(READY))
        except BaseException:
            reader.kill()
            raise
        if ready != READY:
            reader.kill()
            raise ServiceUnavailable(
                "the process that reads documents does not start", remedy="Its error stands in the worker's output"
            )
        return reader

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    async def read(self, header: bytes, data: bytes) -> tuple[bytes, bytes]:
        """What a child answers, which is broken off if it dies, and the report of its end.

        Raises OSError when the process itself has died.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        answer = bytearray()
        with ours:
            ours.setblocking(False)
            with theirs:
                socket.send_fds(self._control, [b"d"], [theirs.fileno()])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died, and the report will say how
                await loop.sock_sendall(ours, header)
                await loop.sock_sendall(ours, data)
                ours.shutdown(socket.SHUT_WR)
                while len(answer) <= MAX_ANSWER and (chunk := await loop.sock_recv(ours, _CHUNK)):
                    answer += chunk
        report = b""
        while len(report) < REPORT.size:
            chunk = await loop.sock_recv(self._control, REPORT.size - len(report))
            if not chunk:
                raise ConnectionResetError
            report += chunk
        return bytes(answer), report

    def kill(self) -> None:
        """Kill the process and its child."""
        self._control.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _spawn(limits: list[str]) -> _Reader:
    """A reader that has just begun to start.

    Its environment holds no secrets: a document that takes a reader over must find none.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    kept = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _CONFINED, str(theirs.fileno()), str(os.getpid()), *limits],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**kept, "PYTHONPATH": path},
            cwd="/",
            start_new_session=True,
        )
    return _Reader(process, ours)


def parse_answer(answer: bytes) -> DocumentText:
    """What a child says. A document may have taken it over, so nothing in it is believed.

    Raises:
        DocumentError: what the child says of the document, or that its answer makes no sense.
    """
    kind, said = answer[:1], answer[1:]
    try:
        if kind == TEXT:
            return DocumentText.model_validate_json(said)
        one, other = (str(part)[:_MAX_TEXT] for part in json.loads(said))
    except ValueError:  # pydantic's too
        raise _crashed("its answer is broken") from None
    if kind == REFUSED:
        raise DocumentError(one, remedy=other)
    raise _crashed(f"{one} at {other}" if kind == FAILED else "its answer is broken")


def _crashed(how: str) -> DocumentError:
    return DocumentError(f"the document broke the program that reads it ({how})", remedy=_REMEDY)
