"""Stretches of a text that say something else than they show: encodings, and text that no reader sees.

Every finder looks at the original text, so its offsets need no map, and is linear: a pattern's endless repetitions have
one way to match, and what stands before them (a look-behind, a mark) lets a run be tried once; the rest is bounded. An
`Island` is decoded text to be screened like any other: what it decodes to matters, not that it is encoded. A picture in
base64 is no attack.
"""

import base64
import binascii
import codecs
import html
import re
import struct
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

_MAX_LINE = 600
_SHORTEST = 8
"""Characters, and different characters, of decoded text that says anything."""
_LETTERS = 0.6
"""Share of letters and white space in decoded text that says anything."""


@dataclass(frozen=True)
class Island:
    """Decoded text and the stretch of the original, end-exclusive, that it was decoded from.

    `whole` says that all of the stretch was encoded; else it is a line that shows traces of an encoding.
    """

    text: str
    start: int
    end: int
    encoding: str
    whole: bool = True


def islands(text: str) -> list[Island]:
    """Everything in `text` that decodes to readable text, one encoding inside another included."""
    found = []
    for island in _decoded(text):
        found.append(island)
        found += [replace(deeper, start=island.start, end=island.end) for deeper in _decoded(island.text)]
    return found


_WHITE = r"(?:white\b|transparent\b|#fff(?:fff)?\b|rgba?\(\s*255\s*,\s*255\s*,\s*255)"
_UNSEEN = (
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*(?:[01](?:\.\d{1,3})?|\.\d{1,3})\s*(?:px|pt|%|em|rem)?\s*[;\"'!]"
    rf"|opacity\s*:\s*0?(?:\.0\d{{0,3}})?\s*[;\"'!]|(?<!-)color\s*[:=]\s*[\"']?{_WHITE}|text-indent\s*:\s*-\d{{3}}"
    r"|(?:left|top|right|bottom)\s*:\s*-\d{3}|(?:max-)?(?:height|width)\s*:\s*0(?:px)?\s*[;\"'!]"
    r"|(?<=\s)(?:aria-)?hidden(?=[\s=>])"
)
_HIDDEN = (
    re.compile(rf"<\w{{1,10}}\s[^<>]{{0,200}}?(?:{_UNSEEN})[^<>]{{0,200}}>[^<]{{1,4000}}</", re.IGNORECASE),
    re.compile(r"<(?:template|noscript|script|style|title|head)\b[^<>]{0,200}>[^<]{1,4000}</", re.IGNORECASE),
    re.compile(
        r"\s(?:title|alt|aria-label|placeholder|summary|content|data-[a-z]{1,20})\s*=\s*(?:\"[^\"<>]{8,2000}\"|'[^'<>]{8,2000}')",
        re.I,
    ),
)
"""Elements that are not shown, and attributes that are read aloud or shown on hovering only. Every part is bounded."""
_MARKDOWN_HIDDEN = (
    re.compile(r"^ {0,3}\[(?://|#|_|comment)[^\]\n]{0,80}\]:[ \t]*(?:#|<>)[^\n]*", re.MULTILINE | re.IGNORECASE),
    re.compile(r"!\[([^\]\n]{8,1000})\]\("),
    re.compile(r"\]\([^()\s\"]{1,500}[ \t]{1,8}\"([^\"\n]{8,1000})\"\)"),
)
"""Comments written as link references; what stands for an image; a link's title."""


def hidden_stretches(text: str) -> list[tuple[int, int]]:
    """Stretches that a rendered page would not show: comments, invisible elements, descriptions and titles."""
    found = list(_between(text, "<!--", "-->"))
    if '="' in text or "='" in text or "<" in text:
        found += [match.span() for pattern in _HIDDEN for match in pattern.finditer(text)]
    if "](" in text or "]:" in text:
        found += [match.span(match.lastindex or 0) for pattern in _MARKDOWN_HIDDEN for match in pattern.finditer(text)]
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
    if "\\u" in text:
        yield from _lines(text, "escapes", _ESCAPES, _unescaped)
    lowered = text.lower()
    for encoding, words, decode in _CIPHERS:
        if any(word in lowered for word in words):
            yield from _lines(text, encoding, _any_of(words), decode)
    for encoding, pattern, respell in _SPELLINGS:
        revealing = {word for word in pattern.findall(lowered) if _reveals(word, respell(word))}
        if revealing:
            yield from _lines(text, encoding, _any_of(revealing), partial(_respelled, pattern, respell))


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(words))), re.IGNORECASE)


def _reveals(word: str, plain: str) -> bool:
    return any(cue in plain and cue not in word for cue in _CUES)


def _respelled(pattern: re.Pattern[str], respell: Callable[[str], str], line: str) -> str:
    return pattern.sub(lambda match: respell(match.group()), line.lower())


def _lines(text: str, encoding: str, words: re.Pattern[str], decode: Callable[[str], str]) -> Iterator[Island]:
    """Decode each line that shows one of `words`: the traces that the encoding leaves."""
    done = 0
    for match in words.finditer(text):
        if match.start() < done:
            continue
        start = max(text.rfind("\n", done, match.start()) + 1, match.start() - _MAX_LINE, done)
        newline = text.find("\n", match.end(), match.end() + _MAX_LINE)
        done = newline if newline >= 0 else min(len(text), match.end() + _MAX_LINE)
        yield Island(decode(text[start:done]), start, done, encoding, whole=False)


def _readable(plain: str) -> bool:
    """Whether it is words at all: what a key, a picture or a line of dashes decodes to is not."""
    letters = sum(character.isalpha() or character.isspace() for character in plain)
    return len(plain) >= _SHORTEST and letters >= _LETTERS * len(plain) and len(set(plain)) >= _SHORTEST


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


def _selected(stretch: str) -> str | None:
    """Variation selectors as bytes: the first 16 stand in the basic plane, the other 240 in the 15th."""
    return _utf8(bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16 for code in map(ord, stretch)))


def _invisible_bits(stretch: str) -> str | None:
    """Bits written with two invisible characters, whichever of them is the 1."""
    for one in sorted(set(stretch)):
        bits = "".join("1" if character == one else "0" for character in stretch)
        plain = _utf8(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8)))
        if plain is not None and _readable(plain):
            return plain
    return None


def _base85(stretch: str) -> str | None:
    for decode in (base64.b85decode, base64.a85decode):
        try:
            return _utf8(decode(stretch))
        except (ValueError, struct.error):
            continue
    return None


def _unescaped(line: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), line)


def _mirrored(stretch: str) -> str | None:
    return stretch.strip("\u202e\u202c")[::-1]


_ENCODINGS: tuple[tuple[str, re.Pattern[str], Callable[[str], str | None]], ...] = (
    ("base64", re.compile(r"(?<![\w+/])[A-Za-z0-9+/_-]{20,}(?:\n[A-Za-z0-9+/_-]{20,}){0,200}={0,2}"), _base64),
    ("base32", re.compile(r"(?<!\w)[A-Z2-7]{32,}={0,6}"), _base32),
    ("base85", re.compile(r"(?<!\S)[!-~]{40,}(?!\S)"), _base85),
    ("hexadecimal", re.compile(r"(?<!\w)(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,]?){16,}"), _hexadecimal),
    ("binary", re.compile(r"(?<!\w)(?:[01]{8}[\s,]{0,2}){8,}"), _binary),
    ("entities", re.compile(r"(?:&#x?[0-9a-fA-F]{2,6};\s?){4,}"), html.unescape),
    ("spaced letters", re.compile(r"(?<![^\s\"'(])(?:[^\W\d_](?:[ .*_|/-]{1,4}|\n)){8,}[^\W\d_](?!\w)"), _letters),
    ("tag characters", re.compile("[\U000e0020-\U000e007e]{8,}"), _smuggled),
    ("variation selectors", re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,}"), _selected),
    ("invisible bits", re.compile("[\u200b-\u200f\u2060-\u2064\ufeff]{64,}"), _invisible_bits),
    ("right-to-left override", re.compile("\u202e[^\u202c\n]{8,2000}\u202c?"), _mirrored),
)
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}[\w.+,-]{0,40}%[0-9a-fA-F]{2}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4}){3}")
_CUES = ("ignor", "instruct", "disregard", "overrid", "prompt", "previous", "approv", "assistant", "forget", "reveal")
_LEET = re.compile(r"(?<![\w@$])[a-z_@$]*[013457@$][\w@$]*")
_BROKEN = re.compile(r"(?<![a-z])[a-z]+(?:[-.*_~|'`^+=·•,:;/\\][a-z]+)+")
_LEETSPEAK, _LEETSPEAK_WITH_L = str.maketrans("013457@$", "oieastas"), str.maketrans("013457@$", "oleastas")
_SPELLINGS: tuple[tuple[str, re.Pattern[str], Callable[[str], str]], ...] = (
    ("leetspeak", _LEET, lambda word: word.translate(_LEETSPEAK)),
    ("leetspeak", _LEET, lambda word: word.translate(_LEETSPEAK_WITH_L)),
    ("broken words", _BROKEN, lambda word: re.sub(r"[^a-z]", "", word)),
)
"""Ways to spell a word so that a person reads it and a filter does not: the words they touch, and how to undo them."""
_CIPHERS: tuple[tuple[str, tuple[str, ...], Callable[[str], str]], ...] = (
    (
        "rot13",
        ("vafgehpg", "vtaber", "cebzcg", "qvfertneq", "bireevqr", "erivrjre", "nffvfgnag", "nccebir", "cerivbhf"),
        lambda line: codecs.encode(line, "rot13"),
    ),
    (
        "reversed",
        ("snoitcurtsni", "erongi", "tpmorp", "dragersid", "edirrevo", "evorppa"),
        lambda line: line[::-1],
    ),
)
"""Cue words as a cipher writes them, and how to undo it."""
