"""Stretches of a text that say something else than they show: encodings, and text that no reader sees.

Every finder is linear and looks at the original text, so its offsets need no map. An `Island` is decoded text to be
screened like any other: what it decodes to matters, not that it is encoded. A picture in base64 is no attack.
"""

import base64
import binascii
import codecs
import html
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

_MAX_LINE = 600
_READABLE = 0.9


@dataclass(frozen=True)
class Island:
    """Decoded text and the stretch of the original, end-exclusive, that it was decoded from."""

    text: str
    start: int
    end: int
    encoding: str


def islands(text: str) -> list[Island]:
    """Everything in `text` that decodes to readable text, one encoding inside another included."""
    found = []
    for island in _decoded(text):
        found.append(island)
        found += [replace(island, text=deeper.text, encoding=deeper.encoding) for deeper in _decoded(island.text)]
    return found


_COMMENTS = (("<!--", "-->"), ("[//]: # (", ")\n"))
_INVISIBLE_STYLE = re.compile(
    r"<(\w{1,10})\s[^<>]{0,200}?(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](?:px|pt)?\b"
    r"|opacity\s*:\s*0(?:\.0+)?\b|color\s*:\s*(?:white\b|#fff))[^<>]{0,200}>[^<]{1,4000}</",
    re.IGNORECASE,
)


def hidden_stretches(text: str) -> list[tuple[int, int]]:
    """Stretches that a rendered page would not show: HTML and Markdown comments, invisible styles."""
    found = [stretch for opening, closing in _COMMENTS for stretch in _between(text, opening, closing)]
    if "style" in text:
        found += [match.span() for match in _INVISIBLE_STYLE.finditer(text)]
    return found


def _between(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    start = text.find(opening)
    while start >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            return
        yield start, end + len(closing)
        start = text.find(opening, end)


def _decoded(text: str) -> Iterator[Island]:
    for encoding, pattern, decode in _ENCODINGS:
        for match in pattern.finditer(text):
            plain = decode(match.group())
            if plain is not None and _readable(plain):
                yield Island(plain, match.start(), match.start() + len(match.group().rstrip()), encoding)
    if "%" in text:
        yield from _lines(text, "percent", _PERCENT, urllib.parse.unquote_plus)
    lowered, unleeted = text.lower(), text.translate(_LEETSPEAK)
    if any(unleeted.lower().count(word) > lowered.count(word) for word in _LEET_WORDS):
        yield from _lines(unleeted, "leetspeak", re.compile("|".join(_LEET_WORDS), re.IGNORECASE), str)
    for encoding, words, decode in _CIPHERS:
        if any(word in lowered for word in words):
            pattern = re.compile("|".join(words), re.IGNORECASE)
            yield from _lines(text, encoding, pattern, decode)


def _lines(text: str, encoding: str, words: re.Pattern[str], decode: Callable[[str], str]) -> Iterator[Island]:
    """Decode each line that shows one of `words`: the traces that the encoding leaves."""
    done = 0
    for match in words.finditer(text):
        if match.start() < done:
            continue
        start = max(text.rfind("\n", done, match.start()) + 1, match.start() - _MAX_LINE, done)
        newline = text.find("\n", match.end(), match.end() + _MAX_LINE)
        done = newline if newline >= 0 else min(len(text), match.end() + _MAX_LINE)
        yield Island(decode(text[start:done]), start, done, encoding)


def _readable(plain: str) -> bool:
    """Whether it is text at all: what a key or a picture decodes to is mostly not."""
    return len(plain) >= 8 and sum(c.isprintable() or c.isspace() for c in plain) >= _READABLE * len(plain)


def _utf8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _base64(stretch: str) -> str | None:
    packed = re.sub(r"\s", "", stretch).rstrip("=").translate(str.maketrans("-_", "+/"))
    packed = packed[: len(packed) - (len(packed) % 4 == 1)]
    try:
        return _utf8(base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True))
    except binascii.Error:
        return None


def _base32(stretch: str) -> str | None:
    packed = stretch.rstrip("=")
    packed = packed[: len(packed) - len(packed) % 8]
    try:
        return _utf8(base64.b32decode(packed))
    except binascii.Error:
        return None


def _hexadecimal(stretch: str) -> str | None:
    digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", stretch)
    return _utf8(bytes.fromhex(digits[: len(digits) - len(digits) % 2]))


def _binary(stretch: str) -> str | None:
    return _utf8(bytes(int(octet, 2) for octet in re.findall(r"[01]{8}", stretch)))


def _letters(stretch: str) -> str | None:
    """Words of letters set apart: wider gaps part the words; with none, the letters stand together."""
    words = re.split(r"\s{2,}|[/|]", stretch)
    return " ".join(re.sub(r"[^\w]|_", "", word) for word in words)


def _smuggled(stretch: str) -> str | None:
    return "".join(chr(ord(character) - 0xE0000) for character in stretch)


def _mirrored(stretch: str) -> str | None:
    return stretch.strip("\u202e\u202c")[::-1]


_ENCODINGS: tuple[tuple[str, re.Pattern[str], Callable[[str], str | None]], ...] = (
    ("base64", re.compile(r"(?<![\w+/])[A-Za-z0-9+/_-]{20,}(?:\n[A-Za-z0-9+/_-]{20,}){0,200}={0,2}"), _base64),
    ("base32", re.compile(r"(?<!\w)[A-Z2-7]{32,}={0,6}"), _base32),
    ("hexadecimal", re.compile(r"(?<!\w)(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,]?){16,}"), _hexadecimal),
    ("binary", re.compile(r"(?<!\w)(?:[01]{8}[\s,]{0,2}){8,}"), _binary),
    ("entities", re.compile(r"(?:&#x?[0-9a-fA-F]{2,6};\s?){4,}"), html.unescape),
    ("spaced letters", re.compile(r"(?<![^\s\"'(])(?:[^\W\d_](?:[ .*_|/-]{1,4}|\n)){8,}[^\W\d_](?!\w)"), _letters),
    ("tag characters", re.compile("[\U000e0020-\U000e007e]{8,}"), _smuggled),
    ("right-to-left override", re.compile("\u202e[^\u202c\n]{8,2000}\u202c?"), _mirrored),
)
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}[\w.+,-]{0,40}%[0-9a-fA-F]{2}")
_LEETSPEAK = str.maketrans("01345@$", "oieasas")
_LEET_WORDS = ("ignor", "instruct", "disregard", "overrid", "prompt", "previous", "approv", "assistant")
_CIPHERS: tuple[tuple[str, tuple[str, ...], Callable[[str], str]], ...] = (
    (
        "rot13",
        ("vafgehpgvba", "vtaber", "cebzcg", "qvfertneq", "bireevqr", "erivrjre", "nffvfgnag", "nccebir"),
        lambda line: codecs.encode(line, "rot13"),
    ),
    (
        "reversed",
        ("snoitcurtsni", "erongi", "tpmorp", "dragersid", "edirrevo", "evorppa"),
        lambda line: line[::-1],
    ),
)
"""Cue words as a cipher writes them, and how to undo it."""
