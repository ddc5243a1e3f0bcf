"""Documents made to hang, fill, fool or take over a reader: each is refused or read, and harms no other."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from helpers import hostile
from helpers.pdfs import pdf_of

from countersign.document import sandbox as sandbox_module
from countersign.document.read import MARKDOWN, PDF, PLAIN, read_document, sniff
from countersign.document.sandbox import Sandbox
from countersign.errors import DocumentError, ServiceUnavailable
from countersign.settings import ROOT

LIMIT = 20_000_000
MEMORY_MB = 192
READER_MB = 40
"""What the reader itself takes."""
EXAMPLES = ROOT / "examples"
GOOD = (EXAMPLES / "nda-clean.md").read_bytes()
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits that only Linux keeps")

READ = ""
EXCEEDS = "the document takes more than"
CORRUPT = "corrupt"


@pytest.fixture(scope="module")
async def strict() -> AsyncIterator[Sandbox]:
    """A sandbox whose limit on time is met soon."""
    box = Sandbox(MEMORY_MB, 1)
    yield box
    box.close()


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose limit on time is not met in a test, however busy the machine is."""
    box = Sandbox(MEMORY_MB, 600)
    yield box
    box.close()


@pytest.fixture
async def patient() -> AsyncIterator[Sandbox]:
    """A sandbox whose limits are not met in a test."""
    box = Sandbox(512, 600, at_once=2)
    yield box
    box.close()


@LINUX
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (hostile.flate_bomb, EXCEEDS),
        (hostile.nested_filters, EXCEEDS),
        (hostile.run_length_and_hex, "scan"),
        (hostile.object_stream_bomb, READ),
        (hostile.huge_image, EXCEEDS),
        (hostile.many_objects, EXCEEDS),
        (hostile.many_words, EXCEEDS),
        (hostile.one_long_word, "300,000 characters, more than 200,000"),
        (hostile.many_pages, "2,001 pages"),
        (hostile.lying_count, READ),
        (hostile.cyclic_pages, CORRUPT),
        (hostile.deep_pages, CORRUPT),
        (hostile.deep_arrays, READ),
        (hostile.deep_dictionaries, READ),
        (hostile.deep_states, EXCEEDS),
        (hostile.form_in_itself, READ),
        (hostile.forms_in_forms, EXCEEDS),
        (hostile.transparent_groups, EXCEEDS),
        (hostile.tiny_tiles, EXCEEDS),
        (hostile.tiny_dashes, READ),
        (hostile.endless_shading, EXCEEDS),
        (hostile.huge_unicode_map, EXCEEDS),
        (hostile.glyph_in_itself, READ),
        (hostile.absurd_numbers, READ),
        (hostile.absurd_page("0 0 0 0"), READ),
        (hostile.absurd_page("0 0 1000000 1000000"), READ),
        (hostile.absurd_page("612 792 0 0"), READ),
        (hostile.absurd_page("0 0 0.001 100000"), READ),
        (hostile.absurd_page("0 0 1e38 1e38"), READ),
        (hostile.many_annotations, "5,001 annotations"),
        (hostile.looping_table, READ),
        (hostile.looping_objects, READ),
        (hostile.reaching_out, READ),
        (hostile.in_a_zip, CORRUPT),
        (hostile.pdf_and_zip, "PDF and a ZIP archive at once"),
        (hostile.noise, CORRUPT),
    ],
)
async def test_a_hostile_pdf_is_refused_or_read_within_its_limits(
    sandbox: Sandbox, strict: Sandbox, make: Callable[[], bytes], said: str
) -> None:
    data = make()
    box = strict if said == EXCEEDS else sandbox
    box.usage.peak_mb = 0
    if said == READ:
        document = await box.read(data, PDF, max_bytes=LIMIT)
        assert "This Agreement" in document.text
    else:
        with pytest.raises(DocumentError, match=said) as caught:
            await box.read(data, PDF, max_bytes=LIMIT)
        assert caught.value.remedy
        assert "\n" not in str(caught.value)
    assert box.usage.peak_mb <= MEMORY_MB + READER_MB
    assert (await sandbox.read(GOOD, MARKDOWN, max_bytes=LIMIT)).text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a" * 6_000_001, "6,000,001 characters"),
        (b"An agreeable line " + b"a" * 5_900_000, "no contract"),
        (b"".join(b"Section %d.%d. Term\n" % divmod(number, 1000) for number in range(60_000)), "60,000 headings"),
        (bytes(range(32)) * 100_000, "binary"),
        (b"This Agreement is long. " * 10_000 + bytes(range(1, 9)) * 10_000, "binary"),
        (b"\0" * 5_000_000, "binary"),
        (b"\xff\xfe" + b"\0" * 5_000_001, "damaged"),
        (b"\n" * 5_000_000, "no text"),
        (b"\xed\xa0\x80" * 1_000_000, "no contract"),
    ],
    ids=["long", "one line", "headings", "control", "control at the end", "NULs", "UTF-16", "blank", "surrogates"],
)
async def test_a_hostile_text_is_refused_within_its_limits(patient: Sandbox, data: bytes, said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        await patient.read(data, PLAIN, max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"GIF89a/*\n" + hostile.CLAUSE.encode() + b"\n%PDF-1.7\n", "a.pdf", "PDF and something else at once"),
        (b"<html><!--\n%PDF-1.7\n", "a.html", "PDF and something else at once"),
        (b"<html><!-- %PDF-1.7\n1 0 obj <<", None, "PDF and something else at once"),
        (b"a=1/* %PDF-1.4\n1 0 obj << /Type /Catalog", "a.js", "PDF and something else at once"),
        (b"This Agreement\n%PDF-1.4", "a.txt", "PDF and something else at once"),
        (b"PK\x03\x04" + b"\0" * 26 + b"%PDF-1.4", "contract.pdf", "ZIP archive"),
        (b"GIF89a %PDF-1.7", "contract.pdf", "GIF image"),
    ],
)
def test_a_file_that_is_two_things_is_refused(data: bytes, name: str | None, said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        sniff(data, name)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\con.txt", "a\r\nSet-Cookie: b.txt", "\0.txt", "x" * 100_000, "/dev/zero", ".", ""]
)
def test_a_file_name_is_no_path(name: str) -> None:
    assert sniff(b"This Agreement is made.", name) == PLAIN


@pytest.mark.parametrize("name", ["nda-clean.md", "msa-long.md", "services.txt", "services.pdf"])
async def test_the_sandbox_reads_what_the_readers_read(patient: Sandbox, name: str) -> None:
    data = (EXAMPLES / name).read_bytes()
    media_type = sniff(data, name)
    assert await patient.read(data, media_type, max_bytes=LIMIT) == read_document(data, media_type, max_bytes=LIMIT)


async def test_a_refusal_comes_through_as_it_is(patient: Sandbox) -> None:
    with pytest.raises(DocumentError) as caught:
        await patient.read(pdf_of("0 0 9 9 re f"), PDF, max_bytes=LIMIT)
    assert caught.value.message.startswith("the PDF is a scan")
    assert "OCR" in caught.value.remedy
    with pytest.raises(DocumentError, match="no contract"):
        await patient.read((EXAMPLES / "not-a-contract.txt").read_bytes(), PLAIN, max_bytes=LIMIT)
    with pytest.raises(DocumentError, match=r"more than the limit of 0\.001 MB"):
        await patient.read(GOOD, MARKDOWN, max_bytes=1000)


# --- what the process may do -----------------------------------------------------------------------------------------

CONFINED = """
import errno, json, os, resource, socket
from countersign.document.confined import confine
confine(256, 5, 60)
def refused(what):
    try:
        what()
    except MemoryError:
        return "ENOMEM"
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"
said = {
    "read": refused(lambda: open("/etc/passwd")),
    "write": refused(lambda: open("/tmp/countersign-test", "w")),
    "connect": refused(lambda: socket.create_connection(("127.0.0.1", 9))),
    "resolve": refused(lambda: socket.getaddrinfo("localhost", 80)),
    "pipe": refused(os.pipe),
    "memory": refused(lambda: bytearray(300_000_000)),
    "limits": [resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in ("CPU", "FSIZE", "CORE", "NPROC")],
}
print(json.dumps(said))
"""


@LINUX
def test_a_confined_process_can_open_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CONFINED], capture_output=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    said = json.loads(ran.stdout)
    assert {said[name] for name in ("read", "write", "connect", "pipe")} == {"EMFILE"}
    assert said["resolve"] != "allowed"
    assert said["memory"] == "ENOMEM"
    assert said["limits"] == [[5, 6], [0, 0], [0, 0], [0, 0]]


async def test_the_process_knows_no_secrets(patient: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_MASTER_KEY", "secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    before = set(psutil.Process().children())
    await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)
    (reader,) = set(psutil.Process().children()) - before
    assert "secret" not in reader.environ().values()
    assert reader.net_connections("inet") == []


# --- nothing else suffers --------------------------------------------------------------------------------------------


async def until_child(of: psutil.Process, known: set[psutil.Process]) -> psutil.Process:
    """The process that a document's reader forks, as soon as it works."""
    while True:
        for reader in set(of.children()) - known:
            for child in reader.children():
                if child.cpu_times().user > 0.1:
                    return child
        await asyncio.sleep(0.02)


@LINUX
async def test_a_document_that_hangs_holds_up_nobody_and_is_killed_with_its_task(patient: Sandbox) -> None:
    known = set(psutil.Process().children())
    hanging = asyncio.create_task(patient.read(hostile.tiny_tiles(), PDF, max_bytes=LIMIT))
    child = await until_child(psutil.Process(), known)
    assert (await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)).text
    assert not hanging.done()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    gone, alive = await asyncio.to_thread(psutil.wait_procs, [child], timeout=60)
    assert (gone, alive) == ([child], [])
    assert (await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)).text


@LINUX
@pytest.mark.parametrize(
    ("ended_by", "said"), [(signal.SIGKILL, "MB of memory"), (signal.SIGSEGV, "SIGSEGV"), (signal.SIGALRM, "1,200 s")]
)
async def test_a_child_that_dies_costs_its_document_alone(
    patient: Sandbox, ended_by: signal.Signals, said: str
) -> None:
    known = set(psutil.Process().children())
    hanging = asyncio.create_task(patient.read(hostile.tiny_tiles(), PDF, max_bytes=LIMIT))
    child = await until_child(psutil.Process(), known)
    child.send_signal(ended_by)
    with pytest.raises(DocumentError, match=said) as caught:
        await hanging
    assert caught.value.remedy
    assert (await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)).text


@LINUX
async def test_when_the_process_itself_dies_the_document_may_be_tried_again(patient: Sandbox) -> None:
    known = set(psutil.Process().children())
    hanging = asyncio.create_task(patient.read(hostile.tiny_tiles(), PDF, max_bytes=LIMIT))
    child = await until_child(psutil.Process(), known)
    reader = child.parent()
    assert reader is not None
    reader.kill()
    with pytest.raises(ServiceUnavailable):
        await hanging
    gone, alive = await asyncio.to_thread(psutil.wait_procs, [child], timeout=60)
    assert (gone, alive) == ([child], [])
    assert (await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)).text
    (idle,) = set(psutil.Process().children()) - known
    idle.kill()
    await asyncio.to_thread(idle.wait)
    assert (await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)).text


WORKER = """
import asyncio, sys
from pathlib import Path
from countersign.document.sandbox import Sandbox
asyncio.run(Sandbox(1024, 600).read(Path(sys.argv[1]).read_bytes(), "application/pdf", max_bytes=10**8))
"""


@LINUX
async def test_a_killed_worker_leaves_no_orphans(tmp_path: Path) -> None:
    document = tmp_path / "hanging.pdf"
    document.write_bytes(hostile.tiny_tiles())
    worker = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", WORKER, str(document)], env={"PYTHONPATH": str(ROOT)}
    )
    child = await until_child(psutil.Process(worker.pid), set())
    left = [child, *([child.parent()] if child.parent() else [])]
    os.kill(worker.pid, signal.SIGKILL)
    gone, alive = await asyncio.to_thread(psutil.wait_procs, left, timeout=60)
    assert alive == []
    assert len(gone) == 2
    assert worker.wait() == -signal.SIGKILL


async def test_a_process_that_does_not_start_is_no_fault_of_the_document(
    patient: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_module, "_CONFINED", "helpers.no_such_module")
    with pytest.raises(ServiceUnavailable, match="does not start"):
        await patient.read(GOOD, MARKDOWN, max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "answer is broken"),
        (b"t{}", "answer is broken"),
        (b"t[1", "answer is broken"),
        (b"x[1, 2]", "answer is broken"),
        (b"r[1]", "answer is broken"),
        (b'r["no", "' + b"z" * 1000 + b'"]', "^no$"),
        (b'f["KeyError", "pdf.py:7"]', r"KeyError at pdf\.py:7"),
    ],
)
def test_what_a_child_says_is_not_believed(answer: bytes, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        sandbox_module.parse_answer(answer)
    assert re.search(said, caught.value.message)
    assert len(caught.value.remedy) <= 300
