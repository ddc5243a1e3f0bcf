"""The text layer of a PDF, page by page, and which of it nobody can see on the page."""

import ctypes
import threading
from typing import Final, NamedTuple, TypeAlias

import pypdfium2 as pdfium
from pypdfium2 import raw

from countersign.document.model import Page
from countersign.document.plain import MAX_CHARS, merge, normalise
from countersign.errors import DocumentError

MAX_PAGES: Final = 2_000
TINY_POINTS: Final = 1.5
"""Characters whose box is smaller than this in both directions cannot be read on paper."""
_WHITE: Final = 250
_OCR_COVER: Final = 0.5
"""An image over more than this share of the page makes invisible text the layer that scanning software adds."""
_MAX_COVERS: Final = 200
_HIDDEN_MODES: Final = frozenset({raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP})
_REMEDY: Final = "Give the PDF as its author saved it, or its text"

_LOCK: Final = threading.Lock()
"""PDFium keeps global state: one thread at a time, per process."""

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right, top in points of the page."""
Span: TypeAlias = tuple[int, int]


class _Cover(NamedTuple):
    """Something painted on the page that makes white text visible."""

    box: Box
    image: bool


class _Sheet(NamedTuple):
    """What judging a page's characters needs. The handles live as long as the page is open."""

    text_page: object
    box: Box
    covers: tuple[_Cover, ...]
    scanned: bool


def read_pdf(data: bytes) -> tuple[str, tuple[Page, ...], tuple[Span, ...]]:
    """Text, pages and hidden stretches of a PDF.

    Hidden means: drawn invisibly (unless under a scan, whose text layer always is), white with nothing dark painted
    there, smaller than `TINY_POINTS`, or outside the page. Text covered by later images or drawn in other faint colours
    is not noticed, nor is white text over an embedded form. Time grows with the number of characters, which is bounded
    by `MAX_CHARS`.

    Raises:
        DocumentError: the file is encrypted, corrupt, has no pages, too many pages, or no text layer.
    """
    with _LOCK:
        document = _open(data)
        try:
            texts, pages, hidden = _read_pages(document)
        except pdfium.PdfiumError as error:
            raise DocumentError("the PDF is corrupt: a page of it cannot be opened", remedy=_REMEDY) from error
        finally:
            document.close()
    text = "\n".join(texts)
    if not any(character.isalnum() for character in text):
        raise DocumentError(
            f"the PDF is a scan: none of its {len(pages)} pages has a text layer, and OCR is not there yet",
            remedy="Run it through text recognition (OCR) software first, or give its text",
        )
    return text, pages, hidden


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == raw.FPDF_ERR_PASSWORD:
            raise DocumentError("the PDF is encrypted with a password", remedy="Save a copy without password") from None
        if code == raw.FPDF_ERR_SECURITY:
            raise DocumentError("the PDF is encrypted by a scheme that is not known here", remedy=_REMEDY) from None
        raise DocumentError("the PDF is corrupt and cannot be opened", remedy=_REMEDY) from None
    count = len(document)
    if 0 < count <= MAX_PAGES:
        return document
    document.close()
    if count == 0:
        raise DocumentError("the PDF has no pages", remedy=_REMEDY)
    raise DocumentError(f"the PDF has {count:,} pages, more than {MAX_PAGES:,}", remedy="Split the document")


def _read_pages(document: pdfium.PdfDocument) -> tuple[list[str], tuple[Page, ...], tuple[Span, ...]]:
    texts: list[str] = []
    pages: list[Page] = []
    hidden: list[Span] = []
    position = 0
    count = len(document)
    for index in range(count):
        text, spans = _read_page(document, index, MAX_CHARS - position)
        hidden += [(position + start, position + end) for start, end in spans]
        end = position + len(text) + (index < count - 1)
        pages.append(Page(number=index + 1, start=position, end=end))
        texts.append(text)
        position = end
    return texts, tuple(pages), tuple(hidden)


def _read_page(document: pdfium.PdfDocument, index: int, room: int) -> tuple[str, list[Span]]:
    """Text of one page and the hidden stretches in it."""
    page = document[index]
    text_page = page.get_textpage()
    try:
        count = raw.FPDFText_CountChars(text_page)
        if count > room:
            raise DocumentError(f"the PDF's text has more than {MAX_CHARS:,} characters", remedy="Split the document")
        codes = [raw.FPDFText_GetUnicode(text_page, position) for position in range(count)]
        flags = _hidden_flags(page, text_page, codes)
    finally:
        text_page.close()
        page.close()
    pieces: list[str] = []
    spans: list[Span] = []
    length = start = 0
    for position in range(1, count + 1):
        if position < count and flags[position] == flags[start]:
            continue
        piece = _characters(codes[start:position])
        if flags[start] and piece.strip():
            spans.append((length, length + len(piece)))
        pieces.append(piece)
        length += len(piece)
        start = position
    return "".join(pieces), list(merge(spans))


def _characters(codes: list[int]) -> str:
    """PDFium's character codes as text. It gives surrogate pairs as two codes, and a hyphen at a line's end as 2."""
    text = "".join("-" if code == 2 else chr(code) for code in codes if code <= 0x10FFFF)
    if any(0xD800 <= code <= 0xDFFF for code in codes):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return normalise(text)


def _hidden_flags(page: pdfium.PdfPage, text_page: pdfium.PdfTextPage, codes: list[int]) -> list[bool]:
    """Whether each character is hidden. All characters of one text object share its verdict, judged at its ends."""
    objects: list[int | None] = []
    ends: dict[int, tuple[int, int, object]] = {}
    for position, code in enumerate(codes):
        handle = raw.FPDFText_GetTextObject(text_page, position)
        key = ctypes.addressof(handle.contents) if handle else None
        objects.append(key)
        if key is not None and code > 32:
            first = ends[key][0] if key in ends else position
            ends[key] = (first, position, handle)
    if not ends:
        return [False] * len(codes)
    box = _page_box(page)
    sheet = _Sheet(text_page, box, covers := _covers(page), _scanned(covers, box))
    verdicts = {key: _is_hidden(sheet, first, last, handle) for key, (first, last, handle) in ends.items()}
    flags: list[bool] = []
    current = False
    for key in objects:
        current = verdicts.get(key, current) if key is not None else current
        flags.append(current)
    return flags


def _is_hidden(sheet: _Sheet, first: int, last: int, handle: object) -> bool:
    boxes = [box for position in (first, last) if (box := _char_box(sheet.text_page, position)) is not None]
    if not boxes:
        return False
    if raw.FPDFTextObj_GetTextRenderMode(handle) in _HIDDEN_MODES and not sheet.scanned:
        return True
    if all(max(right - left, top - bottom) < TINY_POINTS for left, bottom, right, top in boxes):
        return True
    if not any(_overlap(box, sheet.box) for box in boxes):
        return True
    return _is_white(sheet.text_page, first) and not any(
        _overlap(box, cover.box) for box in boxes[:1] for cover in sheet.covers
    )


def _is_white(text_page: object, position: int) -> bool:
    """Filled white, or transparent."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not raw.FPDFText_GetFillColor(text_page, position, red, green, blue, alpha):
        return False
    return alpha.value < 8 or min(red.value, green.value, blue.value) >= _WHITE


def _char_box(text_page: object, position: int) -> Box | None:
    """Where a character stands, ascent and descent included."""
    rect = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(text_page, position, rect):
        return None
    return rect.left, rect.bottom, rect.right, rect.top


def _page_box(page: pdfium.PdfPage) -> Box:
    left, bottom, right, top = page.get_bbox()
    return left, bottom, right, top


def _covers(page: pdfium.PdfPage) -> tuple[_Cover, ...]:
    """Images, shadings and filled shapes that are not white: the largest `_MAX_COVERS`."""
    kinds = [raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING, raw.FPDF_PAGEOBJ_FORM]
    covers: list[_Cover] = []
    for item in page.get_objects(filter=kinds, max_depth=1):
        if item.type == raw.FPDF_PAGEOBJ_PATH and not _is_dark(item):
            continue
        left, bottom, right, top = item.get_bounds()
        covers.append(_Cover((left, bottom, right, top), item.type == raw.FPDF_PAGEOBJ_IMAGE))
    return tuple(sorted(covers, key=lambda cover: -_area(cover.box))[:_MAX_COVERS])


def _is_dark(path: pdfium.PdfObject) -> bool:
    mode, stroked = ctypes.c_int(), ctypes.c_int()
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    filled = raw.FPDFPath_GetDrawMode(path, mode, stroked) and mode.value != raw.FPDF_FILLMODE_NONE
    known = raw.FPDFPageObj_GetFillColor(path, red, green, blue, alpha)
    return bool(filled and known and alpha.value > 8 and min(red.value, green.value, blue.value) < _WHITE)


def _scanned(covers: tuple[_Cover, ...], page: Box) -> bool:
    images = sum(_area(cover.box) for cover in covers if cover.image)
    return images > _OCR_COVER * _area(page)


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
