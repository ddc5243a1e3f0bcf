"""Bytes to text: which kind of file it is, and what a reader of it sees. Synchronous: run it in a thread."""

import re
from typing import Final

from countersign.document.model import DocumentText, Page
from countersign.document.pdf import read_pdf
from countersign.document.plain import MAX_CHARS, decode_text, hidden_spans, normalise
from countersign.document.sections import find_sections
from countersign.errors import DocumentError

PDF: Final = "application/pdf"
MARKDOWN: Final = "text/markdown"
PLAIN: Final = "text/plain"

ACCEPTED: Final = "PDF with a text layer, Markdown or plain text"
_REMEDY: Final = f"Give one of: {ACCEPTED}"

_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x7fELF", "an ELF program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office file"),
    (b"{\\rtf", "a rich-text (RTF) file"),
    (b"%!PS", "a PostScript file"),
)
_OFFICE: Final[tuple[tuple[bytes, str], ...]] = (
    (b"word/", "a Word document (DOCX)"),
    (b"xl/", "an Excel workbook (XLSX)"),
    (b"ppt/", "a PowerPoint presentation (PPTX)"),
)
_PDF_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\x00\t\n\f\r ]*%PDF-\d")
_PDF_LATER: Final = re.compile(rb"[\r\n]%PDF-\d|%PDF-\d\.\d\s[\s\S]{0,200}?\d \d+ obj\b")
"""Viewers open a file as PDF whose mark comes within its first 1,024 bytes, whatever stands before it."""
_HTML_MARK: Final = re.compile(r"\s*(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)
_MARKDOWN_LINE: Final = re.compile(r"^#{1,6} \S", re.MULTILINE)
_HEAD: Final = 1024
MAX_SECTIONS: Final = 50_000
"""Most headings of a text; a contract of 500 pages has some 5,000."""


def sniff(data: bytes, name: str | None = None, *, whole: bool = True) -> str:
    """The media type of a document, judged by its content.

    Args:
        data: the whole file, or its beginning.
        name: its file name, if known. It only decides between Markdown and plain text, and a `.pdf` must be a PDF.
        whole: False when `data` is only the beginning.

    Returns:
        `application/pdf`, `text/markdown` or `text/plain`.

    Raises:
        DocumentError: the file is empty, none of these kinds, or two at once; the message says what it is instead.
    """
    if not data:
        raise DocumentError("the file is empty (0 bytes)", remedy=_REMEDY)
    if _PDF_START.match(data, 0, _HEAD):
        return PDF
    if _PDF_LATER.search(data, 0, _HEAD):
        raise DocumentError(
            "the file is a PDF and something else at once: its PDF mark is not its beginning", remedy=_REMEDY
        )
    if found := _foreign(data):
        raise DocumentError(f"the file is {found}, which cannot be reviewed", remedy=_REMEDY)
    suffix = _suffix(name)
    if suffix == "pdf":
        raise DocumentError("the file is named .pdf but is no PDF", remedy=_REMEDY)
    text = decode_text(data, whole=whole)
    if _HTML_MARK.match(text):
        raise DocumentError("the file is an HTML page, which cannot be reviewed", remedy=_REMEDY)
    if suffix in {"md", "markdown"}:
        return MARKDOWN
    if suffix in {"txt", "text"}:
        return PLAIN
    return MARKDOWN if _MARKDOWN_LINE.search(text) else PLAIN


def read_document(data: bytes, media_type: str, *, max_bytes: int) -> DocumentText:
    """The text of a document with its pages, sections and hidden stretches.

    Line ends become `\\n`; control characters other than tab and newline, lone surrogates and the byte order mark are
    left out. The resulting `text` is what every later offset means. Pages of a PDF are joined with `\\n`, which belongs
    to the page before it.

    Args:
        data: the whole file.
        media_type: what `sniff` said of it.
        max_bytes: limit on the file's size.

    Raises:
        DocumentError: the file is empty, too large, of another kind, encrypted, corrupt, without text, or too long.
    """
    if not data:
        raise DocumentError("the file is empty (0 bytes)", remedy=_REMEDY)
    if len(data) > max_bytes:
        raise DocumentError(
            f"the file has {_mb(len(data))} MB, more than the limit of {_mb(max_bytes)} MB",
            remedy="Split it, or raise COUNTERSIGN_MAX_DOCUMENT_MB",
        )
    if media_type == PDF:
        _assert_pdf(data)
        text, pages, hidden, unread = read_pdf(data)
    elif media_type in {MARKDOWN, PLAIN}:
        text = normalise(decode_text(data))
        pages = (Page(number=1, start=0, end=len(text)),)
        hidden, unread = (), ()
    else:
        raise DocumentError(f"documents of type {media_type[:100]!r} cannot be reviewed", remedy=_REMEDY)
    if len(text) > MAX_CHARS:
        raise DocumentError(
            f"the text has {len(text):,} characters, more than {MAX_CHARS:,}", remedy="Split the document"
        )
    if not any(character.isalnum() for character in text):
        raise DocumentError("the file holds no text, only blanks or signs", remedy=_REMEDY)
    sections = find_sections(text)
    if len(sections) > MAX_SECTIONS:
        raise DocumentError(
            f"the text has {len(sections):,} headings, more than {MAX_SECTIONS:,}", remedy="Split the document"
        )
    return DocumentText(
        text=text,
        pages=pages,
        sections=sections,
        hidden=hidden_spans(text, hidden, markdown=media_type == MARKDOWN),
        unread=unread,
    )


def _assert_pdf(data: bytes) -> None:
    """Refuse what others than PDF viewers may open as something else."""
    if not _PDF_START.match(data, 0, _HEAD):
        raise DocumentError("the PDF is corrupt: it does not begin as one", remedy=_REMEDY)
    # A ZIP archive ends with its directory, and a comment up to the file's end; unpackers look for it from there.
    at = data.rfind(b"PK\x05\x06", max(len(data) - 65_557, 0))
    if at >= 0 and at + 22 + int.from_bytes(data[at + 20 : at + 22], "little") == len(data):
        raise DocumentError("the file is a PDF and a ZIP archive at once", remedy="Print it to a new PDF and give that")


def _foreign(data: bytes) -> str | None:
    """What a file of a kind we do not read is called, or None."""
    if data[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return next((name for mark, name in _OFFICE if mark in data), "a ZIP archive")
    if data[:2] == b"MZ" and b"\x00" in data[:_HEAD]:
        return "a Windows program"
    return next((name for mark, name in _SIGNATURES if data.startswith(mark)), None)


def _suffix(name: str | None) -> str:
    return name.rpartition(".")[2].lower() if name and "." in name else ""


def _mb(size: int) -> str:
    """Megabytes (10^6 bytes) with as many digits as a person wants."""
    return f"{size / 1e6:.1f}" if size >= 100_000 else f"{size / 1e6:.3g}"
