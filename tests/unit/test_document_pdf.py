"""What of a PDF is its text: all that its pages show, and nothing that they do not."""

import pytest
from helpers.pdfs import FIRST, FONT, LETTER, form, pdf_of, stream, text

from countersign.document.model import DocumentText
from countersign.document.read import PDF, read_document
from countersign.errors import DocumentError

LIMIT = 20_000_000
SEEN = text("The visible clause.", y=700)
LOOK = form(text("Noted here", x=2, y=5)).replace(LETTER.encode(), b"0 0 200 20")
FIELDS = f"/AcroForm << /Fields [{FIRST} 0 R] /NeedAppearances true /DR << /Font << {FONT} >> >> >>"
LAYER = "<< /Type /OCG /Name (Layer) >>"


def read(drawing: str = SEEN, **more: object) -> DocumentText:
    return read_document(pdf_of(drawing, **more), PDF, max_bytes=LIMIT)  # type: ignore[arg-type]


def hidden(document: DocumentText) -> list[str]:
    return [document.text[start:end].strip() for start, end in document.hidden]


def noted(entries: str, *extra: str | bytes, catalog: str = "") -> DocumentText:
    """A page with an annotation; its look is object `FIRST + 1`."""
    annotation = f"<< /Type /Annot {entries} /Rect [72 500 272 520] /Contents (Secret orders) >>"
    return read(page=f"/Annots [{FIRST} 0 R]", extra=[annotation, LOOK, *extra], catalog=f"{FIELDS} {catalog}")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (f"/Subtype /FreeText /F 4 /AP << /N {FIRST + 1} 0 R >>", "Noted here"),
        ("/Subtype /FreeText /F 4 /DA (/F1 12 Tf 0 g)", "Secret orders"),
        (f"/Subtype /Widget /FT /Tx /T (a) /V (Value) /F 4 /AP << /N {FIRST + 1} 0 R >>", "Noted here"),
        ("/Subtype /Widget /FT /Tx /T (a) /V (Value) /DA (/F1 12 Tf 0 g) /F 4", "Value"),
        (f"/Subtype /Stamp /AP << /N {FIRST + 1} 0 R >>", "Noted here"),
    ],
    ids=["comment on the page", "comment without a look", "field", "field without a look", "stamp"],
)
def test_what_annotations_show_on_the_page_is_read(entries: str, words: str) -> None:
    document = noted(entries)
    assert document.text.splitlines() == ["The visible clause.", words]
    assert (hidden(document), document.unread) == ([], ())


@pytest.mark.parametrize(
    ("entries", "unread"),
    [
        (f"/Subtype /FreeText /F 2 /AP << /N {FIRST + 1} 0 R >>", "hidden fields and comments: 1"),
        (f"/Subtype /FreeText /F 32 /AP << /N {FIRST + 1} 0 R >>", "hidden fields and comments: 1"),
        (
            f"/Subtype /Widget /FT /Tx /T (a) /V (Value) /F 2 /AP << /N {FIRST + 1} 0 R >>",
            "hidden fields and comments: 1",
        ),
        (f"/Subtype /Stamp /OC {FIRST + 2} 0 R /AP << /N {FIRST + 1} 0 R >>", "hidden fields and comments: 1"),
        ("/Subtype /Text /F 4", "comments: 1"),
        (
            f"/Subtype /FileAttachment /FS << /Type /Filespec /F (a.zip) /EF << /F {FIRST + 1} 0 R >> >>",
            "embedded files: 1",
        ),
        ("/Subtype /Link /A << /S /URI /URI (http://127.0.0.1:9/) >>", None),
        ("/Subtype /Popup /Open true", None),
    ],
    ids=["hidden", "not for viewing", "hidden field", "on a layer", "to be opened", "file", "link", "popup"],
)
def test_what_annotations_do_not_show_is_not_read_but_told(entries: str, unread: str | None) -> None:
    document = noted(entries, LAYER)
    assert document.text.strip() == "The visible clause."
    assert document.unread == ((unread,) if unread else ())


def test_metadata_embedded_files_and_scripts_are_not_read_but_told() -> None:
    script = "<< /S /JavaScript /JS (app.alert\\('Secret orders'\\)) >>"
    document = read(
        extra=["<< /Title (Secret orders) >>", stream(b"Secret orders", "/Type /EmbeddedFile")],
        catalog=f"/Metadata {FIRST + 1} 0 R /OpenAction {script} /Names << /JavaScript << /Names [(a) {script}] >> "
        f"/EmbeddedFiles << /Names [(a) << /Type /Filespec /F (a) /EF << /F {FIRST + 1} 0 R >> >>] >> >>",
    )
    assert document.text.strip() == "The visible clause."
    assert document.unread == ("embedded files: 1", "scripts: 1")


def test_text_under_a_redaction_is_hidden() -> None:
    document = read(
        SEEN + text("secret words", y=505),
        page=f"/Annots [{FIRST} 0 R]",
        extra=["<< /Type /Annot /Subtype /Square /F 4 /Rect [60 495 272 520] /IC [0 0 0] /C [0 0 0] >>"],
    )
    assert hidden(document) == ["secret words"]


def test_a_form_that_is_a_program_is_refused() -> None:
    with pytest.raises(DocumentError, match="XFA"):
        read(
            extra=[stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'/>")],
            catalog=f"/NeedsRendering true /AcroForm << /Fields [] /XFA {FIRST} 0 R >>",
        )


@pytest.mark.parametrize("holder", ["/Span << /ActualText (Secret orders) >>", "/Span /P1"])
def test_replacement_text_is_not_read_where_the_glyphs_say_what_they_are(holder: str) -> None:
    drawing = f"{holder} BDC {text('The fee is 100')} EMC {text('after', y=600)}"
    document = read(
        SEEN + drawing, extra=["<< /ActualText (Secret orders) >>"], resources=f"/Properties << /P1 {FIRST} 0 R >>"
    )
    assert document.text.splitlines() == ["The visible clause.", "The fee is 100", "after"]
    assert hidden(document) == []


def test_replacement_text_is_read_where_glyphs_have_no_names_and_others_may_not_hide_behind_them() -> None:
    font = (
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 10 10] /FontMatrix [.1 0 0 .1 0 0] /FirstChar 1 /LastChar 1 "
        f"/Widths [10] /Encoding << /Differences [1 /g1] >> /CharProcs << /g1 {FIRST + 1} 0 R >> >>"
    )
    unnamed = "/Span << /ActualText (Fee) >> BDC BT /T 12 Tf 72 650 Td <01> Tj ET EMC "
    lying = f"/Span << /ActualText (Secret orders) >> BDC {text('The fee is 100', y=600)} EMC "
    resources = f"/Font << {FONT} /T {FIRST} 0 R >>"
    extra = [font, stream(b"10 0 d0 0 0 8 8 re f")]
    document = read(SEEN + unnamed, extra=extra, resources=resources)
    assert (document.text.splitlines(), hidden(document)) == (["The visible clause.", "Fee"], [])
    document = read(SEEN + unnamed + lying, extra=extra, resources=resources)
    assert document.text.splitlines() == ["The visible clause.", "Fee", "Secret orders"]
    assert hidden(document) == ["Secret orders"]


def chinese(before: str = "") -> DocumentText:
    """A contract in a Chinese font that is not in the file, and perhaps not on this machine."""
    words = "甲方应当向乙方支付费用".encode("utf-16-be").hex()
    return read(
        SEEN + f"{before} BT /C 12 Tf 72 600 Td <{words}> Tj ET",
        extra=[
            "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H "
            f"/DescendantFonts [{FIRST + 1} 0 R] >>",
            "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light "
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> >>",
        ],
        resources=f"/Font << {FONT} /C {FIRST} 0 R >>",
    )


def test_text_that_this_machine_has_no_glyphs_for_is_not_hidden() -> None:
    document = chinese()
    assert "甲方应当向乙方支付费用" in document.text
    assert hidden(document) == []
    assert hidden(chinese("3 Tr")) == hidden(chinese("1 g")) == ["甲方应当向乙方支付费用"]


def test_letters_beyond_the_first_plane_are_read_and_judged() -> None:
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <00> <ff> "
        b"endcodespacerange 2 beginbfchar <61> <d835dc00> <62> <d835dc01> endbfchar endcmap end end"
    )
    resources = f"/Font << {FONT} /M {FIRST} 0 R >>"
    extra = [
        f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode {FIRST + 1} 0 R >>",
        stream(cmap),
    ]
    document = read(SEEN + "BT /M 12 Tf 72 650 Td (ab) Tj ET", extra=extra, resources=resources)
    assert "\U0001d400\U0001d401" in document.text
    assert hidden(document) == []
    document = read(SEEN + "1 g BT /M 12 Tf 72 650 Td (ab) Tj ET", extra=extra, resources=resources)
    assert hidden(document) == ["\U0001d400\U0001d401"]
