"""The process in which documents are parsed, one child for each: `python -m countersign.document.confined …`.

It loads the readers once and then waits. For each document it forks a child, which takes the document from a socket of
its own, gives its text back, and ends. So no child sees two documents, a reader costs a fork and not the start of an
interpreter, and whatever a document does to it ends with that child. The process itself never touches a document.

Limits of a child, kept by the kernel: memory, computing time, time of day, no file written, no core dump, no further
process, and no file, socket or pipe opened at all: nothing a document refers to can be fetched. On macOS the limit on
memory is not kept by the kernel, and a child outlives a killed worker until its time is over.
"""

import codecs
import contextlib
import ctypes
import gc
import json
import math
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Final

from countersign.document.likeness import assert_contract
from countersign.document.read import MARKDOWN, PDF, read_document
from countersign.document.wire import FAILED, HEADER, OUT_OF_MEMORY, READY, REFUSED, REPORT, TEXT
from countersign.errors import DocumentError

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
"""Not dumpable: no core file, no reading of its memory by others; both would hold the document."""
_PR_SET_NO_NEW_PRIVS: Final = 38
_MB: Final = 1024 * 1024
_SAMPLE: Final = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F<</Type/Font/Subtype/Type1\
/BaseFont/Helvetica>>>>>>>>endobj
4 0 obj<</Length 83>>stream
BT /F 12 Tf 9 99 Td (This Agreement is made between the parties named below) Tj ET
endstream endobj
trailer<</Root 1 0 R>>
"""


def main(control_fd: int, worker: int, memory_mb: int, seconds: float, wall_seconds: float) -> None:
    """Serve documents until the worker closes its end of the control socket or dies."""
    _die_with(worker)
    control = socket.socket(fileno=control_fd)
    _warm_up()
    control.sendall(READY)
    zygote = os.getpid()
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        child = os.fork()
        if child == 0:
            status = 1
            try:
                control.close()
                _die_with(zygote)
                confine(memory_mb, seconds, wall_seconds)
                status = _serve(socket.socket(fileno=fds[0]))
            finally:
                os._exit(status)
        os.close(fds[0])
        _, status, usage = os.wait4(child, 0)
        peak_kb = usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss // 1024
        control.sendall(REPORT.pack(status, peak_kb, int((usage.ru_utime + usage.ru_stime) * 1e6)))


def confine(memory_mb: int, seconds: float, wall_seconds: float) -> None:
    """Put this process under its limits, for good.

    Args:
        memory_mb: address space beyond what is taken already, in MB.
        seconds: computing time; then SIGXCPU ends the process.
        wall_seconds: time of day; then SIGALRM does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")  # where memory is short, this goes and not the worker
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * resource.getpagesize() + memory_mb * _MB
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    else:
        memory = memory_mb * _MB
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    whole = math.ceil(seconds)
    for limit, value, grace in (
        (resource.RLIMIT_CPU, whole, 1),  # at the hard limit it would be SIGKILL, which says nothing
        (resource.RLIMIT_AS, memory, 0),
        (resource.RLIMIT_DATA, memory, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_NOFILE, 0, 0),
    ):
        _, most = resource.getrlimit(limit)
        hard = value + grace if most == resource.RLIM_INFINITY else min(value + grace, most)
        with contextlib.suppress(*(() if sys.platform == "linux" else (ValueError, OSError))):
            resource.setrlimit(limit, (min(value, hard), hard))


def _serve(connection: socket.socket) -> int:
    """Read the document that comes on a connection and answer there; the child's exit code."""
    try:
        given = bytearray()
        while chunk := connection.recv(_MB):
            given += chunk
        connection.sendall(_answer(given))
    except MemoryError:
        return OUT_OF_MEMORY
    return 0


def _answer(given: bytearray) -> bytes:
    max_bytes, length = HEADER.unpack_from(given)
    media_type = given[HEADER.size : HEADER.size + length].decode()
    try:
        document = read_document(bytes(given[HEADER.size + length :]), media_type, max_bytes=max_bytes)
        assert_contract(document.text)
    except DocumentError as error:
        return REFUSED + json.dumps([error.message, error.remedy]).encode()
    except MemoryError:
        raise
    except Exception as error:
        # A fault of the reader. What it says may quote the document, so only its kind and place leave the child.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return FAILED + json.dumps([type(error).__name__, f"{Path(place.filename).name}:{place.lineno}"]).encode()
    return TEXT + document.model_dump_json().encode()


def _warm_up() -> None:
    """Load all that a child may need: it can open nothing."""
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"):
        codecs.getincrementaldecoder(encoding)()
    text = read_document(_SAMPLE, PDF, max_bytes=len(_SAMPLE)).text
    read_document(text.encode(), MARKDOWN, max_bytes=len(text))
    assert_contract(text)
    gc.collect()
    gc.freeze()  # so that a child's collector does not copy the pages it shares


def _die_with(parent: int) -> None:
    """End this process when the parent dies, even by SIGKILL. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before
            os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
