"""Which characters of a PDF page a reader can see, found by painting the page.

PDFium paints the page three times at 72 dots an inch: as it is, without its text, and with each text in a colour of its own.
A word is seen when its colour appears where the word stands, and the page as it is differs there from the page without text.
So it does not matter how text was hidden: under a later shape or image, in the colour of its ground, clipped away, on a
layer that is off, transparent, drawn in no mode at all, or outside the page. Words whose colour does not appear get a
second hearing, as glyphs drawn by a program of their own (Type 3) or through a half transparent group cannot be coloured:
they are seen if the page changes when they are taken away.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

import pypdfium2 as pdfium
from pypdfium2 import raw

from countersign.document.pdfium import (
    Box,
    Handle,
    Survey,
    bounds,
    char_box,
    char_owner,
    handle_of,
    is_silent,
    paint,
    set_active,
    survey,
)

TINY_POINTS: Final = 1.5
"""Words lower or narrower than this cannot be read on paper."""
CONTRAST: Final = 20
"""Least difference from the ground, of 255, in one of red, green and blue. A watermark in #E0E0E0 differs by 31."""
_OCR_COVER: Final = 0.5
"""Pictures over more than this share of the page make text that is not painted the layer that scanning software adds."""
_OCR_RUN: Final = 3
"""So many words of such a layer in a row must stand on blank paper before they count as hidden: recognition errs."""
_MAX_PIXELS: Final = 1_500_000
"""A larger page is painted smaller. An A4 page has half a million."""
_PIECE: Final = 8
"""Longer words are judged in pieces of so many characters."""
_WORD: Final = re.compile(rf"[^\s\x00-\x20\x7f-\xa0\xad]{{1,{_PIECE}}}")
_SHARP: Final = raw.FPDF_RENDER_NO_SMOOTHTEXT | raw.FPDF_RENDER_NO_SMOOTHPATH | raw.FPDF_RENDER_NO_SMOOTHIMAGE
"""Without smoothing, a text's colour appears exactly or not at all."""


class _Piece(NamedTuple):
    """Up to eight characters of one text, without blanks: the first and last position, and where they stand."""

    first: int
    last: int
    owner: Handle
    box: Box


class _View:
    """A page on a raster: how many pixels, and where a box of the page lies on it."""

    def __init__(self, page: Any) -> None:
        width, height = page.get_size()
        scale = min(1.0, math.sqrt(_MAX_PIXELS / max(width * height, 1.0)))
        self._page = page
        self.width = min(max(round(width * scale), 1), _MAX_PIXELS)
        self.height = min(max(round(height * scale), 1), _MAX_PIXELS // self.width + 1)
        origin, right, up = (self._device(x, y) for x, y in ((0, 0), (1000, 0), (0, 1000)))
        self._origin = origin
        self._right = ((right[0] - origin[0]) / 1000, (right[1] - origin[1]) / 1000)
        self._up = ((up[0] - origin[0]) / 1000, (up[1] - origin[1]) / 1000)

    def paint(self) -> bytes:
        """The page as it is now, four bytes a pixel, row by row."""
        bitmap = pdfium.PdfBitmap.new_native(self.width, self.height, raw.FPDFBitmap_BGRA, stride=self.width * 4)
        try:
            bitmap.fill_rect((255, 255, 255, 255), 0, 0, self.width, self.height)
            raw.FPDF_RenderPageBitmap(bitmap, self._page, 0, 0, self.width, self.height, 0, _SHARP)
            return bytes(bitmap.buffer)
        finally:
            bitmap.close()

    def rows(self, box: Box) -> list[tuple[int, int]]:
        """From which byte to which each row of pixels of a box reaches; none where it is outside the page."""
        (x, y), (rx, ry), (ux, uy) = self._origin, self._right, self._up
        one, other = (x + rx * box[0] + ux * box[1]), (x + rx * box[2] + ux * box[3])
        low, high = (y + ry * box[0] + uy * box[1]), (y + ry * box[2] + uy * box[3])
        left, right = max(int(min(one, other)), 0), min(int(max(one, other)) + 1, self.width)
        top, bottom = max(int(min(low, high)), 0), min(int(max(low, high)) + 1, self.height)
        stride = 4 * self.width
        return [(row + 4 * left, row + 4 * right) for row in range(top * stride, bottom * stride, stride)]

    def _device(self, x: float, y: float) -> tuple[float, float]:
        """A point of the page in pixels. PDFium rounds, so a raster 64 times as fine is asked for."""
        right, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(self._page, 0, 0, self.width * 64, self.height * 64, 0, x, y, right, down)
        return right.value / 64, down.value / 64


def unseen(document: Any, index: int, page: Any, text_page: Any, text: str, found: Survey) -> list[bool]:
    """Whether each character of a page is hidden from a reader of it. Blanks and signs follow the word before them.

    Args:
        document: the open document.
        index: which of its pages, from 0.
        page: that page; its objects are painted over and taken out, so it is of no use afterwards.
        text_page: the page's text.
        text: one character for each of its positions.
        found: the page's objects.
    """
    sheet = handle_of(text_page)
    owners = [char_owner(sheet, position) for position in range(len(text))]
    pieces = list(_pieces(sheet, text, owners))
    hidden = _judge(document, index, page, pieces, found) if pieces else []
    flags: list[bool] = []
    verdict = False
    for piece, piece_hidden in zip(pieces, hidden, strict=True):
        flags += [verdict] * (piece.first - len(flags))
        verdict = piece_hidden
    return flags + [verdict] * (len(text) - len(flags))


def _pieces(sheet: Handle, text: str, owners: list[Handle | None]) -> Iterator[_Piece]:
    """The words of a page that have a letter or digit, each of one text object."""
    for match in _WORD.finditer(text):
        for owner, positions in groupby(range(*match.span()), key=owners.__getitem__):
            run = list(positions)
            if owner is None or not any(text[position].isalnum() for position in run):
                continue
            one, other = char_box(sheet, run[0]), char_box(sheet, run[-1])
            if one and other:
                box = min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
                yield _Piece(run[0], run[-1], owner, box)


def _judge(document: Any, index: int, page: Any, pieces: list[_Piece], found: Survey) -> list[bool]:
    """Whether each piece is hidden."""
    owners = dict.fromkeys(piece.owner for piece in pieces)
    scanned = _is_scan(page, found)
    view = _View(page)
    strays = _strays(found, owners)
    for stray in strays:
        set_active(stray, False)
    if scanned and all(is_silent(owner) for owner in owners):
        hidden = [True] * len(pieces)
        blank = _without(view, owners)
    else:
        whole = view.paint()
        names = _name(owners)
        named = view.paint()
        blank = _without(view, owners)
        seen = [_seen(view.rows(piece.box), names[piece.owner], whole, named, blank) for piece in pieces]
        lost = [piece for piece, verdict in zip(pieces, seen, strict=True) if verdict is None]
        found_again = _second_hearing(document, index, found, strays, lost, whole) if lost else set()
        hidden = [
            _is_tiny(piece) or not (piece in found_again if verdict is None else verdict)
            for piece, verdict in zip(pieces, seen, strict=True)
        ]
    if scanned:
        off = [gone and not _inked(view.rows(piece.box), blank) for piece, gone in zip(pieces, hidden, strict=True)]
        return [
            verdict for verdict, run in groupby(off) for length in (len(list(run)),) for verdict in [verdict and length >= _OCR_RUN] * length
        ]
    return hidden
