"""Quick ways into PDFium: the few calls that reading makes for every character, with plain integers for handles.

The bindings of pypdfium2 build a pointer object for every handle; these return addresses and take a third of the time.
A handle is valid while its page is open.
"""

import ctypes
import math
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from pypdfium2 import raw

Handle: TypeAlias = int
"""Address of an object of PDFium's."""

_P, _I, _U, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_float


def _quick(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(result, *arguments)(ctypes.cast(function, ctypes.c_void_p).value or 0)


char_code: Final = _quick(raw.FPDFText_GetUnicode, _U, _P, _I)
char_owner: Final = _quick(raw.FPDFText_GetTextObject, _P, _P, _I)
char_unmapped: Final = _quick(raw.FPDFText_HasUnicodeMapError, _I, _P, _I)
_char_box: Final = _quick(raw.FPDFText_GetLooseCharBox, _I, _P, _I, _P)
set_active: Final = _quick(raw.FPDFPageObj_SetIsActive, _I, _P, _I)
_set_fill: Final = _quick(raw.FPDFPageObj_SetFillColor, _I, _P, _U, _U, _U, _U)
_set_stroke: Final = _quick(raw.FPDFPageObj_SetStrokeColor, _I, _P, _U, _U, _U, _U)
_render_mode: Final = _quick(raw.FPDFTextObj_GetTextRenderMode, _I, _P)
_is_transparent: Final = _quick(raw.FPDFPageObj_HasTransparency, _I, _P)
_get_fill: Final = _quick(raw.FPDFPageObj_GetFillColor, _I, _P, _P, _P, _P, _P)
_fill_pattern: Final = _quick(raw.FPDFPageObj_GetRenderedFillPattern, _P, _P, _P)
_destroy_bitmap: Final = _quick(raw.FPDFBitmap_Destroy, None, _P)
_font: Final = _quick(raw.FPDFTextObj_GetFont, _P, _P)
_is_embedded: Final = _quick(raw.FPDFFont_GetIsEmbedded, _I, _P)
_kind: Final = _quick(raw.FPDFPageObj_GetType, _I, _P)
_bounds: Final = _quick(raw.FPDFPageObj_GetBounds, _I, _P, _P, _P, _P, _P)
_page_count: Final = _quick(raw.FPDFPage_CountObjects, _I, _P)
_page_object: Final = _quick(raw.FPDFPage_GetObject, _P, _P, _I)
_form_count: Final = _quick(raw.FPDFFormObj_CountObjects, _I, _P)
_form_object: Final = _quick(raw.FPDFFormObj_GetObject, _P, _P, ctypes.c_ulong)
_mark_count: Final = _quick(raw.FPDFPageObj_CountMarks, _I, _P)
_mark: Final = _quick(raw.FPDFPageObj_GetMark, _P, _P, ctypes.c_ulong)
_mark_remove: Final = _quick(raw.FPDFPageObjMark_RemoveParam, _I, _P, _P, ctypes.c_char_p)

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right, top in points of the page."""


_COLOUR: Final = (_U * 4)()
_COLOUR_AT: Final = ctypes.addressof(_COLOUR)
_DARK: Final = 100
_FOUR_FLOATS: Final = struct.Struct("4f")
_RECT: Final = (_F * 4)()
_RECT_AT: Final = ctypes.addressof(_RECT)
"""Where PDFium puts a box; one at a time, as PDFium itself."""


def handle_of(thing: Any) -> Handle:
    """The address behind one of pypdfium2's page or text page objects."""
    return ctypes.cast(thing.raw, ctypes.c_void_p).value or 0


def char_box(text_page: Handle, position: int) -> Box | None:
    """Where a character stands, ascent and descent included."""
    if not _char_box(text_page, position, _RECT_AT):
        return None
    left, top, right, bottom = _FOUR_FLOATS.unpack(_RECT)
    return left, bottom, right, top


def is_silent(text: Handle) -> bool:
    """Whether a text is neither filled nor stroked, as the text layer of a scan is."""
    return bool(_render_mode(text) == raw.FPDF_TEXTRENDERMODE_INVISIBLE)


def plain_ink(document: Any, text: Handle) -> bytes | None:
    """Blue, green and red of a text that is simply filled with one dark, opaque colour; None for any other."""
    if _render_mode(text) != raw.FPDF_TEXTRENDERMODE_FILL or _is_transparent(text):
        return None
    if not _get_fill(text, _COLOUR_AT, _COLOUR_AT + 4, _COLOUR_AT + 8, _COLOUR_AT + 12):
        return None
    red, green, blue, alpha = _COLOUR
    if alpha != 255 or max(red, green, blue) > _DARK:
        return None
    pattern = _fill_pattern(document, text)
    if pattern:
        _destroy_bitmap(pattern)
        return None
    return bytes((blue, green, red))


def is_embedded(text: Handle) -> bool:
    """Whether a text's font is in the file."""
    return bool(_is_embedded(_font(text)) == 1)


def paint(text: Handle, colour: bytes, *, stroked: bool) -> None:
    """Fill a text, and stroke it if it is `stroked`, with one opaque colour: blue, green, red."""
    _set_fill(text, colour[2], colour[1], colour[0], 255)
    if stroked:
        _set_stroke(text, colour[2], colour[1], colour[0], 255)


def bounds(thing: Handle) -> Box:
    """The box around a page object, in the space of the page or form that holds it; empty if it has none."""
    sides = (_F * 4)()
    size = ctypes.sizeof(_F)
    start = ctypes.addressof(sides)
    _bounds(thing, start, start + size, start + 2 * size, start + 3 * size)
    left, bottom, right, top = sides
    if not math.isfinite(left + bottom + right + top):  # numbers in a PDF may be endless
        return 0.0, 0.0, 0.0, 0.0
    return left, bottom, right, top


class Survey(NamedTuple):
    """What is on a page: its texts, those inside forms too, and the boxes of its pictures.

    A picture is an image on the page, or a form on the page that holds an image.
    """

    texts: list[Handle]
    pictures: list[Box]


def survey(page: Handle) -> Survey:
    """The objects of a page, in the order in which they are painted."""
    found = Survey([], [])
    for index in range(_page_count(page)):
        top = _page_object(page, index)
        if _holds_image(top, found.texts):
            found.pictures.append(bounds(top))
    return found


def _holds_image(top: Handle, texts: list[Handle]) -> bool:
    """Whether a page object is or holds an image; adds the texts in it to `texts`."""
    image = False
    waiting = [top]
    while waiting:
        thing = waiting.pop()
        kind = _kind(thing)
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            texts.append(thing)
        elif kind == raw.FPDF_PAGEOBJ_IMAGE:
            image = True
        elif kind == raw.FPDF_PAGEOBJ_FORM:
            waiting += [_form_object(thing, index) for index in reversed(range(_form_count(thing)))]
    return image


def drop_replacements(texts: Iterable[Handle]) -> set[Handle]:
    """Take `ActualText` off these texts, so that what their glyphs say is read; returns those that had one."""
    replaced = set()
    for text in texts:
        for index in range(_mark_count(text)):
            if _mark_remove(text, _mark(text, index), b"ActualText"):
                replaced.add(text)
    return replaced
