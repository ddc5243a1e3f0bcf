"""What reading costs, in this process and in the sandbox that every review reads through, and its false alarms.

Reads the PDFs and the first contract texts of the data folder both ways. CPU time is that of all processes taking part.
Of the PDFs, all of which are honest, no text should be said to be hidden.

    python benchmarks/read_documents.py
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.intervals import wilson
from countersign.document.likeness import assert_contract
from countersign.document.read import read_document, sniff
from countersign.document.sandbox import Sandbox
from countersign.settings import Settings

MAX_BYTES: Final = 20_000_000
QUICK: Final = 12
TEXTS: Final = 120


class Document(NamedTuple):
    """A document of the data folder."""

    name: str
    data: bytes
    media_type: str


class Figures(NamedTuple):
    """What reading some documents gave."""

    n: int
    pages: int
    hidden: tuple[str, ...]
    """Documents that are said to hide text."""
    here_ms: float
    sandbox_ms: float
    """CPU milliseconds a document."""
    pages_a_second: float
    """CPU seconds, in this process."""
    peak_mb: float


def documents(paths: Sequence[Path]) -> list[Document]:
    """These files with their types."""
    return [Document(path.name, data := path.read_bytes(), sniff(data, path.name)) for path in paths]


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


async def measure(given: Sequence[Document], settings: Settings) -> Figures:
    """Read each document twice, here and in the sandbox."""
    read_document(given[0].data, given[0].media_type, max_bytes=MAX_BYTES)  # what the first one loads is not counted
    start = cpu()
    texts = [read_document(one.data, one.media_type, max_bytes=MAX_BYTES) for one in given]
    read = cpu() - start
    for text in texts:
        assert_contract(text.text)
    here = cpu() - start
    start = cpu()
    box = Sandbox(settings.read_memory_mb, settings.read_seconds, at_once=1)
    await box.read(given[0].data, given[0].media_type, max_bytes=MAX_BYTES)
    box.close()
    first = cpu() - start
    start = cpu()
    box = Sandbox(settings.read_memory_mb, settings.read_seconds, at_once=1)
    for one in (given[0], *given):
        await box.read(one.data, one.media_type, max_bytes=MAX_BYTES)
    box.close()
    sandbox = cpu() - start - first
    pages = sum(len(text.pages) for text in texts)
    return Figures(
        n=len(given),
        pages=pages,
        hidden=tuple(one.name for one, text in zip(given, texts, strict=True) if text.hidden),
        here_ms=1000 * here / len(given),
        sandbox_ms=1000 * sandbox / len(given),
        pages_a_second=pages / read,
        peak_mb=box.usage.peak_mb,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} documents of each kind")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument("--data", type=Path, default=Settings().data, metavar="DIR", help="default: COUNTERSIGN_DATA")
    options = parser.parse_args(arguments)
    pdfs = sorted((options.data / "cuad" / "pdf").glob("*")) + sorted((options.data / "kleister_nda" / "pdf").glob("*"))
    kinds = {"PDF": pdfs, "text": sorted((options.data / "cuad" / "txt").glob("*.txt"))[:TEXTS]}
    figures: dict[str, dict[str, object]] = {}
    for kind, paths in kinds.items():
        if not paths:
            print(f"no {kind} documents in {options.data}", file=sys.stderr)
            return 1
        chosen = paths[:: max(len(paths) // QUICK, 1)][:QUICK] if options.quick else paths
        result = asyncio.run(measure(documents(chosen), Settings()))
        low, high = wilson(len(result.hidden), result.n)
        print(
            f"{kind}: n {result.n}, {result.pages} pages; CPU ms a document {result.here_ms:.1f} here, "
            f"{result.sandbox_ms:.1f} in the sandbox; {result.pages_a_second:.0f} pages a CPU second here; most memory "
            f"of a reader {result.peak_mb:.0f} MB; said to hide text {len(result.hidden)} "
            f"({100 * low:.1f} to {100 * high:.1f} %)",
            *result.hidden,
            sep="\n  ",
        )
        figures[kind] = {**result._asdict(), "hidden": len(result.hidden)}
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
