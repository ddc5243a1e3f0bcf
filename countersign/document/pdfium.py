"""Quick ways into PDFium: the few calls that reading makes for every character, with plain integers for handles.

The bindings of pypdfium2 build a pointer object for every handle; these return addresses and take a third of the time.
A handle is valid while its page is open.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from pypdfium2 import raw

Handle: TypeAlias = int
"""Address of an object of PDFium's."""

_P, _I, _U, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_float


def _quick(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.CFUNCTYPE(result, *arguments)(ctypes.cast(function, ctypes.c_void_p).value or 0)


char_code: Final = _quick(raw.FPDFText_GetUnicode, _U, _P, _I)
char_owner: Final = _quick(raw.FPDFText_GetTextObject, _P, _P, _I)
char_unmapped: Final = _quick(raw.FPDFText_HasUnicodeMapError, _I, _P, _I)
_char_box: Final = _quick(raw.FPDFText_GetLooseCharBox, _I, _P, _I, _P)
set_active: Final = _quick(raw.FPDFPageObj_SetIsActive, _I, _P, _I)
_set_fill: Final = _quick(raw.FPDFPageObj_SetFillColor, _I, _P, _U, _U, _U, _U)
_set_stroke: Final = _quick(raw.FPDFPageObj_SetStrokeColor, _I, _P, _U, _U, _U, _U)
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


def handle_of(thing: Any) -> Handle:
    """The address behind one of pypdfium2's page or text page objects."""
    return ctypes.cast(thing.raw, ctypes.c_void_p).value or 0


def char_box(text_page: Handle, position: int) -> Box | None:
    """Where a character stands, ascent and descent included."""
    rect = (_F * 4)()
    if not _char_box(text_page, position, rect):
        return None
    left, top, right, bottom = rect
    return left, bottom, right, top


def paint(thing: Handle, red: int, green: int, blue: int) -> None:
    """Give a text its fill and stroke, opaque, whatever it had."""
    _set_fill(thing, red, green, blue, 255)
    _set_stroke(thing, red, green, blue, 255)


def bounds(thing: Handle) -> Box:
    """The box around a page object, in the space of the page or form that holds it; empty if it has none."""
    sides = (_F * 4)()
    size = ctypes.sizeof(_F)
    start = ctypes.addressof(sides)
    _bounds(thing, start, start + size, start + 2 * size, start + 3 * size)
    left, bottom, right, top = sides
    return left, bottom, right, top


def survey(page: Handle) -> tuple[list[Handle], list[Box]]:
    """The texts on a page, those inside forms too, and the boxes of its pictures in points.

    A picture is an image on the page, or a form on the page that holds an image.
    """
    texts: list[Handle] = []
    pictures: list[Box] = []
    for index in range(_page_count(page)):
        top = _page_object(page, index)
        held = _survey(top, texts)
        if held:
            pictures.append(bounds(top))
    return texts, pictures


def _survey(top: Handle, texts: list[Handle]) -> bool:
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
            waiting += [_form_object(thing, index) for index in range(_form_count(thing))]
    return image


def drop_replacements(texts: list[Handle]) -> set[Handle]:
    """Take `ActualText` off these texts, so that what their glyphs say is read; returns those that had one."""
    replaced = set()
    for text in texts:
        for index in range(_mark_count(text)):
            if _mark_remove(text, _mark(text, index), b"ActualText"):
                replaced.add(text)
    return replaced
