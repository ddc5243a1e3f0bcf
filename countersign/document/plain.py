"""Plain characters: decoding bytes, making text safe to store, and finding what a reader cannot see in it."""

import codecs
import re
from collections.abc import Iterable
from typing import Final

from countersign.errors import DocumentError

MAX_CHARS: Final = 6_000_000
"""Longest text that is read: some 2,000 full pages."""
MAX_HIDDEN: Final = 10_000
"""Most hidden stretches that are recorded; the last one then reaches to the end of what is hidden."""

_REMEDY: Final = "Save it as UTF-8 text or as PDF"
_SAMPLE: Final = 65_536
_BINARY_SHARE: Final = 0.01
"""A text with more control characters than this is no text. Real contracts have none."""

_BREAKS: Final = "\v\f\x85\u2028\u2029"
_NONCHARACTERS: Final = "\ufffe\uffff"
_TABLE: Final = (
    dict.fromkeys((*range(32), *range(127, 160), *range(0xD800, 0xE000)))
    | {ord("\t"): "\t", ord("\n"): "\n"}
    | dict.fromkeys(map(ord, _BREAKS), "\n")
    | dict.fromkeys(map(ord, _NONCHARACTERS), None)
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")

_ZERO_WIDTH: Final = re.compile(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f]+"
)
_HARMLESS: Final = frozenset("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
"""One of these beside a blank or sign is a typesetter's break hint, not a trick."""
_REFERENCE_COMMENT: Final = re.compile(r"^ {0,3}\[(?://|#|_|comment)[^\]\n]{0,80}\]:[ \t]*(?:#|<>)[^\n]*", re.M | re.I)


def decode_text(data: bytes, *, whole: bool = True) -> str:
    """Bytes as characters: UTF-8, UTF-16 or UTF-32 by their mark or pattern of zeros, otherwise Windows-1252.

    Args:
        data: the file, or its beginning.
        whole: False when more follows, so that the last character may be cut through; it is then left out.

    Raises:
        DocumentError: the bytes are no text, or in no encoding known here.
    """
    encoding = _encoding(data)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data, final=whole)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise DocumentError(f"the file is damaged: it is no {encoding} text", remedy=_REMEDY) from None
        text = _nearly_utf8(data) or _windows(data)
    if len(text) - len(_CONTROL.sub("", text)) > _BINARY_SHARE * len(text):
        raise DocumentError("the file is binary, not text", remedy="Give a PDF, Markdown or plain text")
    return text


def normalise(text: str) -> str:
    """`text` with `\\n` line ends, without control characters and lone surrogates (Postgres and JSON refuse some)."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").translate(_TABLE)


def hidden_spans(text: str, known: Iterable[tuple[int, int]], *, markdown: bool) -> tuple[tuple[int, int], ...]:
    """Stretches of `text` nobody sees: those `known` already, zero-width characters and, in Markdown, comments.

    Returns:
        Sorted, disjoint (start, end) pairs, at most `MAX_HIDDEN`.
    """
    spans = [*known, *_zero_width(text)]
    if markdown:
        spans += _html_comments(text)
        spans += [match.span() for match in _REFERENCE_COMMENT.finditer(text)]
    merged = merge(spans)
    if len(merged) <= MAX_HIDDEN:
        return merged
    return (*merged[: MAX_HIDDEN - 1], (merged[MAX_HIDDEN - 1][0], merged[-1][1]))


def merge(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The union of (start, end) pairs, sorted and disjoint; empty ones vanish."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _encoding(data: bytes) -> str:
    """The encoding the bytes claim by their mark, or show by where their zeros stand."""
    for mark, name in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return name
    sample = data[:_SAMPLE]
    half = len(sample) // 2
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if half >= 8 and odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if half >= 8 and even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return "utf-8"


def _nearly_utf8(data: bytes) -> str | None:
    """The text, a damaged character as U+FFFD, where sound ones beyond ASCII outnumber the damaged; else None.

    One bad byte must not turn the whole text into another.
    """
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    sound = len(text) - len(_BEYOND_ASCII.sub("", text)) - damaged
    return text if sound > damaged else None


def _windows(data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        raise DocumentError("its characters are neither UTF-8, UTF-16 nor Windows-1252", remedy=_REMEDY) from None


def _zero_width(text: str) -> Iterable[tuple[int, int]]:
    if text.isascii():
        return
    for match in _ZERO_WIDTH.finditer(text):
        start, end = match.span()
        inside = start > 0 and end < len(text) and text[start - 1].isalnum() and text[end].isalnum()
        if inside or end - start > 2 or not _HARMLESS.issuperset(match.group()):
            yield start, end


def _html_comments(text: str) -> Iterable[tuple[int, int]]:
    """Comments `<!-- … -->`; one left open hides the rest, as it does in a browser."""
    start = text.find("<!--")
    while start >= 0:
        close = text.find("-->", start + 4)
        end = close + 3 if close >= 0 else len(text)
        yield start, end
        start = text.find("<!--", end)
