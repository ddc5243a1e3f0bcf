"""Which characters of a PDF page a reader can see, found by painting the page.

PDFium paints the page at 72 dots an inch with each text in a colour of its own, without its text, and, unless all of it
is plainly dark, as it is. A word is seen when its colour appears where it stands and its own ink stands out from the
ground there. So it does not matter how text was hidden: under a later shape or image, in the colour of its ground,
clipped away, on a layer that is off, transparent, drawn in no mode at all, or outside the page. All other words get a
second hearing, as glyphs drawn by programs of their own (Type 3) or through a half transparent group cannot be
coloured, and the thinnest may be lost: they are seen if the page changes when they are taken away.
"""

import ctypes
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby, repeat
from typing import Any, Final, NamedTuple, TypeAlias

from pypdfium2 import raw

from countersign.document.pdfium import (
    Box,
    Handle,
    Survey,
    bounds,
    char_box,
    char_owner,
    handle_of,
    is_embedded,
    is_silent,
    paint,
    plain_ink,
    set_active,
    survey,
)

TINY_POINTS: Final = 1.5
"""Words lower or narrower than this cannot be read on paper."""
CONTRAST: Final = 20
"""Least difference from the ground, of 255, in one of red, green and blue. A watermark in #E0E0E0 differs by 31."""
_OCR_COVER: Final = 0.5
"""Pictures over more than this share of the page make text that is not seen the layer that scanning software adds."""
_OCR_RUN: Final = 4
"""So many words of such a layer in a row must stand on blank paper before they count as hidden: recognition errs."""
_SAME: Final = 2.0
"""Points by which the box of a text that was struck twice may differ."""
_MAX_PIXELS: Final = 1_500_000
"""A larger page is painted smaller. An A4 page has half a million."""
_PIECE: Final = 8
"""Longer words are judged in pieces of so many characters."""
_WORD: Final = re.compile(rf"[^\s\x00-\x20\x7f-\xa0\xad]{{1,{_PIECE}}}")
_LAST_LATIN: Final = "\u024f"
"""PDFium brings glyphs of its own for letters up to this."""
_WORDY: Final = re.compile(r"[^\W_]|[\ud800-\udfff]")
"""A letter, digit or half of one beyond the first 65,536 characters."""
_SHARP: Final = raw.FPDF_RENDER_NO_SMOOTHTEXT | raw.FPDF_RENDER_NO_SMOOTHPATH | raw.FPDF_RENDER_NO_SMOOTHIMAGE


_Place: TypeAlias = tuple[range, int]
"""A box on a raster: at which byte each of its rows begins, and how many bytes they have."""


class _Piece(NamedTuple):
    """Up to eight characters of one text, without blanks: the first and last position, and where they stand."""

    first: int
    last: int
    owner: Handle
    box: Box


def _pieces(sheet: Handle, text: str, owners: Sequence[Handle | None]) -> Iterator[_Piece]:
    """The words of a page that have a letter or digit, each of one text object."""
    for match in _WORD.finditer(text):
        start, end = match.span()
        for first, beyond in _runs(owners, start, end):
            owner = owners[first]
            if owner is None or not _WORDY.search(text, first, beyond):
                continue
            box = char_box(sheet, first)
            if beyond - first > 1 and box is not None:
                other = char_box(sheet, beyond - 1)
                box = other and _around(box, other)
            if box is not None:
                yield _Piece(first, beyond - 1, owner, box)


def _runs(owners: Sequence[Handle | None], start: int, end: int) -> Iterable[tuple[int, int]]:
    """The stretches of one owner each."""
    if owners[start:end].count(owners[start]) == end - start:
        return ((start, end),)
    edges = [at for at in range(start, end) if at == start or owners[at] != owners[at - 1]]
    return zip(edges, [*edges[1:], end], strict=True)


def _around(one: Box, other: Box) -> Box:
    left, bottom, right, top = one
    other_left, other_bottom, other_right, other_top = other
    return (
        left if left < other_left else other_left,
        bottom if bottom < other_bottom else other_bottom,
        right if right > other_right else other_right,
        top if top > other_top else other_top,
    )


_NOWHERE: Final = (range(0), 0)


class _Rasters(NamedTuple):
    """A page painted with each text in its own colour, without its text, and as it is; None if its ink is known."""

    named: bytearray
    ground: bytearray
    whole: bytearray | None
    certain: bool
    """Whether all ink is plainly dark and all ground blank paper, so that what appears stands out."""

    def stands_out(self, at: int, ink: bytes) -> bool:
        """Whether text whose colour appears at a pixel can be told from the ground. `ink` is its own, where known."""
        blue, green, red = ink if self.whole is None else self.whole[at : at + 3]
        blue_ground, green_ground, red_ground = self.ground[at : at + 3]
        return max(abs(blue - blue_ground), abs(green - green_ground), abs(red - red_ground)) >= CONTRAST


class Sight:
    """What readers of one document see. Rasters are kept from page to page: fresh memory costs as much as painting."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.canvases: dict[str, bytearray] = {}

    def unseen(self, index: int, text_page: Any, text: str, found: Survey) -> list[bool]:
        """Whether each character of a page is hidden from its reader. Blanks and signs follow the word before them.

        Args:
            index: which page, from 0.
            text_page: the text of that page, open. The page is painted over and emptied, so it is of no use afterwards.
            text: one character for each position of the text page.
            found: the objects on the open page.
        """
        sheet = handle_of(text_page)
        owners = list(map(char_owner, repeat(sheet), range(len(text))))
        pieces = list(_pieces(sheet, text, owners))
        if not pieces:
            return [False] * len(text)
        page = _Page(self, index, text_page.page, found)
        flags: list[bool] = []
        verdict = False
        for piece, hidden in zip(pieces, page.judge(pieces, owners, text), strict=True):
            flags += [verdict] * (piece.first - len(flags))
            verdict = hidden
        return flags + [verdict] * (len(text) - len(flags))


class _Page:
    """A page on a raster."""

    def __init__(self, sight: "Sight", index: int, page: Any, found: Survey) -> None:
        self._document = sight.document
        self._canvases = sight.canvases
        self._index = index
        self._page = page
        self._found = found
        width, height = (side if math.isfinite(side) else 1.0 for side in page.get_size())
        scale = min(1.0, math.sqrt(_MAX_PIXELS / max(width * height, 1.0)))
        self._width = min(max(round(width * scale), 1), _MAX_PIXELS)
        self._height = min(max(round(height * scale), 1), _MAX_PIXELS // self._width + 1)
        self._origin, right, up = (self._device(x, y) for x, y in ((0, 0), (1000, 0), (0, 1000)))
        self._right = ((right[0] - self._origin[0]) / 1000, (right[1] - self._origin[1]) / 1000)
        self._up = ((up[0] - self._origin[0]) / 1000, (up[1] - self._origin[1]) / 1000)
        pictures = sum(_area(box) for box in found.pictures)
        self._scanned = pictures > _OCR_COVER * _area(page.get_bbox())

    def judge(self, pieces: Sequence[_Piece], told: Sequence[Handle | None], text: str) -> list[bool]:
        """Whether each piece is hidden. Paints the page over and takes its text out.

        Args:
            pieces: the words, in order.
            told: the owner of each character of the page's text.
            text: that text.
        """
        owners = dict.fromkeys(piece.owner for piece in pieces)
        if self._scanned and all(map(is_silent, owners)):
            hidden = [True] * len(pieces)
            _take_out(owners)
            ground = self._paint(self._page, "ground")
        else:
            inks = {owner: plain_ink(handle_of(self._document), owner) for owner in owners}
            whole = self._paint(self._page, "whole") if None in inks.values() else None
            names = _name(inks)
            named = self._paint(self._page, "named")
            _take_out(owners)
            ground = self._paint(self._page, "ground")
            certain = whole is None and ground == self._paper(len(ground))
            rasters = _Rasters(named, ground, whole, certain)
            seen = [
                _seen(self._place(piece.box), names[piece.owner], inks[piece.owner] or b"", rasters) for piece in pieces
            ]
            doubted = [(piece, verdict) for piece, verdict in zip(pieces, seen, strict=True) if not verdict]
            again = self._hear_again(doubted, set(told)) if doubted else set()
            hidden = [
                _is_tiny(piece)
                or not (verdict or piece.first in again or self._is_beyond_us(piece, inks[piece.owner], text))
                for piece, verdict in zip(pieces, seen, strict=True)
            ]
        return self._without_ocr(pieces, hidden, ground) if self._scanned else hidden

    def _hear_again(self, doubted: Sequence[tuple[_Piece, bool | None]], told: Set[Handle | None]) -> set[int]:
        """The first positions of those pieces that are seen after all: without them the page looks different.

        A piece whose colour did not appear is taken from the whole page, as it may be under other text; one that did
        not stand out from a page without other text, as it may lie over that.
        """
        page = self._document[self._index]
        try:
            texts = survey(handle_of(page)).texts
            if len(texts) != len(self._found.texts):
                return set()
            again = dict(zip(self._found.texts, texts, strict=True))
            repeats = self._repeats(told)
            seen: set[int] = set()
            for appeared in (False, True):
                pieces = [piece for piece, verdict in doubted if (verdict is not None) == appeared]
                if not pieces:
                    continue
                owners = {owner for piece in pieces for owner in (piece.owner, *repeats.get(piece.owner, ()))}
                for text, copy in again.items():
                    set_active(copy, text in owners or not appeared)
                one = self._paint(page, "with", sharp=False)
                _take_out(again[owner] for owner in owners if owner in again)
                other = self._paint(page, "without", sharp=False)
                seen |= {piece.first for piece in pieces if self._changes(piece.box, one, other)}
            return seen
        finally:
            page.close()

    def _is_beyond_us(self, piece: _Piece, ink: bytes | None, text: str) -> bool:
        """Whether a word is plainly dark, on the page, and in a script and font that this machine has no glyphs for.

        Such a word is not painted, and is taken for seen; a reader's machine has the font.
        """
        letters = text[piece.first : piece.last + 1]
        rows, _ = self._place(piece.box)
        return ink is not None and min(letters) > _LAST_LATIN and len(rows) > 0 and not is_embedded(piece.owner)

    def _repeats(self, told: Set[Handle | None]) -> dict[Handle, list[Handle]]:
        """The texts that PDFium leaves out of the page's text, by the text that each repeats in its place.

        Fake bold is made so. They cover what they repeat, and show it where that is covered.
        """
        near: dict[tuple[int, int], list[tuple[Box, Handle]]] = {}
        for text in self._found.texts:
            if text in told:
                box = bounds(text)
                near.setdefault(_cell(box), []).append((box, text))
        repeats: dict[Handle, list[Handle]] = {}
        for text in self._found.texts:
            if text not in told and (repeated := _repeated(bounds(text), near)) is not None:
                repeats.setdefault(repeated, []).append(text)
        return repeats

    def _changes(self, box: Box, one: bytearray, other: bytearray) -> bool:
        """Whether two paintings differ in a box: in a quarter of its rows, or white text on a thin line would count."""
        rows, width = self._place(box)
        differing = sum(_differ(one[row : row + width], other[row : row + width]) for row in rows)
        return 0 < len(rows) <= 4 * differing

    def _without_ocr(self, pieces: Sequence[_Piece], hidden: Sequence[bool], ground: bytearray) -> list[bool]:
        """Which of the hidden pieces are no text layer of a scan: that stands where the paper has ink."""
        off = [
            gone and not _has_ink(self._place(piece.box), ground) for piece, gone in zip(pieces, hidden, strict=True)
        ]
        verdicts: list[bool] = []
        for verdict, run in groupby(off):
            length = len(list(run))
            verdicts += [verdict and length >= _OCR_RUN] * length
        return verdicts

    def _paint(self, page: Any, canvas: str, *, sharp: bool = True) -> bytearray:
        """The page as it is now: blue, green, red and alpha of each pixel, row by row. Overwrites the canvas.

        Sharp, a text's colour appears exactly or not at all; smooth, the thinnest stroke leaves a trace.
        """
        size = 4 * self._width * self._height
        raster = self._canvases.get(canvas)
        if raster is None or len(raster) != size:
            raster = self._canvases[canvas] = bytearray(size)
        memory = (ctypes.c_char * size).from_buffer(raster)
        ctypes.memset(memory, 255, size)
        bitmap = raw.FPDFBitmap_CreateEx(self._width, self._height, raw.FPDFBitmap_BGRA, memory, 4 * self._width)
        if not bitmap:
            raise MemoryError
        raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, self._width, self._height, 0, _SHARP if sharp else 0)
        raw.FPDFBitmap_Destroy(bitmap)
        return raster

    def _paper(self, size: int) -> bytearray:
        """A blank page."""
        paper = self._canvases.get("paper")
        if paper is None or len(paper) != size:
            paper = self._canvases["paper"] = bytearray(b"\xff") * size
        return paper

    def _place(self, box: Box) -> _Place:
        """The rows of a box; none where it is outside the page, or nowhere."""
        left, bottom, right, top = box
        (x, y), (rx, ry), (ux, uy) = self._origin, self._right, self._up
        one, other = x + rx * left + ux * bottom, x + rx * right + ux * top
        low, high = y + ry * left + uy * bottom, y + ry * right + uy * top
        try:
            first, beyond = (int(one), int(other) + 1) if one < other else (int(other), int(one) + 1)
            highest, lowest = (int(low), int(high) + 1) if low < high else (int(high), int(low) + 1)
        except (ValueError, OverflowError):  # numbers in a PDF may be endless
            return _NOWHERE
        first, beyond = max(first, 0), min(beyond, self._width)
        highest, lowest = max(highest, 0), min(lowest, self._height)
        if first >= beyond:
            return _NOWHERE
        stride = 4 * self._width
        start = 4 * first
        return range(highest * stride + start, lowest * stride + start, stride), 4 * beyond - start

    def _device(self, x: float, y: float) -> tuple[float, float]:
        """A point of the page in pixels. PDFium rounds, so a raster 64 times as fine is asked for."""
        right, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(self._page, 0, 0, self._width * 64, self._height * 64, 0, x, y, right, down)
        return right.value / 64, down.value / 64


def _name(inks: Mapping[Handle, bytes | None]) -> dict[Handle, bytes]:
    """Paint each text in a colour of its own; its bytes in the raster.

    No part of a name is 255, as every pixel's alpha is: so it is never found across two pixels.
    """
    names = {}
    for number, (owner, ink) in enumerate(inks.items()):
        name = bytes((number % 250 + 2, number // 250 % 250 + 2, number // 62_500 % 250 + 2, 255))
        paint(owner, name, stroked=ink is None)
        names[owner] = name
    return names


def _seen(place: _Place, name: bytes, ink: bytes, rasters: _Rasters) -> bool | None:
    """Whether text of this name stands out there, where it begins and where it ends; None where it does not appear."""
    rows, width = place
    named = rasters.named
    top = _find(named, name, rows, width)
    if top < 0:
        return None
    if rasters.certain:
        return True
    return rasters.stands_out(top, ink) and rasters.stands_out(_find(named, name, reversed(rows), width), ink)


def _find(named: bytearray, name: bytes, rows: Iterable[int], width: int) -> int:
    for row in rows:
        at = named.find(name, row, row + width)
        if at >= 0:
            return at
    return -1


def _differ(one: bytearray, other: bytearray) -> bool:
    """Whether two rows of pixels differ visibly somewhere."""
    return one != other and any(abs(here - there) >= CONTRAST for here, there in zip(one, other, strict=True))


def _has_ink(place: _Place, ground: bytearray) -> bool:
    """Whether something is to be seen there, whatever the colour of the paper."""
    rows, width = place
    for channel in range(3):
        values = b"".join(ground[row + channel : row + width : 4] for row in rows)
        if values and max(values) - min(values) >= CONTRAST:
            return True
    return False


def _is_tiny(piece: _Piece) -> bool:
    """Words too low or too narrow; of one or two characters, in both directions: an "i" is narrow."""
    sides = piece.box[2] - piece.box[0], piece.box[3] - piece.box[1]
    return (min(sides) if piece.last - piece.first >= 2 else max(sides)) < TINY_POINTS


def _repeated(box: Box, near: Mapping[tuple[int, int], Sequence[tuple[Box, Handle]]]) -> Handle | None:
    """The text whose box is the same, but for `_SAME` points."""
    column, row = _cell(box)
    for cell in ((column + right, row + up) for right in (-1, 0, 1) for up in (-1, 0, 1)):
        for other, text in near.get(cell, ()):
            if all(abs(here - there) < _SAME for here, there in zip(box, other, strict=True)):
                return text
    return None


def _cell(box: Box) -> tuple[int, int]:
    return int(box[0] // _SAME), int(box[1] // _SAME)


def _take_out(texts: Iterable[Handle]) -> None:
    for text in texts:
        set_active(text, False)


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
