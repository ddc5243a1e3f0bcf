"""Damaged documents by the thousand, through the sandbox that every review reads through.

Valid samples (the examples, and some real PDFs where the data folder has them) are damaged at random: bits, slices,
numbers, PDF words, and the insides of deflated streams. Each must be read or refused with a reason. What counts:
`crashes`, anything else that reached the worker's side; `faults`, documents on which our own code failed; `broken`,
those on which PDFium ended by a signal, which costs that document alone.

    python benchmarks/fuzz_documents.py --seconds 180
"""

import argparse
import asyncio
import json
import random
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from countersign.document.read import MARKDOWN, PDF, PLAIN
from countersign.document.sandbox import Sandbox
from countersign.errors import DocumentError
from countersign.settings import ROOT, Settings

MEMORY_MB: Final = 512
SECONDS: Final = 10.0
MAX_BYTES: Final = 20_000_000
QUICK_SECONDS: Final = 20.0
_REAL: Final = 12
_SHOWN: Final = 20
_NUMBERS: Final = (b"0", b"-1", b"1", b"65536", b"2147483647", b"-2147483648", b"4294967296", b"1e38", b"." + b"9" * 40)
_WORDS: Final = tuple(
    b"obj endobj stream endstream xref trailer startxref /Kids /Count /Parent /Type /Pages /Page /Contents /Resources "
    b"/Font /XObject /Length /Filter /FlateDecode /LZWDecode /ASCIIHexDecode /DCTDecode /JPXDecode /JBIG2Decode "
    b"/Subtype /Type0 /Type1 /Type3 /TrueType /ToUnicode /Encoding /Differences /Widths /MediaBox /CropBox /Rotate "
    b"/Annots /AcroForm /Pattern /Shading /ExtGState /SMask /Group /OC /ActualText /ObjStm /XRef /Prev /Encrypt "
    b"<< >> [ ] ( ) < > R q Q cm re W n f S BT ET Tf Td Tm Tr Tj TJ Do BI ID EI BDC EMC gs sh scn".split()
)
_STREAM: Final = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")


@dataclass
class Result:
    """What came of a run."""

    n: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason, digits left out."""
    broken: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: float = 0.0
    """The most memory of a process that read one document."""
    growth_mb: float = 0.0
    """By how much the worker's own process grew after the first hundred documents."""


def damage(samples: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the samples with one to five damages."""
    data = bytearray(chance.choice(samples))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        _damage(data, samples, chance)
    return bytes(data)


def _damage(data: bytearray, samples: Sequence[bytes], chance: random.Random) -> None:
    if not data:
        return
    at = chance.randrange(len(data))
    end = min(at + chance.choice((1, 4, 32, 500, 5000)), len(data))
    kind = chance.randrange(9)
    if kind == 0:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[at:end] = chance.randbytes(end - at)
    elif kind == 2:
        del data[at:end]
    elif kind == 3:
        data[at:at] = data[at:end] * chance.choice((1, 2, 50))
    elif kind == 4:
        other = chance.choice(samples)
        start = chance.randrange(len(other))
        data[at:end] = other[start : start + chance.choice((8, 200, 4000))]
    elif kind == 5:
        data[at:at] = b" " + chance.choice(_WORDS) + b" "
    elif kind == 6 and chance.random() < 0.2:
        del data[at:]
    elif kind == 7 and (numbers := list(_NUMBER.finditer(data, at, at + 2000))):
        number = chance.choice(numbers)
        data[number.start() : number.end()] = chance.choice(_NUMBERS)
    elif streams := list(_STREAM.finditer(data)):
        _damage_inside(data, chance.choice(streams), samples, chance)


def _damage_inside(data: bytearray, stream: "re.Match[bytes]", samples: Sequence[bytes], chance: random.Random) -> None:
    """Damage what a stream holds, inflated if need be; its length then no longer fits, which readers put up with."""
    try:
        inside, packed = bytearray(zlib.decompress(stream[1])), True
    except zlib.error:
        inside, packed = bytearray(stream[1]), False
    if inside:
        at = chance.randrange(len(inside))
        inside[at : at + chance.choice((0, 1, 8))] = b" " + chance.choice((*_WORDS, *_NUMBERS)) + b" "
    data[stream.start(1) : stream.end(1)] = zlib.compress(inside, 1) if packed else inside


async def fuzz(
    samples: Mapping[str, Sequence[bytes]], *, seed: int = 7, seconds: float | None = None, count: int | None = None
) -> Result:
    """Damage samples and read them until the time or the count is up.

    Args:
        samples: valid documents, by media type.
        seed: every case is drawn from (seed, its number) alone, so that it can be had again.
        seconds: time of day to spend.
        count: documents to read.
    """
    result = Result()
    box = Sandbox(MEMORY_MB, SECONDS)
    worker = psutil.Process()
    settled = 0
    start = time.monotonic()
    numbers = iter(range(sys.maxsize if count is None else count))

    async def take(numbers: Iterator[int]) -> None:
        nonlocal settled
        for number in numbers:
            if seconds is not None and time.monotonic() - start > seconds:
                return
            await _case(box, samples, f"{seed}:{number}", result)
            if result.n == 100:
                settled = worker.memory_info().rss

    try:
        await asyncio.gather(take(numbers), take(numbers))
    finally:
        box.close()
    result.seconds = time.monotonic() - start
    result.peak_mb = box.usage.peak_mb
    result.growth_mb = (worker.memory_info().rss - settled) / 1e6 if settled else 0.0
    return result


async def _case(box: Sandbox, samples: Mapping[str, Sequence[bytes]], case: str, result: Result) -> None:
    chance = random.Random(case)  # noqa: S311
    media_type = chance.choice([kind for kind, given in samples.items() for _ in given])
    data = damage(samples[media_type], chance)
    try:
        await box.read(data, media_type, max_bytes=MAX_BYTES)
        result.read += 1
    except DocumentError as error:
        reason = re.sub(r"[\d,.]*\d", "#", error.message)
        result.refused[reason] += 1
        if "broke the program" in reason:
            (result.broken if "SIG" in reason else result.faults).append(f"{case} {error.message}")
    except Exception as error:
        result.crashes.append(f"{case} {type(error).__name__}: {error}")
    result.n += 1


def examples(data: Path) -> dict[str, list[bytes]]:
    """The examples, and the smallest real PDFs of the data folder if it is there."""
    folder = ROOT / "examples"
    real = sorted((data / "cuad" / "pdf").glob("*"), key=lambda path: path.stat().st_size)[:_REAL]
    return {
        PDF: [path.read_bytes() for path in (*sorted(folder.glob("*.pdf")), *real)],
        MARKDOWN: [path.read_bytes() for path in sorted(folder.glob("*-*.md"))[:2]],
        PLAIN: [path.read_bytes() for path in sorted(folder.glob("*.txt"))[:1]],
    }


def show(result: Result) -> None:
    """Print a run for people."""
    print(f"n {result.n}, {result.seconds:.0f} s; read {result.read}, refused {result.refused.total()}")
    for reason, count in result.refused.most_common(_SHOWN):
        print(f"  {count:6}  {reason}")
    for name in ("crashes", "faults", "broken"):
        cases = getattr(result, name)
        print(f"{name} {len(cases)}", *cases[:_SHOWN], sep="\n  ")
    print(
        f"most memory of a reader {result.peak_mb:.0f} MB of {MEMORY_MB}; the worker grew by {result.growth_mb:.1f} MB"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit code is 1 when anything but reading and refusing happened on the worker's side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0, metavar="N", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:.0f} seconds")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Settings().data, metavar="DIR", help="default: COUNTERSIGN_DATA")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    options = parser.parse_args(arguments)
    seconds = QUICK_SECONDS if options.quick else options.seconds
    result = asyncio.run(fuzz(examples(options.data), seed=options.seed, seconds=seconds))
    show(result)
    if options.json:
        counts = {name: len(getattr(result, name)) for name in ("crashes", "faults", "broken")}
        figures = {name: round(getattr(result, name), 1) for name in ("seconds", "peak_mb", "growth_mb")}
        refused = dict(result.refused.most_common())
        print(json.dumps({"n": result.n, "read": result.read, "refused": refused, **counts, **figures}))
    return 1 if result.crashes or result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
