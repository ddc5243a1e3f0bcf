"""The text of a PDF as its pages show it, page by page, and which of it nobody can see there.

Text is what the pages draw, filled-in forms and comments that stand on the page included. What is not drawn (comments
to be opened, hidden fields, metadata, embedded files, replacement text) is not read and so never reaches a model;
`DocumentText.unread` says that it is there. Nothing is run or fetched.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Set
from itertools import groupby, repeat
from typing import Any, Final, NamedTuple, TypeAlias

import pypdfium2 as pdfium
from pypdfium2 import raw

from countersign.document.model import Page
from countersign.document.pdfium import (
    Handle,
    char_code,
    char_owner,
    char_unmapped,
    drop_replacements,
    handle_of,
    survey,
)
from countersign.document.plain import MAX_CHARS, merge, normalise
from countersign.document.sight import Sight
from countersign.errors import DocumentError

MAX_PAGES: Final = 2_000
MAX_PAGE_CHARS: Final = 200_000
"""Most characters of a page. A dense page of a contract has 8,000."""
MAX_ANNOTATIONS: Final = 5_000
"""Most comments, links and form fields of a page."""
_REMEDY: Final = "Give the PDF as its author saved it, or its text"
_PRINT: Final = "Print it to a new PDF and give that"

_LOCK: Final = threading.Lock()
"""PDFium keeps global state: one thread at a time, per process."""

_LINE_HYPHEN: Final = "\x02"
"""PDFium's code for a hyphen at a line's end."""
_PRIVATE_USE: Final = range(0xE000, 0xF900)
_NO_WORDS: Final = frozenset({raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP})
_UNSHOWN: Final = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW

_FILES: Final = "embedded files"

Span: TypeAlias = tuple[int, int]


class PdfText(NamedTuple):
    """What reading a PDF gives: see `DocumentText`."""

    text: str
    pages: tuple[Page, ...]
    hidden: tuple[Span, ...]
    unread: tuple[str, ...]


def read_pdf(data: bytes) -> PdfText:
    """Text, pages and hidden stretches of a PDF, and what it carries beside its pages.

    Hidden means: a reader of the page does not see it (see `sight`), except the text layer of a scan, where it stands
    on ink. Not noticed: fonts whose glyphs look like other characters than they say they are, and a scan's text layer
    with other words than its picture. Time grows with the number of characters, which is bounded, and with the size of
    pictures.

    Raises:
        DocumentError: the file is encrypted, corrupt, a form without pages of its own, or has no pages, no text layer,
            or too many pages, characters or annotations.
    """
    with _LOCK:
        document = _open(data)
        try:
            texts, pages, hidden, unread = _read_pages(document)
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
    return PdfText(text, pages, hidden, unread)


def _open(data: bytes) -> Any:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == raw.FPDF_ERR_PASSWORD:
            raise DocumentError("the PDF is encrypted with a password", remedy="Save a copy without password") from None
        if code == raw.FPDF_ERR_SECURITY:
            raise DocumentError("the PDF is encrypted by a scheme that is not known here", remedy=_REMEDY) from None
        raise DocumentError("the PDF is corrupt and cannot be opened", remedy=_REMEDY) from None
    try:
        _check(document)
    except DocumentError:
        document.close()
        raise
    return document


def _check(document: Any) -> None:
    count = len(document)
    if count <= 0:
        raise DocumentError("the PDF has no pages", remedy=_REMEDY)
    if count > MAX_PAGES:
        raise DocumentError(f"the PDF has {count:,} pages, more than {MAX_PAGES:,}", remedy="Split the document")
    if raw.FPDF_GetFormType(document) == raw.FORMTYPE_XFA_FULL:
        raise DocumentError("the PDF is an XFA form, whose pages are made by a program inside it", remedy=_PRINT)


def _read_pages(document: Any) -> tuple[list[str], tuple[Page, ...], tuple[Span, ...], tuple[str, ...]]:
    texts: list[str] = []
    pages: list[Page] = []
    hidden: list[Span] = []
    aside: Counter[str] = Counter()
    position = 0
    sight = Sight(document)
    count = len(document)
    for index in range(count):
        text, spans = _read_page(document, index, sight, MAX_CHARS - position, aside)
        hidden += [(position + start, position + end) for start, end in spans]
        end = position + len(text) + (index < count - 1)
        pages.append(Page(number=index + 1, start=position, end=end))
        texts.append(text)
        position = end
    aside[_FILES] += max(raw.FPDFDoc_GetAttachmentCount(document), 0)
    aside["scripts"] += max(raw.FPDFDoc_GetJavaScriptActionCount(document), 0)
    unread = tuple(f"{kind}: {number}" for kind, number in sorted(aside.items()) if number)
    return texts, tuple(pages), tuple(hidden), unread


def _read_page(document: Any, index: int, sight: Sight, room: int, aside: Counter[str]) -> tuple[str, list[Span]]:
    """Text of one page and the hidden stretches in it; counts in `aside` what the page carries and does not show."""
    page = document[index]
    try:
        if _put_annotations_on(page, index, aside):
            page.close()
            page = document[index]
        found = survey(handle_of(page))
        text_page = page.get_textpage()
        text = _characters(text_page, index, room)
        alleged: frozenset[int] = frozenset()
        if replaced := drop_replacements(found.texts):
            drawn_page = page.get_textpage()
            drawn = _characters(drawn_page, index, room)
            if unnamed := _unnamed(drawn_page, drawn, replaced):
                alleged = _differing(text_page, text, drawn_page, drawn, replaced - unnamed)
            else:
                text_page, text = drawn_page, drawn
        flags = sight.unseen(index, text_page, text, found)
    finally:
        page.close()
    for position in alleged:
        flags[position] = True
    pieces: list[str] = []
    spans: list[Span] = []
    length = start = 0
    for hidden, run in groupby(flags):
        end = start + sum(1 for _ in run)
        piece = _clean(text[start:end])
        if hidden and piece.strip():
            spans.append((length, length + len(piece)))
        pieces.append(piece)
        length += len(piece)
        start = end
    return "".join(pieces), list(merge(spans))


def _put_annotations_on(page: Any, index: int, aside: Counter[str]) -> bool:
    """Make the form fields and comments that a reader sees part of the page; whether there were any.

    What is on an optional layer counts as not seen.
    """
    count = raw.FPDFPage_GetAnnotCount(page)
    if count > MAX_ANNOTATIONS:
        raise DocumentError(f"page {index + 1} has {count:,} annotations, more than {MAX_ANNOTATIONS:,}", remedy=_PRINT)
    shown = False
    for place in reversed(range(count)):
        annotation = raw.FPDFPage_GetAnnot(page, place)
        if not annotation:
            continue
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        unshown = bool(raw.FPDFAnnot_GetFlags(annotation) & _UNSHOWN or raw.FPDFAnnot_HasKey(annotation, b"OC"))
        raw.FPDFPage_CloseAnnot(annotation)
        if kind == raw.FPDF_ANNOT_FILEATTACHMENT:
            aside[_FILES] += 1
        elif unshown and kind not in _NO_WORDS:
            aside["hidden fields and comments"] += 1
        elif kind == raw.FPDF_ANNOT_TEXT:
            aside["comments"] += 1
        elif kind not in _NO_WORDS:
            shown = True
        if unshown:
            raw.FPDFPage_RemoveAnnot(page, place)
    if shown:
        # Painting gives fields that have no appearance of their own one, as a viewer does.
        dot = pdfium.PdfBitmap.new_native(1, 1, raw.FPDFBitmap_BGRA)
        raw.FPDF_RenderPageBitmap(dot, page, 0, 0, 1, 1, 0, raw.FPDF_ANNOT)
        dot.close()
        raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)
    return shown


def _characters(text_page: Any, index: int, room: int) -> str:
    """One character for each position of the page's text; what is none is NUL. Pairs of surrogates are two."""
    count = raw.FPDFText_CountChars(text_page)
    if count > MAX_PAGE_CHARS:
        raise DocumentError(
            f"page {index + 1} has {count:,} characters, more than {MAX_PAGE_CHARS:,}", remedy="Split the page"
        )
    if count > room:
        raise DocumentError(f"the PDF's text has more than {MAX_CHARS:,} characters", remedy="Split the document")
    codes = list(map(char_code, repeat(handle_of(text_page)), range(count)))
    return "".join(map(chr, codes)) if max(codes, default=0) < 0x110000 else "".join(map(_character, codes))


def _character(code: int) -> str:
    return chr(code) if code < 0x110000 else "\0"


def _clean(text: str) -> str:
    """A stretch of a page's characters as text."""
    text = text.replace(_LINE_HYPHEN, "-")
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return normalise(text)


def _unnamed(text_page: Any, text: str, among: Set[Handle]) -> set[Handle]:
    """Those texts with glyphs whose font does not say which characters they are."""
    sheet = handle_of(text_page)
    return {
        owner
        for position, character in enumerate(text)
        if (ord(character) in _PRIVATE_USE or character == "\0" or char_unmapped(sheet, position))
        and (owner := char_owner(sheet, position)) in among
    }


def _differing(text_page: Any, text: str, drawn_page: Any, drawn: str, among: Set[Handle]) -> frozenset[int]:
    """The positions of `text` that belong to texts which are drawn with other letters."""
    said, shown = _by_owner(text_page, text, among), _by_owner(drawn_page, drawn, among)
    return frozenset(
        position
        for owner, positions in said.items()
        if _letters(text, positions) != _letters(drawn, shown.get(owner, []))
        for position in positions
    )


def _by_owner(text_page: Any, text: str, among: Set[Handle]) -> dict[Handle, list[int]]:
    sheet = handle_of(text_page)
    positions: dict[Handle, list[int]] = {}
    for position in range(len(text)):
        if (owner := char_owner(sheet, position)) in among:
            positions.setdefault(owner, []).append(position)
    return positions


def _letters(text: str, positions: Iterable[int]) -> str:
    return "".join(text[position] for position in positions if text[position].isalnum()).casefold()
