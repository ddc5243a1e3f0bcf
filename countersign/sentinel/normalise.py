"""Undo the disguises of characters: one plain lower-case view of a text, with a way back to the original offsets.

Folded away: compatibility forms (NFKC: full-width, ligatures, mathematical letters), letters in boxes and flags,
look-alikes from Cyrillic, Greek, Armenian, Cherokee, Coptic, Lisu and phonetic letters, accents and combining marks,
zero-width characters, bidirectional controls, soft hyphens, hyphenation at a line's end, HTML entities, inline HTML
tags and comments inside words, and runs of white space. Time is linear in the length of the text.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

_INLINE_TAG = r"</?(?:b|i|u|s|em|strong|span|font|wbr|sub|sup|small|big|mark|code|tt)(?:\s[^<>]{0,200})?/?>"
_COMMENT_IN_WORD = r"(?<=[a-zA-Z])<!--[^<>]{0,200}-->(?=[a-zA-Z])"
_ENTITY = r"&(?:#\d{2,7}|#x[0-9a-f]{2,6}|[a-z]{2,8});"
_FOLDED = re.compile(
    rf"\s{{2,}}|[^\x00-\x7f]|(?<=[a-zA-Z])-[ \t]*\n\s*(?=[a-z])|{_INLINE_TAG}|{_COMMENT_IN_WORD}|{_ENTITY}",
    re.IGNORECASE,
)
_TAG_BLOCK = range(0xE0020, 0xE007F)
"""Unicode tag characters: invisible copies of ASCII, known as "ASCII smuggling"."""

_ALIKE = {
    '"': "«»“”„‟″",
    "'": "‘’‚‛′",
    "-": "‐‑‒–—―−",
    "/": "⁄∕",
    "3": "з",
    "a": "ɑαаᗅᴀꓮꭺ",
    "b": "ƀƅɓʙβвьᏼᑲᖯᗷꓐꞵꮟ",
    "c": "ƈɔςϲсᴄⲥꓚꮯ",
    "d": "đɖɗδԁᑯᗞᗪᴅꓒꓓꭰꮷ",
    "e": "əɛεеѐёҽᴇⴹꓰꬲꭼ",
    "f": "ƒϝքᖴẝꓝꞙꬵ",
    "g": "ƍɠɡɢԍցᏻᶃꓖꮐ",
    "h": "ħɦʜнһհᕼⲏꓧꮋꮒ",
    "i": "ıɨɩɪιіꙇꭵ",
    "j": "ȷʝϳјᒍᴊꓙꭻ",
    "k": "ƙκкқҝᛕᴋⲕꓗꮶ",
    "l": "łƚǀɫɬʟӏᒪᛁⲓⳑⵏꓡꓲꮮ",
    "m": "ɱϻмᗰᛖᴍⲙꓟꮇ",
    "n": "ŋɲɴηипոռⲛꓠ",
    "o": "øɵοσоօଠഠဝჿዐᴏᴑⲟⵔꓳꬽ",
    "p": "ƥρрᑭᴘⲣꓑꮲ",
    "q": "ʠԛգզⵕ",
    "r": "ɽɾʀгᖇᴦⲅꓣꭇꭈꭱꮁꮢ",
    "s": "ƽʂѕտꓢꜱꮥꮪ",
    "t": "ŧƭʈτтᴛⲧꓔꭲ",
    "u": "ʉʋμυцսሀᑌᴜꓴꞟꭎꭒ",
    "v": "νѵᐯᴠⱱⴸꓦꛟꮩ",
    "w": "ɯωшщѡԝաᴡⱳꓪꮃꮤ",
    "x": "χжхҳᕁᕽᚷⲭⵝꓫꭓ",
    "y": "ƴɣʏγучүყᶌỿⲩꓬꭚꭹꮍ",
    "z": "ƶʐζᴢꓜꮓ",
}
"""By the plain character those that look like it, most of them from the tables of Unicode TR 39."""
_LOOK_ALIKES = {alike: plain for plain, alikes in _ALIKE.items() for alike in alikes}
_LETTERS_FROM = (0x1F1E6, 0x1F150, 0x1F170)
"""Where 26 letters as flags, in black circles and in black squares begin: they have no compatibility form."""


@dataclass(frozen=True)
class View:
    """A folded text. `starts`, `origins` and `lengths` describe the runs it is made of, in order.

    A run begins at `starts[i]` of `text` and stands for `lengths[i]` characters from `origins[i]` of the original.
    """

    text: str
    starts: tuple[int, ...]
    origins: tuple[int, ...]
    lengths: tuple[int, ...]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original, end-exclusive, that `text[start:end]` was folded from; `start < end`."""
        return self._origin(start), self._origin(end - 1) + 1

    def _origin(self, position: int) -> int:
        run = bisect_right(self.starts, position) - 1
        return self.origins[run] + min(position - self.starts[run], self.lengths[run] - 1)


def fold(text: str) -> View:
    """The plain lower-case view of `text`."""
    parts: list[str] = []
    runs: list[tuple[int, int, int]] = []
    size = 0

    def add(part: str, origin: int, length: int) -> None:
        nonlocal size
        if part:
            parts.append(part)
            runs.append((size, origin, length))
            size += len(part)

    done = 0
    for match in _FOLDED.finditer(text):
        start, end = match.span()
        add(text[done:start].lower(), done, start - done)
        add(_replacement(match.group()), start, end - start)
        done = end
    add(text[done:].lower(), done, len(text) - done)
    starts, origins, lengths = zip(*runs, strict=True) if runs else ((), (), ())
    return View("".join(parts), starts, origins, lengths)


def _replacement(stretch: str) -> str:
    if stretch.isspace():
        return "\n" if "\n" in stretch else " "
    if stretch[0] == "&":
        return "".join(map(fold_character, html.unescape(stretch)))
    return "" if len(stretch) > 1 else fold_character(stretch)


@lru_cache(maxsize=8192)
def fold_character(character: str) -> str:
    """What one character stands for to a reader: "" for an invisible one, else one or more characters."""
    code = ord(character)
    if code in _TAG_BLOCK:
        return chr(code - 0xE0000).lower()
    for first in _LETTERS_FROM:
        if first <= code < first + 26:
            return chr(ord("a") + code - first)
    folded = []
    for plain in unicodedata.normalize("NFKD", character).lower():
        if unicodedata.category(plain) in {"Cf", "Mn", "Me"}:
            continue
        folded.append(_LOOK_ALIKES.get(plain, plain))
    return "".join(folded)
